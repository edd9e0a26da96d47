"""The probes on everybody, and the table that comes of it: docs/reference/peers.md is written here and not by hand."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import msgspec

from controlplane.bench.conformance import breaker, limiter, rivals
from controlplane.bench.conformance.rivals import Rival
from controlplane.bench.conformance.subject import FAILURES, LIMIT, Breaker, Finding, Limiter, Verdict
from controlplane.bench.measure import broken
from controlplane.bench.subject import NotBuilt

OURS = "controlplane"
BREAKER_COLUMNS = (*breaker.PROBES, "clock step")
LIMITER_COLUMNS = (*limiter.PROBES, "clock step")


class Line(msgspec.Struct, frozen=True):
    """A library's findings by probe. `why`: it was not probed, and this is the reason."""

    library: str
    version: str
    notes: str
    findings: Mapping[str, Finding]
    why: str = ""


class Findings(msgspec.Struct, frozen=True):
    """What all probes found."""

    breakers: list[Line]
    limiters: list[Line]


def probe_all(say: Callable[[str], object]) -> Findings:
    """Every probe on every library; `say` hears each library's name before its turn."""

    async def inside() -> Findings:  # some libraries ask for a running loop; nothing here ever waits for one
        return Findings(
            [_breaker(one, say) for one in rivals.BREAKERS], [_limiter(one, say) for one in rivals.LIMITERS]
        )

    return asyncio.run(inside())


def _breaker(rival: Rival[Breaker], say: Callable[[str], object]) -> Line:
    probes = {name: partial(probe, rival.make) for name, probe in breaker.PROBES.items()}
    return _line(rival, probes | {"clock step": partial(breaker.clock_step, rival.make, rival.packages)}, say)


def _limiter(rival: Rival[Limiter], say: Callable[[str], object]) -> Line:
    probes = {name: partial(probe, rival.make) for name, probe in limiter.PROBES.items()}
    if rival.packages:
        return _line(rival, probes | {"clock step": partial(limiter.clock_step, rival.make, rival.packages)}, say)
    unasked = Finding(Verdict.UNASKED, "compiled: not asked")
    return _line(rival, probes | {"clock step": lambda: unasked}, say)


def _line(
    rival: Rival[Breaker] | Rival[Limiter], probes: Mapping[str, Callable[[], Finding]], say: Callable[[str], object]
) -> Line:
    say(f"{rival.library} {rival.notes}".rstrip())
    try:
        installed = version(rival.library)
        rival.make()
    except (PackageNotFoundError, ImportError):
        return Line(rival.library, "", rival.notes, {}, f"not installed: pip install {rival.library}")
    except NotBuilt as error:
        return Line(rival.library, installed, rival.notes, {}, str(error))
    except Exception as error:
        return Line(rival.library, installed, rival.notes, {}, broken(error))
    return Line(rival.library, installed, rival.notes, {name: _ask(probe) for name, probe in probes.items()})


def _ask(probe: Callable[[], Finding]) -> Finding:
    try:
        return probe()
    except (breaker.NotAdmitted, breaker.NeverOpened) as error:
        return Finding(Verdict.UNASKED, str(error))
    except Exception as error:
        return Finding(Verdict.UNASKED, broken(error))


def ours_pass(findings: Findings) -> bool:
    """Whether ours holds every probe. One that broke or could not be asked is not held, keys of the unkeyed apart."""
    ours = [line for line in (*findings.breakers, *findings.limiters) if line.library == OURS]
    return all(not line.why or line.why.startswith("not built") for line in ours) and all(
        finding.verdict is Verdict.HOLDS or finding == limiter.NO_KEYS
        for line in ours
        for finding in line.findings.values()
    )


def _rows(lines: Iterable[Line], columns: tuple[str, ...]) -> list[list[str]]:
    rows = []
    for line in lines:
        name = f"{line.library} {line.version}".strip() + (f" ({line.notes})" if line.notes else "")
        rows.append([name, *(_cell(line, column) for column in columns)])
    return rows


def _cell(line: Line, column: str) -> str:
    if line.why:
        return line.why if column in {BREAKER_COLUMNS[0], LIMITER_COLUMNS[0]} else ""
    finding = line.findings[column]
    return {Verdict.HOLDS: "", Verdict.FAILS: "FAILS: ", Verdict.UNASKED: "- "}[finding.verdict] + finding.seen


def table(findings: Findings) -> str:
    """For the terminal: a paragraph per library, what fails marked."""
    out = []
    for title, lines, columns in (
        ("breakers", findings.breakers, BREAKER_COLUMNS),
        ("limiters", findings.limiters, LIMITER_COLUMNS),
    ):
        out += [title, "-" * len(title)]
        for row in _rows(lines, columns):
            out += [row[0], *(f"    {column:<22}{cell}" for column, cell in zip(columns, row[1:], strict=True) if cell)]
        out.append("")
    return "\n".join(out)


def _markdown(lines: Iterable[Line], columns: tuple[str, ...]) -> str:
    head = ["library", *columns]
    rows = [
        head,
        ["---"] * len(head),
        *([cell.replace("FAILS", "**fails**") for cell in row] for row in _rows(lines, columns)),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _meanings(probes: Mapping[str, Callable[..., Finding]], step: Callable[..., Finding]) -> str:
    return "\n".join(
        f"- **{name}**: {(probe.__doc__ or '').strip()}" for name, probe in (*probes.items(), ("clock step", step))
    )


def markdown(findings: Findings) -> str:
    """docs/reference/peers.md."""
    return f"""\
# Breakers and limiters compared

Generated by `controlplane bench peers --markdown`; not typed. Each probe is one function in
`controlplane/bench/conformance/`, the same for everybody, and `tests/contract` holds our guard to it.

A cell says what was seen. **fails**: a promise is broken; "-": it could not be asked, and is not judged. Libraries
evolve: the version is in the first column, and the command above makes the page anew.

## Breakers

Each opens after {FAILURES} failures in a row and closes on one success, unless its column says otherwise.

{_markdown(findings.breakers, BREAKER_COLUMNS)}

{_meanings(breaker.PROBES, breaker.clock_step)}

## Limiters

Each is to admit at most {LIMIT} calls in any second. Where a library has a burst apart from its rate, both are half of
that, which keeps every second; our guard is configured so, too.

{_markdown(findings.limiters, LIMITER_COLUMNS)}

{_meanings(limiter.PROBES, limiter.clock_step)}
"""
