"""Which containment to order: harm avoided against traffic given up, over the horizon.

Every option is weighed by the same model (`harm`), in harmed requests per second at the protected entries:

    harm      = sum over entries of requests * blast
    avoided   = harm - what is harmed whatever is done, once the act works
    given up  = what the act itself refuses or degrades although it would have been answered
    net       = (avoided - given up) * (horizon - delay) / horizon

The best net is chosen. Options within TIE of the harm are equal, figures being no better than that; of those the one
whose acts are easier to take back, then the one with fewer acts. Nothing is done for less than TIE of the harm, except
what costs nobody anything and spares the origin calls that fail anyway.

Missing figures are unknown, never zero: an option that cannot be weighed is listed with the rule `invalid_data`.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from controlplane.decide.plan.capacity import SMALL
from controlplane.decide.plan.check import invalid
from controlplane.decide.plan.edges import at_edges
from controlplane.decide.plan.harm import Spread
from controlplane.decide.plan.load import cap_retries, shed, tighten, without_retries
from controlplane.decide.plan.options import at_endpoints
from controlplane.decide.plan.proposal import TIE, Proposal, origin_of
from controlplane.decide.plan.weigh import Scale, failing_of
from controlplane.model.plan import Act, Choice, Do, Option
from controlplane.model.situation import Situation

Rule = Callable[[tuple[Act, ...]], tuple[str, str] | None]
"""(rule, reason) where a safety rule forbids these acts together; None where all agree."""

EASIER: tuple[Do, ...] = ("cap_retries", "tighten", "eject", "reroute", "shed", "isolate", "fail_over", "roll_back")
"""The easier to take back, the earlier: by one order that takes effect at once, then by how many requests feel it."""


def choose(situation: Situation, *, forbidden: Rule | None = None) -> Choice:
    """The option with the best net effect that no rule forbids, its runner-up, and all that was considered.

    Pure and deterministic: the order of endpoints, calls and entries changes nothing.
    """
    problem = invalid(situation)
    if problem:
        return Choice(horizon_s=situation.horizon_s, why=f"invalid data: {problem}")
    failing = failing_of(situation)
    if failing is None:
        return Choice(horizon_s=situation.horizon_s, why=f"how much of {situation.origin} fails is not known")
    spread = Spread(situation, failing)
    scale = Scale(spread)
    weighed = [
        (one, scale.weigh(one)) for one in (_checked(one, forbidden) for one in propose(situation, spread, scale))
    ]
    weighed += [(one, scale.weigh(one)) for one in (_checked(one, forbidden) for one in _joined(weighed))]
    return _choice(situation, scale.harm, sorted((option for _, option in weighed), key=_order))


def propose(situation: Situation, spread: Spread, scale: Scale) -> list[Proposal]:
    """Every option, feasible or not, not yet weighed."""
    origin = origin_of(situation, spread.now)
    found = [*at_endpoints(origin), *at_edges(spread, scale), *tighten(origin, spread)]
    less, stop = shed(origin), cap_retries(origin)
    retries = situation.retries
    if stop is None or retries is None:
        return [*found, less]
    if stop.rule:
        return [*found, less, stop]
    if not less.rule:  # what was shed would be tried again
        less = msgspec.structs.replace(less, acts=(*less.acts, *stop.acts), why=f"{less.why}; {stop.why}")
    both = [
        msgspec.structs.replace(
            one,
            acts=(*one.acts, *stop.acts),
            answer=without_retries(origin, retries, one.answer),
            why=f"{one.why}; {stop.why}",
        )
        for one in found
        if one.heals and one.answer is not None and not one.rule
    ]
    if retries.feeds_itself:  # the loop needs no trigger any more: to take that away alone changes nothing
        lasts = f"the failure feeds itself (R {retries.before:.3g}) and would go on without its cause"
        found = [
            msgspec.structs.replace(one, answer=spread.now, why=f"{one.why}; {lasts}") if one.heals else one
            for one in found
        ]
    return [*found, less, stop, *both]


def _joined(weighed: Sequence[tuple[Proposal, Option]]) -> list[Proposal]:
    """What helps most at the origin, together with each way to isolate: the cut is for what still fails."""
    open_ = [(one, option) for one, option in weighed if not option.forbidden and (option.net or 0.0) > SMALL]
    cures = sorted(((option, one) for one, option in open_ if not one.refused), key=lambda pair: _order(pair[0]))
    if not cures:
        return []
    cure = cures[0][1]
    return [
        msgspec.structs.replace(
            one, acts=(*cure.acts, *one.acts), answer=cure.answer, delay_s=cure.delay_s, why=f"{cure.why}; {one.why}"
        )
        for one, option in weighed
        if one.refused and not option.forbidden
    ]


def _checked(proposal: Proposal, forbidden: Rule | None) -> Proposal:
    if proposal.rule or forbidden is None:
        return proposal
    refused = forbidden(proposal.acts)
    return proposal if refused is None else msgspec.structs.replace(proposal, rule=refused[0], why=refused[1])


def _order(option: Option) -> tuple[object, ...]:
    """Sorts options: feasible ones first, then by net, then by how easily they are taken back."""
    return bool(option.forbidden), option.net is None, -(option.net or 0.0), _size(option)


def _size(option: Option) -> tuple[object, ...]:
    """Smaller and easier to take back is less; the text decides between what is otherwise alike."""
    return max(EASIER.index(act.do) for act in option.acts), len(option.acts), option.given_up or 0.0, str(option)


def _choice(situation: Situation, harm: float | None, options: list[Option]) -> Choice:
    open_ = [option for option in options if not option.forbidden and option.net is not None]
    margin = TIE * (harm or 0.0)
    worth = [option for option in open_ if _worth(option, margin)]
    best = max((option.net or 0.0 for option in worth), default=0.0)
    chosen = min((option for option in worth if (option.net or 0.0) >= best - margin), key=_size, default=None)
    barred = [option for option in options if option.forbidden and option.net is not None]
    winners = [option for option in barred if (option.net or 0.0) > (chosen.net or 0.0 if chosen else 0.0) + margin]
    rest: Iterable[Option] = (option for option in (*winners, *open_, *barred, *options) if option is not chosen)
    runner_up = next(iter(rest), None)
    return Choice(
        chosen=chosen,
        runner_up=runner_up,
        why=_why(chosen, runner_up, harm, margin),
        harm=harm,
        horizon_s=situation.horizon_s,
        considered=tuple(options),
    )


def _worth(option: Option, margin: float) -> bool:
    """Whether it is better than to do nothing: by its net, or because it spares calls in vain at nobody's cost."""
    net, given_up, spared = option.net or 0.0, option.given_up or 0.0, option.relief or 0.0
    return net > max(margin, SMALL) or (net >= -margin - SMALL and given_up <= margin + SMALL < spared)


def _why(chosen: Option | None, runner_up: Option | None, harm: float | None, margin: float) -> str:
    """Why the runner-up lost; without a choice, why nothing is done."""
    if runner_up is None:
        return "nothing else could be done" if chosen else "nothing is known that could be done"
    if runner_up.forbidden:
        lost = f"{runner_up}: {runner_up.forbidden} forbids it: {runner_up.why}"
        return lost if chosen else f"nothing that is allowed helps; {lost}"
    if harm is None:
        return "what users lose is not known: nothing can be weighed"
    net, avoided, given_up = runner_up.net or 0.0, runner_up.avoided or 0.0, runner_up.given_up or 0.0
    if chosen is None:
        return f"nothing is worth its price: {runner_up} avoids {avoided:.4g} and gives up {given_up:.4g} requests/s"
    gap = (chosen.net or 0.0) - net
    if gap <= margin:
        return f"{runner_up}: as good within {margin:.2g} requests/s, but larger or harder to take back"
    less, dearer = (chosen.avoided or 0.0) - avoided, given_up - (chosen.given_up or 0.0)
    both = [f"avoids {less:.4g} less"] * (less > SMALL) + [f"gives up {dearer:.4g} more"] * (dearer > SMALL)
    reason = " and ".join(both)
    return f"{runner_up}: net {net:.4g} against {chosen.net:.4g} requests/s: it {reason}"
