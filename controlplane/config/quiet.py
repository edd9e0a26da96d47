"""Quiet hours: times of day, in somebody's time zone, in which what may wait waits."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def parse(text: str) -> tuple[int, int]:
    """Minutes of the day from and until, of "22:00-07:00". Raises ValueError, which says what would be right."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError('is no span of the day; write from and until in 24 hours, as "22:00-07:00"')
    begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if begin == end:
        raise ValueError("ends when it begins; name two times, as in 22:00-07:00")
    return begin, end


def quiet_hours(spans: Sequence[str], timezone: str) -> Callable[[int], float]:
    """A function from Unix time in nanoseconds to the seconds that are left of quiet hours; 0: it is not quiet.

    Seconds are counted on the clock of `timezone`; on the nights when that is put forward or back, it is looked at
    again before they are over. Raises ValueError, and ZoneInfoNotFoundError (a KeyError) for a zone that is not here.
    """
    zone = ZoneInfo(timezone)
    parsed = [parse(span) for span in spans]

    def left_s(wall_ns: int) -> float:
        now = datetime.fromtimestamp(wall_ns / 1e9, UTC).astimezone(zone)
        since_midnight = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second, microseconds=now.microsecond)
        at_s = since_midnight.total_seconds()
        left = 0.0
        for begin, end in parsed:
            length_s = (end - begin) % 1440 * 60
            into_s = (at_s - begin * 60) % 86_400
            if into_s < length_s:
                left = max(left, length_s - into_s)
        return left

    return left_s
