"""A remedy that did not help is escalated, not repeated.

It did not help when traffic was given back on evidence, and the same act about the same target is wanted again. That is
counted over incidents: a target that falls ill an hour later is another matter, one that does every minute is not. A
probe that fails says nothing against the remedy: nothing was given back. A roll-back of the same version is not
repeated at all within that time.
"""

from bisect import bisect_right

from controlplane.decide.safety.ask import Ask, No
from controlplane.model.command import RollBack
from controlplane.model.unit import Nanos, to_nanos


def loop_guard(ask: Ask) -> No | None:
    """The same again, once it has failed often enough."""
    if ask.kind is None:
        return None
    intent, within = ask.intent, ask.policy.remedy_window_s
    name = f"{ask.kind} {intent.version}" if isinstance(intent, RollBack) else ask.kind
    remedy = ask.state.standing.remedies.get(str(ask.target), {}).get(name)
    if remedy is None:
        return None
    since = Nanos(ask.now - to_nanos(within))
    if isinstance(intent, RollBack):
        if remedy.at <= since:
            return None
        return No(f"{ask.target} was rolled back from {intent.version} already; a person decides what comes after that")
    failed = len(remedy.failed_at) - bisect_right(remedy.failed_at, since) + remedy.ended
    if failed >= ask.policy.remedy_attempts_max:
        what = ask.kind.replace("_", " ")
        return No(f"to {what} {ask.target} did not last {failed} times within {within:g} s: a person decides")
    return None
