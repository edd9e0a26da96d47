"""A remedy that did not help is escalated, not repeated.

It did not help when traffic was given back on evidence, and the same act about the same target is wanted again. That is
counted over incidents: a target that falls ill an hour later is another matter, one that does every minute is not. A
probe that fails says nothing against the remedy: nothing was given back. A roll-back is never repeated by itself.
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
    if isinstance(intent, RollBack):
        return No(f"{intent.version} of {ask.target} was rolled back already; a person decides what comes after that")
    since = Nanos(ask.now - to_nanos(within))
    failed = len(remedy.failed_at) - bisect_right(remedy.failed_at, since) + remedy.ended
    if failed >= ask.policy.remedy_attempts_max:
        what = ask.kind.replace("_", " ")
        return No(f"to {what} {ask.target} did not last {failed} times within {within:g} s: a person decides")
    return None
