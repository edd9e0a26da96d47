"""Proxies against what is wanted of them: told when that changes, the first time in any case."""

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.proxies.reconcile import EffectiveView
from controlplane.assembly.compared import ComparedPlanes, differences


def test_what_is_on_its_way_is_no_difference_and_what_is_late_is() -> None:
    """An order that waits for a moment; one for six seconds; a proxy that is away; one that lies."""
    view = EffectiveView(name="edge", kind="envoy", condition="waiting", waiting={"orders/a": 0.2, "orders/b": 6.0})
    assert differences(view) == ("orders/b is not acknowledged",)
    assert differences(EffectiveView(name="edge", kind="envoy", condition="in force")) == ()
    assert differences(EffectiveView(name="edge", kind="envoy", condition="lying")) == ("it is lying",)


def test_it_is_told_when_it_changes_and_when_a_proxy_is_gone() -> None:
    """Not each second."""
    views = [EffectiveView(name="edge", kind="haproxy", condition="in force")]
    rings: list[int] = []
    planes = ComparedPlanes(lambda: views, SystemClock(), lambda: rings.append(1))
    planes.look()
    planes.look()
    assert [one.differs for one in planes.drain()] == [()]
    views[0] = EffectiveView(name="edge", kind="haproxy", condition="unreachable")
    planes.look()
    views.clear()
    planes.look()
    planes.look()
    assert [one.differs for one in planes.drain()] == [("it is unreachable",), ()]
