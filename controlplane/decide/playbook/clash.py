"""Two playbooks that can fit the same incident and want contrary things of the same target."""

from collections.abc import Iterator

from controlplane.decide.playbook.finding import Finding
from controlplane.model.playbook import ANY_VERSION, FOR_PEOPLE, Do, Match, Playbook, Step

STOPS: frozenset[Do] = frozenset({"isolate"})  # nobody calls it any more
NEEDS_CALLS: frozenset[Do] = frozenset({"fail_over", "reroute", "limit", "shed", "tighten", "cap_retries"})
FIGURES = ("percent", "concurrency", "keep", "deadline_ms")


def clashes(first: Playbook, second: Playbook) -> Iterator[Finding]:
    """What `second` says against `first`, step by step."""
    if not together(first.match, second.match):
        return
    for number, mine in enumerate(second.steps):
        for other, theirs in enumerate(first.steps, 1):
            if reason := contrary(theirs, mine, first, second):
                text = f"{first.name} matches the same incidents, and its step {other} is contrary: {reason}"
                yield Finding(second.name, ("steps", number, "do"), text)
                break


def together(one: Match, other: Match) -> bool:
    """Whether an incident can fit both."""
    if one.service != other.service or (one.cause and other.cause and not set(one.cause) & set(other.cause)):
        return False
    if one.zone and other.zone and one.zone != other.zone:
        return False
    versions = {one.version, other.version} - {"", ANY_VERSION}
    return len(versions) < 2


def contrary(theirs: Step, mine: Step, first: Playbook, second: Playbook) -> str:
    """Why not both can be meant; empty: they can."""
    about = theirs.service or first.match.service
    if about != (mine.service or second.match.service) or {theirs.do, mine.do} & FOR_PEOPLE:
        return ""
    if theirs.do == mine.do:
        if any(
            getattr(theirs, key) and getattr(mine, key) and getattr(theirs, key) != getattr(mine, key)
            for key in ("endpoint", "zone", "version")
        ):
            return ""
        for key in FIGURES:
            if getattr(theirs, key) != getattr(mine, key):
                return f"{mine.do} of {about} with {key} {getattr(theirs, key)} there, {getattr(mine, key)} here"
        return ""
    pair = {theirs.do, mine.do}
    if pair & STOPS and pair & NEEDS_CALLS:
        return f"{theirs.do} there, {mine.do} here, of {about}: what is isolated gets no calls to be steered"
    if pair == {"eject", "reroute"} and theirs.endpoint == mine.endpoint and theirs.zone == mine.zone:
        return f"{theirs.do} there, {mine.do} here, of the same endpoints of {about}"
    return ""
