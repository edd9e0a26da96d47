"""Which containment to order: harm avoided against traffic given up."""

from collections.abc import Callable

from controlplane.model.plan import Act, Choice
from controlplane.model.situation import Situation

Rule = Callable[[tuple[Act, ...]], tuple[str, str] | None]
"""(rule, reason) where a safety rule forbids these acts together; None where all agree."""


def choose(situation: Situation, *, forbidden: Rule | None = None) -> Choice:
    """The option with the best net effect that no rule forbids, its runner-up, and all that was considered."""
    assert forbidden is None or callable(forbidden)
    return Choice(horizon_s=situation.horizon_s, why=f"nothing is known to do about {situation.origin}")
