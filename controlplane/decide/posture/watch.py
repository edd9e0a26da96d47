"""Whether a guard is degraded, by evidence: what was held against it, and what it has answered since.

    degraded   it is held back as a whole, and has not passed its probes yet; or calls to all of it were found bad; or
               an endpoint of it was found bad and is still in rotation; or it passes on the failures of another one
    well       as many calls or probes in a row as WELL_CALLS were answered well since, or its hold came to an end by
               real requests that passed. Each time it fails again in the same incident it takes twice as many

One bad endpoint of several that was taken out of rotation is no degraded guard: the others answer. No traffic is no
evidence, in either direction.
"""

import msgspec

from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.recovery import DIRTY_PERCENT
from controlplane.model.incident import Containment, Incident, Stage
from controlplane.model.signal import CallsFinished, Probed, ProbeFinished, Relayed, Sampled, Signal, Target, Tripped
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import SECOND, Nanos

WELL_CALLS = 5  # in a row, as `evidence.WELL_CALLS`: a verdict is then out of date
DOUBLINGS_MAX = 6  # 320 calls in a row are proof of anything
BAD_CALLS = 2  # in one sample, beside DIRTY_PERCENT of it: one failure is nobody's degradation
RELAYED_CALLS = 5  # that it answered with another's failure, within RELAYED_NS
RELAYED_NS = 10 * SECOND
QUIET_NS = 2 * SECOND  # without a relayed failure: what was answered since was answered well

_OUT = (Stage.HOLD, Stage.PROBE)
_BACK = (Stage.RAMP, Stage.FULL, Stage.VERIFIED)


class _Seen(msgspec.Struct):
    """Of one guard: verdicts, when each was refuted, and answers in a row since, by target."""

    verdicts: dict[Target, Nanos] = msgspec.field(default_factory=dict)
    refuted: dict[Target, Nanos] = msgspec.field(default_factory=dict)  # the verdict that is, by its time
    proven_at: Nanos = Nanos(-1)  # when all of it was last seen to answer well
    well: dict[Target, int] = msgspec.field(default_factory=dict)
    passed: dict[Target, Nanos] = msgspec.field(default_factory=dict)  # when real requests have passed as probes
    counted: set[Target] = msgspec.field(default_factory=set)  # since the newest verdict
    relayed_at: list[Nanos] = msgspec.field(default_factory=list)
    relays_of: str = ""
    newest: Nanos = Nanos(-1)  # verdict: what was answered before it proves nothing
    strikes: int = 0  # times that it was found well in this incident and failed again
    found_well: bool = False


class Watch:
    """Fed with every signal; asked about guards that protect somebody."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._seen: dict[str, _Seen] = {}

    def note(self, signal: Signal) -> bool:
        """Take in what `signal` says of a guard that protects somebody; False: nothing."""
        match signal:
            case Probed(passed=True) if signal.target.service in self._topology.protected:
                self._of(signal.target.service).passed[signal.target] = signal.at
                return True
            case Tripped() if signal.target.service in self._topology.protected:
                seen = self._of(signal.target.service)
                seen.well.clear()
                seen.counted.clear()
                seen.refuted.pop(signal.target, None)
                return True
            case Probed() if signal.target.service in self._topology.protected:
                return True
            case Sampled() | CallsFinished():
                bad = min(signal.calls, signal.failures + signal.slow)
                return self._counted(signal.target, signal.calls, bad, signal.at, spans=True)
            case ProbeFinished():
                return self._counted(signal.target, 1, 0 if signal.ok else 1, signal.at)
            case Relayed() if signal.caller in self._topology.protected:
                seen = self._of(signal.caller)
                seen.relayed_at = [at for at in seen.relayed_at if at > signal.at - RELAYED_NS][-RELAYED_CALLS:]
                seen.relayed_at += [signal.at] * min(signal.count, RELAYED_CALLS)
                seen.relays_of = signal.callee
                seen.well.clear()
                return True
        return False

    def hold(self, guard: str, now: Nanos) -> None:
        """It was degraded when the engine last ran: it is until it has shown that it is not."""
        self._of(guard).verdicts[Target(guard)] = now

    def forget(self, guard: str) -> None:
        """Its incident is over."""
        self._seen.pop(guard, None)

    def degraded(self, draft: Draft, evidence: Evidence, guard: Service) -> tuple[str, Incident] | None:
        """Why `guard` is degraded, and in which incident; None: it is not, as far as anybody has shown."""
        incident = self._incident(draft, guard)
        if incident is None:
            return None
        seen = self._of(guard.name)
        parts = [Target(guard.name), *(Target(guard.name, one.name) for one in guard.endpoints)]
        for target in parts:  # an older verdict was another incident's
            at = evidence.verdict_at.get(target, Nanos(-1))
            if at >= incident.signal_at - RELAYED_NS:
                seen.verdicts[target] = max(at, seen.verdicts.get(target, Nanos(-1)))
        newest = max(seen.verdicts.values(), default=Nanos(-1))
        if newest > seen.newest:
            seen.newest = newest
            seen.well.clear()
            seen.counted.clear()
        self._refute(draft, guard, seen)
        why = self._why(draft, guard, seen)
        if not why:
            seen.found_well = True
            return None
        if seen.found_well:
            seen.found_well, seen.strikes = False, seen.strikes + 1
        return why, incident

    def proof(self, draft: Draft, guard: Service) -> str:
        """How one knows that `guard` is well."""
        held = _held(draft, Target(guard.name))
        if held is not None and _passed(draft, self._of(guard.name), held.target) is not None:
            return f"it came back from its hold: {held.stage}"
        calls = sum(self._of(guard.name).well.values())
        return f"{calls} calls or probes in a row were answered well" if calls else "nothing is held against it now"

    def broke(self, guard: Service) -> bool:
        """Whether a verdict was about all of it: the breaker of the calls to it may be open."""
        return Target(guard.name) in self._of(guard.name).verdicts

    def _of(self, guard: str) -> _Seen:
        return self._seen.setdefault(guard, _Seen())

    def _counted(self, target: Target, calls: int, bad: int, at: Nanos, *, spans: bool = False) -> bool:
        """Calls that ended. A count `spans` the time since the one before: the first one after a verdict holds what was
        answered well before it, and is no proof."""
        if calls < 0 or target.service not in self._topology.protected:
            return False
        seen = self._of(target.service)
        if spans and target not in seen.counted:
            seen.counted.add(target)
            return True
        if not calls:
            return False
        if bad * 100 <= DIRTY_PERCENT * calls:
            seen.well[target] = seen.well.get(target, 0) + calls - bad
            return True
        seen.well[target] = 0
        if bad >= BAD_CALLS and target in seen.refuted:  # it had been found well, in this incident: it fails again
            seen.verdicts[target] = at
        return True

    def _incident(self, draft: Draft, guard: Service) -> Incident | None:
        state = draft.state
        if not state.open:
            return None
        if (own := state.open_at(guard.name)) is not None:
            return own
        for incident in state.open_incidents():
            if any(target.service == guard.name for target in incident.touched):
                return incident
        parts = [Target(guard.name), *(Target(guard.name, one.name) for one in guard.endpoints)]
        if (holder := state.holder(parts)) is not None:
            return holder
        seen = self._seen.get(guard.name)
        return state.open_at(seen.relays_of) if seen is not None and seen.relayed_at else None

    def _refute(self, draft: Draft, guard: Service, seen: _Seen) -> None:
        """Verdicts that what came since has made out of date."""
        need = WELL_CALLS << min(seen.strikes, DOUBLINGS_MAX)
        whole = Target(guard.name)
        parts = [Target(guard.name, one.name) for one in guard.endpoints]
        serving = [part for part in parts if not _is_out(draft, part)]
        well = sum(seen.well.get(part, 0) for part in serving)
        all_well = bool(serving) and all(seen.well.get(part, 0) for part in serving) and well >= need
        if seen.relayed_at and draft.now - seen.relayed_at[-1] < QUIET_NS:
            return
        if seen.well.get(whole, 0) >= need or all_well:
            for target in (whole, *parts):
                seen.refuted[target] = seen.verdicts.get(target, Nanos(-1))
            seen.proven_at = draft.now
            seen.relayed_at.clear()
            return
        for target in (whole, *parts):
            back = [at for one in (whole, target) if (at := _passed(draft, seen, one)) is not None]
            at = seen.verdicts.get(target, Nanos(-1))
            if (back and max(back) >= at) or seen.well.get(target, 0) >= need:
                seen.refuted[target] = at

    def _why(self, draft: Draft, guard: Service, seen: _Seen) -> str:
        name = guard.name
        whole = _held(draft, Target(name))
        if whole is not None and whole.stage in _OUT and seen.proven_at <= whole.since:
            how = "limited" if whole.overload else "held back"
            return f"it is {how} as a whole"
        if len(seen.relayed_at) >= RELAYED_CALLS:
            return f"it answers with the failures of {seen.relays_of}"
        if _bad(seen, Target(name)):
            return "calls to it fail, or take too long"
        parts = [Target(name, one.name) for one in guard.endpoints]
        out = set(draft.seen.reflexes(name, draft.now))
        gone = [part for part in parts if part.endpoint in out or _is_out(draft, part)]
        bad = [part for part in parts if part not in gone and _bad(seen, part)]
        if parts and len(gone) == len(parts):
            return "no endpoint of it is in rotation"
        if bad:
            return f"{', '.join(part.endpoint for part in bad)} of {len(parts)} endpoints {_fails(bad)} in rotation"
        return ""


def _fails(bad: list[Target]) -> str:
    return "fails and is still" if len(bad) == 1 else "fail and are still"


def _bad(seen: _Seen, target: Target) -> bool:
    """Whether a verdict about `target` stands. What is as old as its refutation is refuted by it."""
    return seen.verdicts.get(target, Nanos(-1)) > seen.refuted.get(target, Nanos(-1))


def _passed(draft: Draft, seen: _Seen, target: Target) -> Nanos | None:
    """When `target` came back from its hold by real requests that passed; None: it did not. A limit that binds no
    longer, by counts that may reach back before the verdict, is not that."""
    held = _held(draft, target)
    return seen.passed.get(target) if held is not None and held.stage in _BACK else None


def _held(draft: Draft, target: Target) -> Containment | None:
    found = draft.state.containment(target)
    return None if found is None else found[1]


def _is_out(draft: Draft, target: Target) -> bool:
    found = draft.state.containment(target)
    held = found is not None and found[1].stage in _OUT and not found[0].shadow
    return held and str(target) in draft.state.in_force
