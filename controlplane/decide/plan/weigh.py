"""What an option is worth: harm before and after, summed over the protected entries."""

from controlplane.decide.plan.harm import UNHARMED, Harm, Spread
from controlplane.decide.plan.proposal import Proposal, load_of
from controlplane.model.plan import Option
from controlplane.model.situation import Situation


class Scale:
    """Weighs proposals about one situation. `harm`: users' requests per second harmed if nothing is done.

    The propagation core's figure (`blast`) is taken for what happens if nothing is done; the model here says by which
    part of it an act helps. An entry whose requests are unknown counts for neither side; an act that would refuse some
    of them cannot be weighed.
    """

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        situation = spread.situation
        self._entries: list[tuple[str, float, float]] = []
        self._unknown: list[str] = []
        for entry in spread.entries:
            requests = situation.requests.get(entry)
            if requests is None:
                self._unknown.append(entry)
                continue
            blast = situation.blast.get(entry)
            share = blast if blast is not None else spread.before.get(entry, UNHARMED).lasting
            self._entries.append((entry, requests, share))
        self.harm = sum(requests * share for _, requests, share in self._entries) if self._entries else None

    def weigh(self, proposal: Proposal) -> Option:
        """The option with its figures, as far as they are known."""
        if proposal.answer is None or self.harm is None:
            return _option(proposal, why=proposal.why)
        after = self._spread.harm(proposal.answer, proposal.refused)
        works = max(0.0, 1 - proposal.delay_s / self._spread.situation.horizon_s)
        avoided = given_up = 0.0
        for entry, requests, share in self._entries:
            then = after.get(entry, UNHARMED)
            kept = self._kept(entry, then)
            avoided += requests * share * (1 - kept) * works
            given_up += requests * min(max(0.0, then.total - then.lasting), 1 - share * kept) * works
        blind = [name for name in self._unknown if _refuses(after.get(name, UNHARMED))]
        if blind:
            return _option(
                proposal, why=f"what users of {', '.join(blind)} would lose is not known", rule="invalid_data"
            )
        effect = (
            f"harmed requests/s {self.harm:.4g} -> {self.harm - avoided + given_up:.4g}: "
            f"{avoided:.4g} avoided, {given_up:.4g} given up"
        )
        return Option(
            acts=proposal.acts,
            avoided=avoided,
            given_up=given_up,
            net=avoided - given_up,
            relief=proposal.relief,
            effect=effect,
            why=proposal.why,
            forbidden=proposal.rule,
        )

    def _kept(self, entry: str, then: Harm) -> float:
        """The part of the harm at `entry` that is left; all of it where the model sees no way the failure takes."""
        before = self._spread.before.get(entry, UNHARMED).lasting
        return min(1.0, then.lasting / before) if before > 0 else 1.0


def failing_of(situation: Situation) -> float | None:
    """Share of the origin's requests that is harmed: its own figure, else that of its endpoints by their load."""
    if situation.failing is not None:
        return situation.failing
    replicas = tuple(sorted(situation.replicas, key=lambda one: one.name))
    load = load_of(replicas)
    if not load or any(one.failing is None for one in replicas):
        return None
    return sum((one.load or 0.0) * (one.failing or 0.0) for one in replicas) / load


def _refuses(harm: Harm) -> bool:
    return harm.total - harm.lasting > 1e-9


def _option(proposal: Proposal, *, why: str, rule: str = "") -> Option:
    return Option(acts=proposal.acts, relief=proposal.relief, why=why, forbidden=rule or proposal.rule)
