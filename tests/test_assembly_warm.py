"""The first real failure finds code that has run before."""

import pytest

from controlplane.assembly import warm
from controlplane.decide.engine import Engine
from controlplane.model.command import Eject, Isolate, Limit
from controlplane.model.signal import Signal


def test_every_first_act_is_made_up_once_and_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ejection, an isolation and a limit are ordered and obeyed; a second call does nothing."""
    orders: list[type] = []
    told = warm._told

    def listen(engine: Engine, signal: Signal) -> None:
        told(engine, signal)
        orders.extend(type(command.intent) for command in engine.state.in_force.values())

    monkeypatch.setattr(warm, "_told", listen)
    warm.warm_up.cache_clear()
    warm.warm_up()
    assert {Eject, Isolate, Limit} <= set(orders)
    count = len(orders)
    warm.warm_up()
    assert len(orders) == count
