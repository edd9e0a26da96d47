"""The table for people: ours in empty calls, the best rival, what was promised and whether it held."""

from collections.abc import Sequence

from controlplane.bench.entry import Row

HEAD = ("figure", "ours", "+-", "floors", "best rival", "rival", "ratio", "promise")
WIDTHS = (26, 10, 8, 7, 40, 10, 7, 0)


def _line(*cells: str) -> str:
    left = (0, 4, 7)
    return "  ".join(
        f"{cell:<{width}}" if at in left else f"{cell:>{width}}"
        for at, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ).rstrip()


def _ns(value: float) -> str:
    return f"{value:,.1f}" if value < 1_000 else f"{value:,.0f}"


def verdict(row: Row) -> str:
    """What was promised of a row, and whether this run keeps it."""
    target = row.target
    promises = [
        text.format(value)
        for value, text in (
            (target.floor_max, "<= {:g} floors"),
            (target.python_min, ">= {:g}x Python"),
            (target.native_min, ">= {:g}x native"),
            (target.rival_max, "<= {:g}x rival"),
            (target.value_max, "<= {:g}"),
        )
        if value is not None
    ]
    if not promises:
        return ""
    if row.missed:
        return f"{', '.join(promises)}: MISSED ({'; '.join(row.missed)})"
    return f"{', '.join(promises)}: met"


def line(row: Row) -> str:
    """One row."""
    if row.why:
        return _line(row.name, row.why, "", "", "", "", "", "")
    best = row.best()
    ratio = row.ratio()
    return _line(
        row.name,
        _ns(row.value),
        f"{row.spread:.1f}" if row.floor else "",
        "" if row.floor_ratio is None else f"{row.floor_ratio:.2f}",
        best[0] if best else "",
        _ns(best[1]) if best else "",
        "" if ratio is None else f"{ratio:.1f}x",
        verdict(row),
    )


def table(rows: Sequence[Row]) -> str:
    """All rows, then what was not measured and why, then what was promised and not kept."""
    lines = [_line(*HEAD), "-" * 132, *(line(row) for row in rows)]
    silent = {f"{name}: {reading.why}" for row in rows for name, reading in row.rivals.items() if reading.why}
    if silent:
        lines += ["", "rivals without a figure:", *(f"    {one}" for one in sorted(silent))]
    unmeasured = [row.name for row in rows if row.why and verdict(row)]
    missed = [f"    {row.name}: {reason}" for row in rows for reason in row.missed]
    if unmeasured:
        lines += ["", f"promised and not measured in this build: {', '.join(unmeasured)}"]
    if missed:
        lines += ["", "promised and MISSED:", *missed]
    lines += [
        "",
        "ns per operation, the quickest round, less an empty loop; +-: how much more the middle round took.",
        "floors: empty Python function calls of the same rounds. ratio: the best rival over ours.",
    ]
    return "\n".join(lines)
