"""Who is not configured as wanted, told once it has stood for a while, and never a ground to move traffic.

A configuration that is rolled out passes through states in which first the new and then the old one is in the minority.
So a difference is told only when it has stood for SETTLE_NS unchanged; after each time that an endpoint was told of
within an hour it must stand twice as long, so that one which flaps makes a few lines and not thousands. It clears at
once. Fingerprints are on record, because most are told once, when a process starts, and must outlive a restart here.
"""

from controlplane.decide.draft import Draft
from controlplane.decide.drift.compare import differences, unclear
from controlplane.decide.drift.memory import Fingerprints
from controlplane.model.base import Target
from controlplane.model.drift import (
    DriftCleared,
    DriftFound,
    FingerprintNoted,
    FingerprintSeen,
    PlaneCompared,
)
from controlplane.model.unit import SECOND, Nanos

NOTED_NS = Nanos(10 * SECOND)  # an endpoint's fingerprint goes on record at most so often
PLANES_MAX = 64  # data planes of which a difference is remembered


def seen(draft: Draft, memory: Fingerprints, signal: FingerprintSeen) -> None:
    """An endpoint has said what it runs with."""
    memory.latest[signal.target] = signal
    if _note(draft, memory, signal):
        _judge(draft, memory, signal.target.service)
    _next(draft, memory)


def compared(draft: Draft, memory: Fingerprints, signal: PlaneCompared) -> None:
    """A data plane was compared with what is wanted of it."""
    if signal.plane in memory.planes or len(memory.planes) < PLANES_MAX:
        memory.planes[signal.plane] = signal
        _judge_plane(draft, memory, signal)
    _next(draft, memory)


def tick(draft: Draft, memory: Fingerprints) -> None:
    """Note what had to wait, and tell of what has stood for long enough."""
    if memory.due_at is None or draft.now < memory.due_at:
        return
    for signal in list(memory.latest.values()):
        _note(draft, memory, signal)
    for service in sorted({one.target.service for one in draft.state.fingerprints.values()}):
        _judge(draft, memory, service)
    for compared_last in memory.planes.values():
        _judge_plane(draft, memory, compared_last)
    _next(draft, memory)


def start(draft: Draft, memory: Fingerprints) -> None:
    """After a restart: what the topology has no more is forgotten, the rest is looked at again."""
    for who, one in list(draft.state.drifted.items()):
        if one.target is None:
            draft.record(DriftCleared(at=draft.now, who=who, reason="after a restart it is compared anew"))
        elif not _declared(draft, one.target):
            draft.record(DriftCleared(at=draft.now, who=who, target=one.target, reason="it is no longer declared"))
    if draft.state.fingerprints:
        memory.due_at = draft.now


def _note(draft: Draft, memory: Fingerprints, signal: FingerprintSeen) -> bool:
    """Put what an endpoint said on record where it is news, at most every NOTED_NS. True: it is to be judged."""
    before = draft.state.fingerprints.get(str(signal.target))
    if before is not None:
        if (before.value, before.parts, before.environment) == (
            signal.fingerprint,
            signal.parts,
            signal.environment,
        ):
            memory.latest.pop(signal.target, None)
            return False
        if draft.now - before.at < NOTED_NS:
            return False
    memory.latest.pop(signal.target, None)
    draft.record(
        FingerprintNoted(
            at=draft.now,
            target=signal.target,
            fingerprint=signal.fingerprint,
            parts=signal.parts,
            environment=signal.environment,
        )
    )
    return True


def _judge(draft: Draft, memory: Fingerprints, name: str) -> None:
    service = draft.topology.service(name)
    if service is None:
        return
    found = differences(service, draft.state.fingerprints)
    well = (
        "nobody can say any more who differs" if unclear(service, draft.state.fingerprints) else "it is as wanted again"
    )
    for endpoint in service.endpoints:
        target = Target(name, endpoint.name)
        differs, against = found.get(target, ((), ""))
        _weigh(draft, memory, str(target), differs, against, target, well)


def _judge_plane(draft: Draft, memory: Fingerprints, signal: PlaneCompared) -> None:
    _weigh(draft, memory, f"proxy {signal.plane}", signal.differs, "wanted", None, "all is in force")


def _weigh(
    draft: Draft,
    memory: Fingerprints,
    who: str,
    differs: tuple[str, ...],
    against: str,
    target: Target | None,
    well: str,
) -> None:
    told = draft.state.drifted.get(who)
    if not differs:
        memory.standing.pop(who, None)
        if told is not None:
            draft.record(DriftCleared(at=draft.now, who=who, target=target, reason=well))
            draft.notice(None, "info", f"{who} is no longer drifted: {well}", f"drift over:{who}:{draft.now}")
        return
    if told is not None and told.differs == differs:
        memory.standing.pop(who, None)
        return
    before = memory.standing.get(who)
    if before is None or before[0] != differs:
        before = memory.standing[who] = (differs, draft.now)
    if draft.now < before[1] + memory.settle_ns(who, draft.now):
        return
    del memory.standing[who]
    memory.told.setdefault(who, []).append(draft.now)
    record = DriftFound(at=draft.now, who=who, differs=differs, since=before[1], against=against, target=target)
    draft.record(record)
    draft.notice(None, "warning", draft.state.drifted[who].text, f"drift:{who}:{draft.now}")


def _next(draft: Draft, memory: Fingerprints) -> None:
    times = [since + memory.settle_ns(who, draft.now) for who, (_, since) in memory.standing.items()]
    for target in memory.latest:
        before = draft.state.fingerprints.get(str(target))
        times.append(draft.now if before is None else before.at + NOTED_NS)
    memory.due_at = Nanos(min(times)) if times else None


def _declared(draft: Draft, target: Target) -> bool:
    service = draft.topology.service(target.service)
    return service is not None and any(one.name == target.endpoint for one in service.endpoints)
