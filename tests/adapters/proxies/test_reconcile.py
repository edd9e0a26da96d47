"""The effective state of a proxy: what it shows of one that is away, slow, started again or lying."""

from controlplane.adapters.proxies.reconcile import MOST_S, Backoff, EffectiveState
from controlplane.model.signal import Target
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

NOW = Nanos(100 * SECOND)
ONE, TWO = Target("orders", "o1"), Target("orders")


def later(ms: int) -> Nanos:
    return Nanos(NOW + ms * MILLISECOND)


def found() -> EffectiveState:
    state = EffectiveState("edge", "haproxy")
    state.found("pid 1")
    return state


def test_an_order_waits_until_it_is_acknowledged() -> None:
    """From the first receipt to the acknowledgement: an order that is given again waits on."""
    state = found()
    state.ordered(ONE, NOW)
    state.ordered(ONE, later(5))
    assert (state.condition(later(6)), state.view(later(6)).waiting) == ("waiting", {"orders/o1": 0.006})
    state.acknowledged(ONE, later(8))
    view = state.view(later(9))
    assert (view.condition, view.waiting, view.converged.count) == ("in force", {}, 1)
    assert 0.0079 < view.converged.p50_s <= 0.00801
    state.acknowledged(ONE, later(50))  # nobody waited
    assert state.view(later(50)).converged.count == 1


def test_who_takes_long_is_slow() -> None:
    """A waiting order that is older than a proxy's answers are."""
    state = found()
    state.ordered(TWO, NOW)
    assert [state.condition(later(ms)) for ms in (99, 101)] == ["waiting", "slow"]


def test_who_is_away_is_unreachable_and_keeps_its_orders() -> None:
    """Never reached is new, and lost is unreachable; each loss is counted once."""
    state = EffectiveState("edge", "haproxy")
    assert state.condition(NOW) == "new"
    state.gone("no such file")
    state.found("pid 1")
    state.ordered(ONE, NOW)
    state.gone("it closed")
    state.gone("no such file")
    view = state.view(NOW)
    assert (view.condition, view.trouble, view.lost, view.restarts) == ("unreachable", "no such file", 1, 0)
    assert view.waiting.keys() == {"orders/o1"}
    state.found("pid 2")
    assert (state.view(NOW).restarts, state.condition(NOW)) == (1, "waiting")


def test_who_does_not_keep_what_it_said_is_lying() -> None:
    """For a minute, and with what it was about."""
    state = found()
    state.contradicted("orders/o1 was acknowledged as 0 and is not", NOW)
    assert state.condition(later(1)) == "lying"
    assert state.view(NOW).corrected == 1
    assert state.condition(later(60_001)) == "in force"


def test_a_refusal_is_shown_until_the_next_order() -> None:
    """In the proxy's words; it waits no longer."""
    state = found()
    state.ordered(ONE, NOW)
    state.refused(ONE, "no server be/web1")
    assert (state.view(NOW).refused, state.condition(NOW)) == ({"orders/o1": "no server be/web1"}, "in force")
    state.ordered(ONE, NOW)
    assert state.view(NOW).refused == {}


def test_pauses_grow_are_never_the_same_and_are_bounded() -> None:
    """Doubled each time, half of it by chance, so that a hundred proxies do not come back at one instant."""
    backoff = Backoff(seed=3)
    pauses = [backoff.pause_s() for _ in range(12)]
    assert 0.025 <= pauses[0] <= 0.05
    assert all(pause <= MOST_S for pause in pauses)
    assert min(pauses[8:]) >= MOST_S / 2
    assert len(set(pauses[8:])) == 4
    assert [Backoff(seed=4).pause_s(), Backoff(seed=5).pause_s()] != pauses[:2]
    backoff.reset()
    assert backoff.pause_s() <= 0.05
