"""What a playbook says that its own words contradict: a field that belongs to another step, one that is missing."""

import re
from collections.abc import Iterator

from controlplane.config.lines import Path
from controlplane.model.playbook import Do, Playbook, Precondition, Step

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

TAKES: dict[Do, tuple[str, ...]] = {
    "eject": ("endpoint", "zone", "version"),
    "reroute": ("endpoint", "zone", "version", "percent"),
    "isolate": (),
    "limit": ("concurrency",),
    "fail_over": ("percent",),
    "cap_retries": ("percent",),
    "shed": ("percent", "keep"),
    "tighten": ("deadline_ms",),
    "roll_back": (),
    "tell": ("text", "notify"),
    "by_hand": ("text",),
}
NEEDS: dict[Do, str] = {
    "tighten": "deadline_ms",
    "limit": "concurrency",
    "fail_over": "percent",
    "shed": "percent",
    "reroute": "percent",
    "tell": "text",
    "by_hand": "text",
}
NEED_TAKES = {"fallback": (), "capacity": ("zone", "per_s"), "floor": ("zone", "endpoints"), "healthy": ()}
NEED_NEEDS = {"capacity": "per_s", "floor": "endpoints"}
_FIELDS = ("endpoint", "zone", "version", "percent", "concurrency", "keep", "deadline_ms", "text", "notify")


def misshapen(playbook: Playbook) -> Iterator[tuple[Path, str]]:
    """(where in the playbook, what is wrong with it)."""
    if not _NAME.fullmatch(playbook.name):
        yield ("name",), f"{playbook.name!r} is no name: letters, digits, dots, dashes and underscores"
    if not playbook.steps:
        yield ("steps",), "is empty: a playbook does something; write [[playbooks.steps]]"
    for number, step in enumerate(playbook.steps):
        for key, reason in _step(step):
            yield ("steps", number, key), reason
    for number, need in enumerate(playbook.preconditions):
        for key, reason in _need(need):
            yield ("preconditions", number, key), reason


def _step(step: Step) -> Iterator[tuple[str, str]]:
    takes = TAKES[step.do]
    for key in _FIELDS:
        if getattr(step, key) not in (None, "", ()) and key not in takes:
            yield key, f"{step.do!r} takes no {key}; it takes {', '.join((*takes, 'service'))}"
    missing = NEEDS.get(step.do, "")
    if missing and getattr(step, missing) in (None, ""):
        yield "do", f"{step.do!r} needs {missing}"
    if step.do in ("fail_over", "shed", "reroute") and step.percent == 0:
        yield "percent", f"0 % to {step.do} is nothing to do; from 1 up to 100"


def _need(need: Precondition) -> Iterator[tuple[str, str]]:
    takes = NEED_TAKES[need.need]
    for key in ("zone", "per_s", "endpoints"):
        if getattr(need, key) not in (None, "") and key not in takes:
            yield key, f"{need.need!r} takes no {key}; it takes {', '.join((*takes, 'service'))}"
    missing = NEED_NEEDS.get(need.need, "")
    if missing and getattr(need, missing) is None:
        yield "need", f"{need.need!r} needs {missing}"
