"""`controlplane analyze`: where a recorded incident began, what it spreads to, and what would contain it.

Exit status: 0 the file was analyzed, 2 it is broken; with `exit_code` 1 if an origin was found, for scripts.
"""

import sys
from pathlib import Path

import msgspec

from controlplane.adapters.recording import read_incidents
from controlplane.cli.client import printable
from controlplane.cli.picture import draw
from controlplane.decide.analysis.analyze import report
from controlplane.decide.analysis.origin import judge
from controlplane.decide.analysis.text import share, time
from controlplane.decide.analysis.window import Window
from controlplane.model.analysis import Analysis, Impact
from controlplane.model.errors import ConfigError, ControlPlaneError

SPREAD_LINES = 12  # a person at 3 a.m. reads no more; --json has all of them


def analyze(
    file: str, *, output: str, plot: str | None = None, incident: str | None = None, exit_code: bool = False
) -> int:
    """Print what is known about the incidents in `file`."""
    found = read_incidents(file)
    if incident is not None:
        found = [(name, window) for name, window in found if name == incident]
        if not found:
            raise ConfigError(f'has no incident "{incident}"', key="--incident", source=file)
    several = len(found) > 1
    if several and plot:
        raise ConfigError(f"holds {len(found)} incidents; name one with --incident", key="--plot", source=file)
    answers: list[tuple[str, Window, Analysis]] = []
    for name, window in found:
        verdict = judge(window)
        answers.append((name, window, report(window, verdict)))
        if plot:
            _write(plot, draw(window, verdict, answers[-1][2]))
    if output == "json":
        each = [{"incident": name, **msgspec.to_builtins(answer)} for name, _, answer in answers]
        _print_json({"incidents": each} if several else each[0])
    else:
        texts = ["\n".join(printable(line) for line in _lines(*answer)) for answer in answers]
        print("\n\n".join(texts))
        if plot:
            print(f"\npicture      {plot}")
    return 1 if exit_code and any(answer.origins for _, _, answer in answers) else 0


def _write(path: str, picture: str) -> None:
    try:
        Path(path).write_text(picture, encoding="utf-8")
    except OSError as error:
        raise ControlPlaneError(f"{path}: the picture cannot be written: {error.strerror or error}") from None


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _lines(name: str, window: Window, answer: Analysis) -> list[str]:
    lines = [f"incident     {name}: {_about(window)}", ""]
    if not answer.origins:
        return [*lines, "origin       none: nothing here that normal operation does not show"]
    for rank, origin in enumerate(answer.origins, 1):
        lines.append(f"{'origin' if rank == 1 else '':<12} {rank}. {origin.service}  {origin.score:.0%}")
        lines += [f"{'':<16}- {sentence}" for sentence in origin.evidence]
    lines += [f"{'tie':<12} {', '.join(tie)}: equal scores, their order says nothing" for tie in answer.ties]
    lines.append(f"{'unexplained':<12} {answer.unexplained:.0%} of the excess")
    lines.append("")
    for index, impact in enumerate(answer.blast[:SPREAD_LINES]):
        lines.append(f"{'spread' if index == 0 else '':<12} {_impact(impact)}")
    more = len(answer.blast) - SPREAD_LINES
    if more > 0:
        lines.append(f"{'':<12} and {more} more; --json lists them")
    lines.append(f"{'feedback':<12} {_feedback(answer)}")
    for index, step in enumerate(answer.plan):
        lines.append(f"{'plan' if index == 0 else '':<12} {index + 1}. {step}")
    if not answer.plan:
        lines.append(f"{'plan':<12} nothing: {answer.plan_reason or 'nothing is known that could be done'}")
    return lines


def _about(window: Window) -> str:
    seen = "; nobody wrote down where users see it"
    if window.entry is not None:
        seen = f"; users see {window.metric or 'it'} at {window.services[window.entry]}"
    return (
        f"{len(window.services)} services, {len(window.edges)} calls, {window.buckets - window.incident_at} buckets "
        f"of {window.bucket_s:g} s after {window.incident_at} of normal operation{seen}"
    )


def _impact(impact: Impact) -> str:
    how = (
        f"{share(impact.expected)} of requests fail" if impact.metric == "availability" else f"+{time(impact.expected)}"
    )
    when = f", in {time(impact.time_to_impact_s)}" if impact.time_to_impact_s else ""
    return f"{impact.service}: {how}{when}"


def _feedback(answer: Analysis) -> str:
    if answer.reproduction_number is None:
        return "unknown: the file does not tell how often calls are tried again, or what their callees bear"
    said = f"R = {answer.reproduction_number:.2f}: "
    said += "the failure feeds itself" if answer.reproduction_number >= 1.0 else "the failure does not feed itself"
    if answer.metastable is not None:
        clears = "will not clear when its cause is gone" if answer.metastable else "clears when its cause is gone"
        said += f", and it {clears}"
    return said
