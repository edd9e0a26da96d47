"""Wall-clock times for people. The core imports no clock, and needs none to write down a number of nanoseconds."""

_DAYS_TO_EPOCH = 719_468  # from 0000-03-01, where the year of the algorithm begins, to 1970-01-01
_DAYS_PER_ERA = 146_097  # 400 years


def utc(wall_ns: int) -> str:
    """ISO 8601 in UTC, to the millisecond.

    Source  Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    milliseconds = wall_ns // 1_000_000
    days, rest = divmod(milliseconds, 86_400_000)
    era, day_of_era = divmod(days + _DAYS_TO_EPOCH, _DAYS_PER_ERA)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day, month = day_of_year - (153 * shifted + 2) // 5 + 1, shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"


def lasted(seconds: float | None) -> str:
    """A duration in the unit that a person would use; None: it goes on."""
    if seconds is None:
        return "goes on"
    if seconds < 0.1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
