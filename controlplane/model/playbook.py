"""Playbooks as data: when one applies, what it needs, what it does, who owns it; and what is on record about them.

A playbook is written before the failure. It adds orders to those the engine gives by itself, under the same safety
rules, leases and undo, and it can never take a rule away.
"""

from typing import Annotated, Literal

import msgspec

from controlplane.model.base import RecordBase
from controlplane.model.signal import Cause
from controlplane.model.unit import CommandId, IncidentId

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Share = Annotated[int, msgspec.Meta(ge=1, le=100)]
Severity = Literal["warning", "critical"]
ANY_VERSION = "*"

Do = Literal[
    "eject",
    "isolate",
    "limit",
    "reroute",
    "fail_over",
    "cap_retries",
    "shed",
    "tighten",
    "roll_back",
    "tell",
    "by_hand",
]
FOR_PEOPLE: frozenset[Do] = frozenset({"tell", "by_hand"})
"""Steps that order nothing."""
AT_ENDPOINTS: frozenset[Do] = frozenset({"eject", "reroute"})
"""Steps about endpoints; all others are about a whole service."""


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Incidents that lie at `service`; each further field that is given must fit, too.

    cause      one of these; none: any but "alert", on whose word alone nothing is ordered
    endpoint   it was found bad
    zone       every endpoint of the service that serves there was found bad, and none elsewhere
    version    the same of every endpoint that runs it; "*": of whatever version
    severity   at least: "critical" is a whole service, or users whose requests fail
    """

    service: Name
    cause: tuple[Cause, ...] = ()
    endpoint: str = ""
    zone: str = ""
    version: str = ""
    severity: Severity = "warning"


class Precondition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold before any step is taken. `service`: empty: the one that the playbook matches.

    fallback   who takes over is there: `service`, which a caller of the matched one calls too and that is held back
               nowhere; where it is the matched one itself, an endpoint of it that stands by
    capacity   the endpoints that are not held back (in `zone`, if one is named) bear `per_s` requests per second, at
               90 % of what they declare
    floor      at least so many `endpoints` are not held back (in `zone`, if one is named)
    healthy    no incident is open there
    """

    need: Literal["fallback", "capacity", "floor", "healthy"]
    service: str = ""
    zone: str = ""
    per_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None
    endpoints: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to do. `service`: empty: the one that the playbook matches.

    eject, reroute     one `endpoint`, or those of a `zone` or `version`; none named: those that were found bad.
                       reroute takes `percent` of their share away
    isolate            callers are refused at once; limit: `concurrency` calls at a time
    fail_over, shed    `percent` of the calls; shed keeps what `keep` says
    cap_retries        retries are at most `percent` of the calls; none given: none is admitted
    tighten            a call takes `deadline_ms` at most
    roll_back          the version that is the cause, once the evidence says that it is
    tell, by_hand      `text` for people: to know, or to do. `notify` names who is told, beyond the ladder
    """

    do: Do
    service: str = ""
    endpoint: str = ""
    zone: str = ""
    version: str = ""
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    keep: Literal["critical", "default"] | None = None
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)] | None = None
    text: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    notify: tuple[str, ...] = ()


class Playbook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One playbook. `owner` and `ladder` are names of `[owners]` and `[ladders]`; no ladder: the owner's.

    `enforce`: false: its orders are in shadow; true: they are in force, but for no larger share of the calls than
    `[response] enforcement` says where it names that kind of act; "response": as `[response]` says of each kind.
    """

    name: Name
    match: Match
    steps: tuple[Step, ...]
    preconditions: tuple[Precondition, ...] = ()
    owner: str = ""
    ladder: str = ""
    enforce: bool | Literal["response"] = False
    text: str = ""


How = Literal["ordered", "shadow", "holds", "refused", "told", "by_hand"]


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a playbook in an incident. `unmet`: why it is not used, empty: it is. `steps`: by their number.
    `looked`: how often that has changed."""

    playbook: str
    shadow: bool
    unmet: tuple[str, ...] = ()
    looked: int = 1
    steps: dict[int, How] = {}
    ladder: str = ""
    owner: str = ""


class PlaybookMatched(RecordBase, frozen=True, tag="playbook_matched"):
    """`playbook` fits the incident. `unmet`: it is not used, for these reasons; none: its steps follow."""

    incident: IncidentId
    playbook: str
    shadow: bool
    unmet: tuple[str, ...] = ()
    ladder: str = ""
    owner: str = ""


class PlaybookStepped(RecordBase, frozen=True, tag="playbook_stepped"):
    """A step (numbered from 1) was taken, or why not. `commands`: the orders that came of it."""

    incident: IncidentId
    playbook: str
    step: int
    what: str
    how: How
    commands: tuple[CommandId, ...] = ()
    reason: str = ""


class PlaybookReliability(RecordBase, frozen=True, tag="playbook_reliability"):
    """From now on `playbook` cannot be relied on, for these reasons; none: it can again."""

    playbook: str
    reasons: tuple[str, ...] = ()
