"""Recovery is earned: hold, probe, ramp, full, verified. A relapse goes back and holds for longer.

Pure rules about one containment; the engine turns what they return into records and commands.

    HOLD  --hold over-->  PROBE  --real requests pass-->  RAMP 10 25 50  --clean time and calls-->  FULL  --the same-->  VERIFIED
      ^                     |  ^                            |  ^                                    |
      |                     |  +-- dirty traffic at 10 % ---+  +------- dirty traffic --------------+
      +---------------------+------------------- a verdict, or a failed probe ----------------------+

How far a relapse goes back is decided by how sure it is. A verdict has rejected the target's health at the rate of false
alarms that containing it took: everything earned is lost. Traffic that is dirty below that costs one stage: what
was earned at a lower share is not refuted. Either lengthens the penalty (decide/penalty.py).

No share rises on time alone. Where a share is too small to bring a call, a few real requests are sent as probes again,
and what they show earns the next share. Without any traffic a stage waits, however long, and people are told once.

An overloaded service is not probed: it answers all the time, as far as its limit lets it. It ramps once the answers are
clean, and is at full traffic when the limit, which adapts in the data plane, refuses nobody any more.
"""  # noqa: E501  the drawing is wider than prose

import msgspec

from controlplane.decide.penalty import Sentence, first, lengthened
from controlplane.model.command import Intent, Isolate, Limit, Probe, Restore, Weigh
from controlplane.model.incident import Containment, Stage
from controlplane.model.policy import ResponsePolicy
from controlplane.model.unit import Nanos, to_nanos

DIRTY_PERCENT = 10  # of the calls of a stage: more failures are not clean; more refusals by a limit: it still binds
DIRTY_FAILURES_MIN = 2  # one failure is no pattern: at an error share of 1 in 1,000 it is in every fiftieth stage
PATIENCE = 4  # steps after which a stage with less traffic than `ramp_calls_min` is judged by the calls there are
PROBED_AGAIN = 12  # steps without any call: probes, one request in sixteen, come sooner than calls of so small a share


class Traffic(msgspec.Struct, frozen=True):
    """What a target has seen since its present stage began."""

    calls: int = 0
    failures: int = 0
    refused: int = 0

    @property
    def clean(self) -> int:
        """Calls that did not fail."""
        return self.calls - self.failures

    @property
    def dirty(self) -> bool:
        """Whether more of it failed than a healthy target's would, and not by a single call."""
        return self.failures >= DIRTY_FAILURES_MIN and self.failures * 100 > DIRTY_PERCENT * self.calls

    def earns(self, policy: ResponsePolicy, *, waited: bool) -> bool:
        """Whether it is evidence for a step: clean calls, as many as the policy asks for, or any after PATIENCE."""
        enough = 1 if waited else max(1, policy.ramp_calls_min)
        return self.clean >= enough and self.failures * 100 <= DIRTY_PERCENT * self.calls


class Step(msgspec.Struct, frozen=True):
    """The next stage of a containment and the order that goes with it (None: nothing to order).

    `penalty_ns` is what the next relapse starts from, `hold_ns` how long a hold lasts: the penalty and its jitter.
    """

    stage: Stage
    percent: int
    intent: Intent | None
    reason: str
    penalty_ns: Nanos
    relapses: int
    concurrency: int = 0
    hold_ns: Nanos = Nanos(0)


def contain(intent: Intent, policy: ResponsePolicy, held: Containment | None, sentence: Sentence) -> Step:
    """The first stage of a containment, or of the next one after a relapse, for as long as `sentence` says."""
    relapses = 0 if held is None else held.relapses + 1
    penalty = first(policy) if sentence.served_ns == 0 else lengthened(sentence.served_ns, policy)
    hold = sentence.hold(penalty, relapses)
    reason = "contained"
    if relapses:
        reason = f"relapse {relapses}: held for {hold / 1e9:.3g} s"
    elif sentence.served_ns:
        before = f"{sentence.served_ns / 1e9:.3g} s are on record of earlier incidents"
        reason = f"contained, for {hold / 1e9:.3g} s: {before}"
    concurrency = intent.concurrency if isinstance(intent, Limit) else 0
    return Step(Stage.HOLD, 0, intent, reason, penalty, relapses, concurrency, hold)


def pace(held: Containment, policy: ResponsePolicy) -> ResponsePolicy:
    """`policy`, as fast as what is held back allows. Siblings bear the load of an endpoint: it may stay out for long.
    Of a whole service callers lose every call meanwhile, so it is tried again soon, at the cost of a probe. A limit
    that was not clean for long is watched no more often than an endpoint: it adapts without being watched."""
    old = held.overload and held.relapses > policy.remedy_attempts_max
    return policy.pace(whole=not held.target.endpoint and not old)


def due(held: Containment, policy: ResponsePolicy) -> Nanos | None:
    """When `held` next wants to be looked at by time alone; None when only evidence can move it."""
    policy = pace(held, policy)
    step = to_nanos(policy.ramp_step_s)
    match held.stage:
        case Stage.HOLD:
            return Nanos(held.since + (step if held.overload else held.hold_ns or held.penalty_ns))
        case Stage.RAMP:
            return Nanos(held.since + step)
        case Stage.FULL:
            return Nanos(held.since + to_nanos(policy.verify_s))
        case _:
            return None


def advance(
    held: Containment, traffic: Traffic, policy: ResponsePolicy, now: Nanos, *, dispensable: bool = True
) -> Step | None:
    """The step, forth or back, that time and traffic since this stage began call for by `now`; None: not yet.

    `dispensable`: callers can do without the service, so it may be isolated where limiting it does not help.
    """
    policy = pace(held, policy)
    if held.stage in (Stage.RAMP, Stage.FULL) and traffic.dirty and _settled(held, policy, now) and not _limited(held):
        return back(held, traffic, policy)
    at = due(held, policy)
    if at is None or now < at:
        return None
    waited = has_waited(held, policy, now)
    if _limited(held):
        return _loosen(held, traffic, policy, waited=waited, dispensable=dispensable)
    match held.stage:
        case Stage.HOLD:
            return _step(held, Stage.PROBE, 0, Probe(), "penalty is over: a few real requests may try")
        case Stage.RAMP if traffic.earns(policy, waited=waited):
            return _ramp(held, policy, _clean(traffic))
        case Stage.RAMP if traffic.calls == 0 and now - held.since >= PROBED_AGAIN * to_nanos(policy.ramp_step_s):
            return _step(held, Stage.PROBE, held.percent, Probe(), f"{held.percent} % brought no call: probed instead")
        case Stage.FULL if traffic.earns(policy, waited=waited):
            return _step(held, Stage.VERIFIED, 100, None, f"{_clean(traffic)} at full traffic")
        case _:
            return None


def has_waited(held: Containment, policy: ResponsePolicy, now: Nanos) -> bool:
    """Whether a stage has lasted so long that little traffic must do, and that none at all is worth telling."""
    return now - held.since >= PATIENCE * to_nanos(pace(held, policy).ramp_step_s)


def passed(held: Containment, policy: ResponsePolicy) -> Step | None:
    """The step that passed probes earn."""
    if held.stage is not Stage.PROBE:
        return None
    return _ramp(held, policy, "probes passed")


def back(held: Containment, traffic: Traffic, policy: ResponsePolicy) -> Step:
    """One stage back, with a longer penalty: traffic is dirty, and nobody's verdict has said more."""
    policy = pace(held, policy)
    relapses = held.relapses + 1
    seen = f"relapse {relapses}: {traffic.failures} of {traffic.calls} calls failed, below a verdict: one stage back"
    penalty = lengthened(held.penalty_ns, policy)
    if held.concurrency:  # at full traffic again, and not clean: the limit that adapts is what held it
        return Step(Stage.HOLD, 0, Limit(held.concurrency), seen, penalty, relapses, held.concurrency)
    reached = held.percent if held.stage is Stage.RAMP else 100
    share = max((percent for percent in policy.ramp_percent if percent < min(reached, 100)), default=0)
    if share == 0:
        return Step(Stage.PROBE, 0, Probe(), seen, penalty, relapses)
    return Step(Stage.RAMP, share, Weigh(share), seen, penalty, relapses)


def again(held: Containment, policy: ResponsePolicy) -> Step:
    """The same stage from its beginning: a relapse that a safety rule forbids to hold earns no further step."""
    reason = "a relapse that may not be held: the stage begins again"
    return msgspec.structs.replace(
        _step(held, held.stage, held.percent, None, reason),
        penalty_ns=lengthened(held.penalty_ns, pace(held, policy)),
        relapses=held.relapses + 1,
    )


def acquitted(held: Containment, reason: str) -> Step:
    """Back at once: it was taken out for being slow, and then all of its siblings were. What they share is the cause,
    and what it bore is on top of what they cannot bear."""
    return _step(held, Stage.VERIFIED, 100, Restore(), reason)


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
    if held.stage is not Stage.HOLD or not (quiet and traffic.earns(policy, waited=False)):
        return None
    return _step(held, Stage.VERIFIED, 100, None, f"{_clean(traffic)} while no order was taken")


def _settled(held: Containment, policy: ResponsePolicy, now: Nanos) -> bool:
    """Whether the stage is half a step old: what was in flight when its share changed is no relapse."""
    return 2 * (now - held.since) >= to_nanos(policy.ramp_step_s)


def _limited(held: Containment) -> bool:
    return held.overload and held.stage in (Stage.HOLD, Stage.RAMP)


def _ramp(held: Containment, policy: ResponsePolicy, reason: str) -> Step:
    """The first stage above the share that was reached; beyond the last one, full traffic."""
    reached = held.percent if held.stage in (Stage.PROBE, Stage.RAMP) else 0
    share = next((percent for percent in sorted(policy.ramp_percent) if percent > reached), 100)
    if share >= 100:
        return _step(held, Stage.FULL, 100, Restore(), reason)
    return _step(held, Stage.RAMP, share, Weigh(share), reason)


def _loosen(
    held: Containment, traffic: Traffic, policy: ResponsePolicy, *, waited: bool, dispensable: bool
) -> Step | None:
    """The limit adapts by itself; what is seen here is whether answers are clean, and whether it still binds."""
    if traffic.calls == 0:
        if not (waited and traffic.refused):
            return None
        # long answers, as streams, fill the limit: what never ends says nothing, and must not shut out everybody else
        return _step(held, Stage.FULL, 100, Restore(), f"no call ended and {traffic.refused} were refused")
    seen = f"{traffic.failures} of {traffic.calls} calls failed, {traffic.refused} were refused"
    if traffic.failures * 100 > DIRTY_PERCENT * traffic.calls:
        return _clamp_again(held, seen, policy, dispensable=dispensable)
    if traffic.refused * 100 > DIRTY_PERCENT * (traffic.calls + traffic.refused):
        return _step(held, Stage.RAMP, 0, None, f"answers are clean, the limit still binds: {seen}")
    return _step(held, Stage.FULL, 100, Restore(), f"the limit binds no longer: {seen}")


def _clamp_again(held: Containment, reason: str, policy: ResponsePolicy, *, dispensable: bool) -> Step:
    """Not clean yet, or no longer. A limit that does not help, long enough, gives way to isolation where callers can do
    without the service. Where they cannot it stays, and people are called: it opens by itself the moment the service
    answers again, while isolation would have to be taken back step by step."""
    relapses = held.relapses + 1
    if relapses > policy.remedy_attempts_max and dispensable:
        return Step(Stage.HOLD, 0, Isolate(), f"limiting did not help: {reason}", held.penalty_ns, relapses)
    return Step(Stage.HOLD, 0, None, reason, held.penalty_ns, relapses, held.concurrency)


def _step(held: Containment, stage: Stage, percent: int, intent: Intent | None, reason: str) -> Step:
    return Step(stage, percent, intent, reason, held.penalty_ns, held.relapses, held.concurrency)


def _clean(traffic: Traffic) -> str:
    return f"{traffic.clean} clean call{'' if traffic.clean == 1 else 's'}"
