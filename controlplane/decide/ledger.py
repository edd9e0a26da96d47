"""What stands beside the traffic orders: side orders of a service, and withdrawn versions. Folded from records.

A side order (fail over, cap retries, shed, tighten, close, harden) coexists with the one traffic order about its
target; it is known by target and kind. A roll-back is neither: it is started once, is not leased, and ends by a word
of its deployer.
"""

from typing import TYPE_CHECKING, Literal

import msgspec

from controlplane.model import record as on
from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    FailOver,
    Harden,
    Intent,
    Restore,
    RollBack,
    Shed,
    Tighten,
)
from controlplane.model.incident import Incident
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, IncidentId, Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State

SideKind = Literal["fail_over", "cap_retries", "shed", "tighten", "close", "harden"]
SIDES: dict[type[Intent], SideKind] = {
    FailOver: "fail_over",
    CapRetries: "cap_retries",
    Shed: "shed",
    Tighten: "tighten",
    Close: "close",
    Harden: "harden",
}


Followed = on.PlanEnacted | on.PlanJudged | on.LeftToPeople | on.VersionWithdrawn | on.VersionProven | on.RollbackEnded


class SideStep(msgspec.Struct, frozen=True):
    """Where a side order stands: since when, the share it began with, how often it had to be taken up again."""

    since: Nanos
    first: int
    relapses: int = 0


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is not to get its traffic back by itself. `ok`: how its roll-back ended; None: not yet.

    `proven`: what was withdrawn has been seen to serve well since, or is gone.
    """

    version: str
    incident: IncidentId
    command: CommandId
    at: Nanos
    others: tuple[str, ...] = ()
    ended_at: Nanos | None = None
    ok: bool | None = None
    proven: bool = False


def side_kind(intent: Intent) -> SideKind | None:
    """Which side order `intent` is, or takes back; None: it is about the traffic of its target."""
    if isinstance(intent, Restore):
        return intent.what or None
    return SIDES.get(type(intent))


def side_key(target: Target, kind: SideKind) -> str:
    """Under which a side order is kept."""
    return f"{target} {kind}"


def apart(intent: Intent) -> bool:
    """Whether `intent` is none of the traffic orders of which a target has one."""
    return isinstance(intent, RollBack) or side_kind(intent) is not None


def share_of(intent: Intent) -> int:
    """How far a side order goes, in percent; one that is all or nothing goes all the way."""
    return intent.percent if isinstance(intent, FailOver | Shed) else 100


def issue(state: "State", command: Command, at: Nanos, *, renewal: bool) -> bool:
    """Fold an order that is in force. True: it is done with here, the traffic orders stay as they are."""
    intent, target = command.intent, command.target
    if isinstance(intent, RollBack):
        return True
    kind = side_kind(intent)
    if kind is None:
        if isinstance(intent, Restore):  # everything about the target is taken back, its sides included
            for each in SIDES.values():
                _drop(state, side_key(target, each))
        return False
    key = side_key(target, kind)
    if isinstance(intent, Restore):
        _drop(state, key)
        return True
    if not renewal or key not in state.side_steps:
        share, before = share_of(intent), state.side_steps.get(key)
        old = state.sides.get(key)
        if before is None or old is None or old.incident != command.incident:
            state.side_steps[key] = SideStep(at, share)
        else:
            again = before.relapses + (share > share_of(old.intent))
            state.side_steps[key] = SideStep(at, max(before.first, share), again)
    state.sides[key] = command
    return True


def release(state: "State", target: Target, command: CommandId) -> None:
    """Fold the end of a lease."""
    for kind in SIDES.values():
        held = state.sides.get(side_key(target, kind))
        if held is not None and held.id == command:
            _drop(state, side_key(target, kind))


def not_taken(state: "State", command: CommandId, at: Nanos) -> None:
    """Fold that no data plane has taken `command`."""
    for service, held in state.withdrawn.items():
        if held.command == command and held.ok is None:
            _change(state, service, ended_at=at, ok=False)
    for key in [key for key, held in state.sides.items() if held.id == command]:
        _drop(state, key)


def order(state: "State", record: on.OrderTaken) -> None:
    """Fold a person's order: a release of the whole service gives a withdrawn version back to it, too."""
    if record.order == "release" and record.target is not None:
        state.withdrawn.pop(record.target.service, None)


def merged(state: "State", record: on.IncidentMerged) -> None:
    """Fold that one incident goes on as part of another: what was ordered for it is that one's from now on."""
    for key, command in state.sides.items():
        if command.incident == record.incident:
            state.sides[key] = msgspec.structs.replace(command, incident=record.into)
    for service, held in state.withdrawn.items():
        if held.incident == record.incident:
            _change(state, service, incident=record.into)


def version_released(state: "State", record: on.VersionReleased) -> None:
    """Fold that a version may get its traffic back."""
    held = state.withdrawn.get(record.service)
    if held is not None and held.version == record.version:
        del state.withdrawn[record.service]


def tell(
    state: "State",
    incident: Incident,
    record: Followed,
) -> str:
    """Fold what becomes of an incident's plan and roll-back; the answer is its line for people."""
    match record:
        case on.PlanEnacted():
            incident.plan = plan = record.plan
            verb = "would enact" if plan.shadow else "enacted"
            return f"{verb}: {plan.text}: harmed requests/s {plan.harm:.4g} -> {plan.expected:.4g} expected"
        case on.LeftToPeople():
            incident.by_hand += record.steps
            return f"left to people: {'; '.join(record.steps)}"
        case on.PlanJudged():
            if incident.plan is not None:
                incident.plan = msgspec.structs.replace(incident.plan, helped=record.helped)
                if not record.helped:
                    incident.unhelpful.append(incident.plan.key)
            return f"the plan {'helped' if record.helped else 'did not help'}: {record.reason}"
        case on.VersionWithdrawn():
            state.withdrawn[record.service] = Withdrawal(
                version=record.version,
                incident=record.incident,
                command=record.command,
                at=record.at,
                others=record.others,
            )
            return f"version {record.version} of {record.service} is withdrawn"
        case on.VersionProven():
            _change(state, record.service, proven=True)
            return f"version {record.version} of {record.service} is rolled back, and it shows: {record.reason}"
        case on.RollbackEnded():
            for service, held in state.withdrawn.items():
                if held.command == record.command:
                    _change(state, service, ended_at=record.at, ok=record.ok)
            return f"roll-back {'done' if record.ok else 'failed'}: {record.reason or 'no reason given'}"


def shift(state: "State", shift_ns: int) -> None:
    """Bring times that may still be compared with `now` to this boot's clock."""
    for key, command in state.sides.items():
        state.sides[key] = msgspec.structs.replace(
            command,
            lease_until=Nanos(command.lease_until + shift_ns),
            signal_at=Nanos(command.signal_at + shift_ns),
        )
    for key, step in state.side_steps.items():
        state.side_steps[key] = msgspec.structs.replace(step, since=Nanos(step.since + shift_ns))
    for service, held in state.withdrawn.items():
        ended_at = None if held.ended_at is None else Nanos(held.ended_at + shift_ns)
        _change(state, service, at=Nanos(held.at + shift_ns), ended_at=ended_at)
    for incident in state.incidents.values():
        if incident.plan is not None:
            plan = incident.plan
            incident.plan = msgspec.structs.replace(
                plan, at=Nanos(plan.at + shift_ns), works_at=Nanos(plan.works_at + shift_ns)
            )


def _change(state: "State", service: str, **more: object) -> None:
    if (held := state.withdrawn.get(service)) is not None:
        state.withdrawn[service] = msgspec.structs.replace(held, **more)


def _drop(state: "State", key: str) -> None:
    state.sides.pop(key, None)
    state.side_steps.pop(key, None)
