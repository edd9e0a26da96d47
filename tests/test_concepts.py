"""The pages of docs/concepts say what the code says: what can be drawn from the code is, and compared here.

`python -m tests.test_concepts` rewrites the drawn parts.
"""

import importlib
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane._native import detector as native
from controlplane._native.guard import ERROR, Guard, Permit
from controlplane.bench import detection
from controlplane.decide import safety
from controlplane.decide.detection import detect
from controlplane.model import errors
from controlplane.model.incident import MOVES, Phase, Stage
from controlplane.model.policy import ResponsePolicy
from tests import containment

CONCEPTS = Path(__file__).parent.parent / "docs" / "concepts"

# what each stage means: prose, whose keys are checked against the enumeration
STAGES = {
    Stage.HOLD: ("none, and nobody asks for it", "its penalty is over"),
    Stage.PROBE: ("a few real requests at a time", "enough of them pass"),
    Stage.RAMP: ("`ramp_percent`, share by share", "clean time and clean calls, for each share"),
    Stage.FULL: ("all of it", "`verify_s` without a new verdict"),
    Stage.VERIFIED: ("all of it", "it stays; the incident may close"),
}


def phases() -> str:
    """The table of phases as a diagram."""
    arrows = [f"    {start} --> {end}" for start in Phase for end in MOVES[start]]
    last = [f"    {phase} --> [*]" for phase in Phase if not MOVES[phase]]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(Phase))}", *arrows, *last, "```"])


def stages() -> str:
    """The stages in their order."""
    rows = [f"| **{stage}** | {STAGES[stage][0]} | {STAGES[stage][1]} |" for stage in Stage]
    return "\n".join(["| Stage | New traffic | Goes on when |", "|---|---|---|", *rows])


def rules() -> str:
    """The safety rules in their order, with the limits of the default policy."""
    policy = ResponsePolicy()
    may = {rule.name: f"never: {rule.never}" if rule.never else "yes" for rule in safety.RULES}
    rows = [f"| `{rule.name}` | {rule.forbids} | {rule.limits(policy)} | {may[rule.name]} |" for rule in safety.RULES]
    head = "| Rule | Forbids | Limits, by default | May a person set it aside? |"
    return "\n".join([head, "|---" * 4 + "|", *rows])


def increments() -> str:
    """What one result moves the sums, and how fast that decides alone, from the numbers of the detector."""
    rows = []
    for base in (0.001, 0.01, 0.05):
        p0, failed, passed, limits = native.bank(base, detect.FALSE_ALARM)
        for share, up, down, limit in zip(native.SHARES, failed, passed, limits, strict=True):
            delays = [limit / (now * up + (1 - now) * down) for now in (1.0, 0.5, p0 + (1 - p0) * share)]
            cells = [f"{p0:.2%}", f"{share:.0%}", f"+{up / 1000:.3f}", f"{down / 1000:.3f}", f"{limit / 1000:.2f}"]
            cells += [f"{-down / (up - down):.1%}", *(f"{math.ceil(each)}" for each in delays)]
            rows.append(f"| {' | '.join(cells)} |")
    head = "| $p_0$ | change | bad | good | limit | break-even | calls at 100 % bad | at 50 % | at $p_1$ |"
    return "\n".join([head, "|---" * 9 + "|", *rows])


def error_tree() -> str:
    """The tree of exceptions, from the classes."""

    def branch(error: type[Exception], indent: str) -> list[str]:
        lines = []
        for child in error.__subclasses__():
            if child.__module__ == errors.__name__:
                lines += [f"{indent}+-- {child.__name__:<{22 - len(indent)}} {inspect.getdoc(child)}"]
                lines += branch(child, indent + "|   ")
        return lines

    shown = [line.splitlines()[0] for line in branch(errors.ControlPlaneError, "")]
    return "\n".join(["```text", "ControlPlaneError", *shown, "```"])


DRAWN: dict[tuple[str, str], Callable[[], str]] = {
    ("lifecycle.md", "phases"): phases,
    ("lifecycle.md", "stages"): stages,
    ("detection.md", "increments"): increments,
    ("safety.md", "rules"): rules,
    ("errors.md", "errors"): error_tree,
    ("containment.md", "cut"): containment.cut,
    ("containment.md", "options"): containment.options,
}


def pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- generated: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize(("page", "name"), DRAWN, ids=lambda value: str(value))
def test_pages_show_what_the_code_says(page: str, name: str) -> None:
    """The drawn part of a page equals what the code gives now; `python -m tests.test_concepts` rewrites it."""
    found = pattern(name).search((CONCEPTS / page).read_text())
    assert found, f"{page} has no part named {name}"
    assert found[2] == DRAWN[page, name]() + "\n"


def test_the_drawn_error_tree_in_the_source_is_true() -> None:
    """Every exception of the tree stands in the module's own drawing, indented by its depth."""
    drawing = inspect.getdoc(errors) or ""
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if error.__module__ != errors.__name__:
            continue
        depth = len(error.__mro__) - len(errors.ControlPlaneError.__mro__)
        branch = r"\+-- " if depth else ""
        assert re.search(rf"^ {{4}}[| ]{{{4 * max(0, depth - 1)}}}{branch}{name}\b", drawing, re.MULTILINE), name


def test_the_numbers_on_the_pages_are_the_defaults() -> None:
    """A default that a page names in prose is the one in the code."""
    policy = importlib.import_module("controlplane.model.policy")
    guard, response = policy.GuardPolicy(), policy.ResponsePolicy()
    assert math.isclose(guard.endpoint_evidence, detect.THRESHOLD_NATS, abs_tol=0.05)
    assert guard.endpoint_consecutive == 5
    _, failed, _, _ = native.bank(detect.FAILURE_FLOOR, detect.FALSE_ALARM)
    assert math.ceil(1000 * guard.endpoint_evidence / failed[1]) == 5
    assert response.ramp_percent == (10, 25, 50)


def test_all_cores_weigh_a_result_alike() -> None:
    """The guard's increments for a failure are the detector's and the engine's, and so is what it takes for normal."""
    guard, (share, failed, _, _) = Guard(endpoints=1), native.bank(detect.FAILURE_FLOOR, detect.FALSE_ALARM)
    permit = guard.try_acquire()
    assert isinstance(permit, Permit)
    permit.failure(ERROR)
    seen = guard.endpoint(0)
    assert (seen["trickle_evidence_mnat"], seen["evidence_mnat"]) == failed[:2]
    assert guard.describe()["failure_ppm"] == int(share * 1e6)
    test = detect.Cusum()
    test.observe(1, 1, 0)
    assert test.failing.sums == failed


def test_the_page_shows_the_delays_that_were_measured() -> None:
    """The table of delays is that of `controlplane bench detection`: bounds to the digit, ours within a call in ten."""
    page = (CONCEPTS / "detection.md").read_text()
    for shift in detection.SHIFTS:
        row = re.search(
            rf"^\| `{re.escape(shift.name)}` \| ([\d.]+) \| ([\d.]+) \| \*\*([\d.]+)\*\*", page, re.MULTILINE
        )
        assert row is not None, shift.name
        bound, most, ours = map(float, row.groups())
        assert (bound, most) == (round(shift.bound, 1), round(1.3 * shift.bound + 1, 1))
        assert shift.bound <= ours <= most


if __name__ == "__main__":
    for (page, name), draw in DRAWN.items():
        text = (CONCEPTS / page).read_text()
        found = pattern(name).search(text)
        assert found, (page, name)
        (CONCEPTS / page).write_text(f"{text[: found.start(2)]}{draw()}\n{text[found.end(2) :]}")
