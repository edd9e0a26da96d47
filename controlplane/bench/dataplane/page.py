"""The comparison as docs/benchmarks.md shows it, made of the figures in the results' file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from controlplane.bench.dataplane.fault import FAULTS
from controlplane.bench.dataplane.protect import OURS, PROTECTIONS
from controlplane.bench.result import Result
from controlplane.testbed.bed import KINDS, ProxyKind

BEGIN: Final = "<!-- generated: faults -->\n"
END: Final = "<!-- end -->\n"


def markdown(results: Iterable[Result]) -> str:
    """A table for each proxy of which there are figures; a cell is harmed users, and for how long the bad one was
    asked."""
    by_name = {result.name: result for result in results}
    return "\n".join(filter(None, (_table(kind, by_name) for kind in KINDS)))


def put(path: Path, results: Iterable[Result]) -> None:
    """Replace what stands between the marks in `path`. Raises ValueError where it has none."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN.strip()} ... {END.strip()} for the table to stand between")
    path.write_text(f"{before}{begin}{markdown(results)}{end}{after}")


def _table(kind: ProxyKind, by_name: dict[str, Result]) -> str:
    names = PROTECTIONS[kind]
    rows = [f"| {kind} | {' | '.join(names)} | least |", f"|{'---|' * (len(names) + 2)}"]
    for fault in FAULTS:
        harmed = by_name.get(f"dataplane.{kind}.{fault}.harmed")
        if harmed is not None:
            asked = by_name.get(f"dataplane.{kind}.{fault}.asked")
            cells = " | ".join(_cell(_of(harmed, name), None if asked is None else _of(asked, name)) for name in names)
            rows.append(f"| `{fault}` | {cells} | {harmed.bound:.0f} |")
    return "\n".join(rows) + "\n" if len(rows) > 2 else ""


def _of(figure: Result, name: str) -> float:
    if name == OURS:
        return figure.value
    return figure.rivals[name] if isinstance(figure.rivals, dict) else 0.0


def _cell(harmed: float, asked_ms: float | None) -> str:
    return f"{harmed:.0f}" if asked_ms is None else f"{harmed:.0f} ({asked_ms:.0f} ms)"
