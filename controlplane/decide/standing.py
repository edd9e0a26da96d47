"""What the safety rules remember: holds and overrides, what each rule refused, acts lately, remedies that failed.

Part of the state, so it is folded from records and outlives a restart. Everything here is bounded.
"""

from bisect import bisect_right

import msgspec

from controlplane.decide.kind import act_of
from controlplane.model import record as on
from controlplane.model.command import Command, Restore, RollBack, Weigh
from controlplane.model.policy import ActKind
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND, CommandId, Nanos

MINUTE_NS = 60 * SECOND
ISSUED_MAX = 1000  # acts of one minute remembered; the velocity limit is far below
TARGETS_MAX = 4096  # with remedies remembered; the longest untouched goes first
FAILED_MAX = 64  # failures of one remedy remembered


class Hold(msgspec.Struct, frozen=True):
    """A person's hand on `target` (None: everything), until then (None: until it is released)."""

    target: Target | None
    by: str
    reason: str
    since: Nanos
    until: Nanos | None = None

    def covers(self, target: Target) -> bool:
        """Whether an act about `target` would touch what is held: a service holds its endpoints, and the reverse."""
        mine = self.target
        if mine is None:
            return True
        return mine.service == target.service and (
            not mine.endpoint or not target.endpoint or mine.endpoint == target.endpoint
        )


class Override(msgspec.Struct, frozen=True):
    """Break-glass: a person has set `rule` aside for acts about `target` (None: any), until then."""

    rule: str
    target: Target | None
    by: str
    reason: str
    since: Nanos
    until: Nanos

    def covers(self, target: Target) -> bool:
        """Whether it is about acts on `target`: no wider than what the person named."""
        mine = self.target
        return mine is None or (mine.service == target.service and mine.endpoint in ("", target.endpoint))


class Remedy(msgspec.Struct):
    """One kind of act about one target: the order that is the last of it, and when it turned out not to have helped.

    `ended`: traffic was given back since. The next order of the same kind then says that the last one did not help.
    """

    command: CommandId
    at: Nanos
    ended: bool = False
    failed_at: list[Nanos] = msgspec.field(default_factory=list)


class Standing(msgspec.Struct, kw_only=True):
    """The safety rules' part of the state."""

    holds: dict[str, Hold] = msgspec.field(default_factory=dict)
    overrides: dict[str, Override] = msgspec.field(default_factory=dict)
    refused: dict[str, int] = msgspec.field(default_factory=dict)
    acts: dict[str, list[Nanos]] = msgspec.field(default_factory=dict)
    remedies: dict[str, dict[str, Remedy]] = msgspec.field(default_factory=dict)

    def due(self) -> Nanos | None:
        """When the next hold or override ends by itself."""
        ends = [one.until for one in self.holds.values() if one.until is not None]
        return min([*ends, *(one.until for one in self.overrides.values())], default=None)


def key(target: Target | None) -> str:
    """The name of what an order is about; everything is `*`."""
    return "*" if target is None else str(target)


def note(standing: Standing, record: on.Record) -> None:
    """Change `standing` by one fact; orders that were carried out come by `issued`."""
    match record:
        case on.CommandRefused():
            standing.refused[record.rule] = standing.refused.get(record.rule, 0) + 1
        case on.CommandAcknowledged(ok=False):
            _never_began(standing, record.command)
        case on.OrderTaken(order="hold"):
            standing.holds[key(record.target)] = Hold(record.target, record.by, record.reason, record.at, record.until)
        case on.OrderTaken(order="release"):
            standing.holds.pop(key(record.target), None)
        case on.OrderTaken(order="override") if record.until is not None:
            standing.overrides[f"{record.rule} {key(record.target)}"] = Override(
                record.rule, record.target, record.by, record.reason, record.at, record.until
            )
        case on.OrderTaken(order="revoke"):
            standing.overrides.pop(f"{record.rule} {key(record.target)}", None)
        case _:
            pass


def issued(standing: Standing, command: Command, kind: ActKind | None, at: Nanos) -> None:
    """An order, not a renewal and not in shadow, was given; `kind` None: it gives back."""
    remedies = standing.remedies.get(str(command.target), {})
    if kind is None:
        if isinstance(command.intent, Restore | Weigh):  # a probe is not traffic given back yet
            what = command.intent.what if isinstance(command.intent, Restore) else ""
            for name, remedy in remedies.items():
                remedy.ended = remedy.ended or what in ("", name)
        return
    lately = standing.acts.setdefault(command.target.service, [])
    del lately[: bisect_right(lately, at - MINUTE_NS)]
    lately.append(at)
    del lately[:-ISSUED_MAX]
    name = remedy_key(command)
    found = remedies.get(name)
    if found is None:
        found = remedies[name] = Remedy(command.id, at)
    elif found.ended:
        found.failed_at = [*found.failed_at, at][-FAILED_MAX:]
    found.command, found.at, found.ended = command.id, at, False
    standing.remedies.pop(str(command.target), None)
    standing.remedies[str(command.target)] = remedies
    if len(standing.remedies) > TARGETS_MAX:
        del standing.remedies[next(iter(standing.remedies))]


def _never_began(standing: Standing, command: CommandId) -> None:
    """A roll-back that nobody took has not been tried: it may be ordered again."""
    for remedies in standing.remedies.values():
        for name, remedy in list(remedies.items()):
            if remedy.command == command and name.startswith("roll_back "):
                del remedies[name]


def remedy_key(command: Command) -> str:
    """What counts as the same remedy: the kind of act; of a roll-back, the version that it withdraws."""
    intent = command.intent
    kind = act_of(command) or ""
    return f"{kind} {intent.version}" if isinstance(intent, RollBack) else kind


def shift(standing: Standing, shift_ns: int) -> None:
    """Bring every time to this boot's clock."""

    def moved(at: Nanos) -> Nanos:
        return Nanos(at + shift_ns)

    structs = msgspec.structs
    standing.holds = {
        name: structs.replace(one, since=moved(one.since), until=None if one.until is None else moved(one.until))
        for name, one in standing.holds.items()
    }
    standing.overrides = {
        name: structs.replace(one, since=moved(one.since), until=moved(one.until))
        for name, one in standing.overrides.items()
    }
    standing.acts = {name: [moved(at) for at in times] for name, times in standing.acts.items()}
    for remedies in standing.remedies.values():
        for remedy in remedies.values():
            remedy.at = moved(remedy.at)
            remedy.failed_at = [moved(at) for at in remedy.failed_at]
