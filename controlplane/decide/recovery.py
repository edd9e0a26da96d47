"""Recovery is earned: hold, probe, ramp, full, verified. A relapse starts over and holds for longer.

Pure rules about one containment; the engine turns what they return into records and commands.

    HOLD  --penalty over-->  PROBE  --real requests pass-->  RAMP 10 25 50  --clean time and calls-->  FULL  --clean time-->  VERIFIED
      ^                        |                                |                                       |
      +------------------------+--------- a new verdict --------+---------------------------------------+

An overloaded service is not probed: it answers all the time, as far as its limit lets it. It ramps once the answers are
clean, and is at full traffic when the limit, which adapts in the data plane, refuses nobody any more.
"""  # noqa: E501  the drawing is wider than prose

import msgspec

from controlplane.model.command import Intent, Isolate, Limit, Probe, Restore, Weigh
from controlplane.model.incident import Containment, Stage
from controlplane.model.policy import ResponsePolicy
from controlplane.model.unit import Nanos, to_nanos

DIRTY_PERCENT = 10  # of the calls of a limited service: more failures are not clean, more refusals mean that it binds
PATIENCE = 4  # steps after which a stage without traffic is left on the evidence there is


class Traffic(msgspec.Struct, frozen=True):
    """What a target has seen since its present stage began."""

    calls: int = 0
    failures: int = 0
    refused: int = 0

    @property
    def clean(self) -> int:
        """Calls that did not fail."""
        return self.calls - self.failures


class Step(msgspec.Struct, frozen=True):
    """The next stage of a containment and the order that goes with it (None: nothing to order)."""

    stage: Stage
    percent: int
    intent: Intent | None
    reason: str
    penalty_ns: Nanos
    relapses: int
    concurrency: int = 0


def contain(intent: Intent, policy: ResponsePolicy, held: Containment | None) -> Step:
    """The first stage of a containment, or of the next one after a relapse: the penalty doubles."""
    first = to_nanos(policy.penalty_s)
    penalty, relapses, reason = first, 0, "contained"
    if held is not None:
        relapses = held.relapses + 1
        penalty = Nanos(min(held.penalty_ns * 2, to_nanos(policy.penalty_max_s)))
        reason = f"relapse {relapses}: held for {penalty / 1e9:g} s"
    concurrency = intent.concurrency if isinstance(intent, Limit) else 0
    return Step(Stage.HOLD, 0, intent, reason, penalty, relapses, concurrency)


def due(held: Containment, policy: ResponsePolicy) -> Nanos | None:
    """When `held` next wants to be looked at by time alone; None when only evidence can move it."""
    step = to_nanos(policy.ramp_step_s)
    match held.stage:
        case Stage.HOLD:
            return Nanos(held.since + (step if held.overload else held.penalty_ns))
        case Stage.RAMP:
            return Nanos(held.since + step)
        case Stage.FULL:
            return Nanos(held.since + to_nanos(policy.verify_s))
        case _:
            return None


def advance(held: Containment, traffic: Traffic, policy: ResponsePolicy, now: Nanos) -> Step | None:
    """The step that time and traffic (since this stage began) have earned by `now`; None: not yet."""
    at = due(held, policy)
    if at is None or now < at:
        return None
    waited = now - held.since >= PATIENCE * to_nanos(policy.ramp_step_s)
    if held.overload and held.stage in (Stage.HOLD, Stage.RAMP):
        return _loosen(held, traffic, policy, waited=waited)
    match held.stage:
        case Stage.HOLD:
            return _step(held, Stage.PROBE, 0, Probe(), "penalty is over: a few real requests may try")
        case Stage.RAMP:
            if traffic.clean < policy.ramp_calls_min and not waited:
                return None
            return _ramp(held, policy, f"{traffic.clean} clean calls")
        case Stage.FULL:
            return _step(held, Stage.VERIFIED, 100, None, f"{traffic.clean} clean calls at full traffic")
        case _:
            return None


def passed(held: Containment, policy: ResponsePolicy) -> Step | None:
    """The step that passed probes earn."""
    if held.stage is not Stage.PROBE:
        return None
    return _ramp(held, policy, "probes passed")


def again(held: Containment) -> Step:
    """The same stage from its beginning: a relapse that a safety rule forbids to hold earns no further step."""
    reason = "a relapse that may not be held: the stage begins again"
    return msgspec.structs.replace(_step(held, held.stage, held.percent, None, reason), relapses=held.relapses + 1)


def observed(held: Containment, policy: ResponsePolicy, last_verdict: Nanos, now: Nanos) -> Step | None:
    """The step of a shadow containment: nothing was done, so one only sees that it is over."""
    quiet_since = max(held.since, last_verdict)
    if held.stage is Stage.HOLD and now >= quiet_since + to_nanos(policy.verify_s):
        return _step(held, Stage.VERIFIED, 100, None, "no further verdict while observing")
    return None


def by_itself(
    held: Containment, traffic: Traffic, policy: ResponsePolicy, last_verdict: Nanos, now: Nanos
) -> Step | None:
    """The step of a containment that no data plane has taken, once its target has served well for a while without it:
    an order must not be carried out on the evidence of a failure that is over."""
    quiet = now >= max(held.since, last_verdict) + to_nanos(policy.verify_s)
    clean = traffic.clean >= max(1, policy.ramp_calls_min) and traffic.failures * 100 <= DIRTY_PERCENT * traffic.calls
    if held.stage is not Stage.HOLD or not (quiet and clean):
        return None
    return _step(held, Stage.VERIFIED, 100, None, f"{traffic.clean} clean calls while no order was taken")


def _ramp(held: Containment, policy: ResponsePolicy, reason: str) -> Step:
    """The first stage above the present share; beyond the last one, full traffic."""
    reached = held.percent if held.stage is Stage.RAMP else 0
    share = next((percent for percent in sorted(policy.ramp_percent) if percent > reached), 100)
    if share >= 100:
        return _step(held, Stage.FULL, 100, Restore(), reason)
    return _step(held, Stage.RAMP, share, Weigh(share), reason)


def _loosen(held: Containment, traffic: Traffic, policy: ResponsePolicy, *, waited: bool) -> Step | None:
    """The limit adapts by itself; what is seen here is whether answers are clean, and whether it still binds."""
    if traffic.calls == 0:
        if not (waited and traffic.refused):
            return None
        # long answers, as streams, fill the limit: what never ends says nothing, and must not shut out everybody else
        return _step(held, Stage.FULL, 100, Restore(), f"no call ended and {traffic.refused} were refused")
    seen = f"{traffic.failures} of {traffic.calls} calls failed, {traffic.refused} were refused"
    if traffic.failures * 100 > DIRTY_PERCENT * traffic.calls:
        return _clamp_again(held, seen, policy)
    if traffic.refused * 100 > DIRTY_PERCENT * (traffic.calls + traffic.refused):
        return _step(held, Stage.RAMP, 0, None, f"answers are clean, the limit still binds: {seen}")
    return _step(held, Stage.FULL, 100, Restore(), f"the limit binds no longer: {seen}")


def _clamp_again(held: Containment, reason: str, policy: ResponsePolicy) -> Step:
    """Not clean yet, or no longer; a limit that does not help, long enough, gives way to isolation."""
    relapses = held.relapses + 1
    if relapses > policy.remedy_attempts_max:
        return Step(Stage.HOLD, 0, Isolate(), f"limiting did not help: {reason}", held.penalty_ns, relapses)
    return Step(Stage.HOLD, 0, None, reason, held.penalty_ns, relapses, held.concurrency)


def _step(held: Containment, stage: Stage, percent: int, intent: Intent | None, reason: str) -> Step:
    limited = held.concurrency if held.overload and stage in (Stage.HOLD, Stage.RAMP) else 0
    return Step(stage, percent, intent, reason, held.penalty_ns, held.relapses, limited)
