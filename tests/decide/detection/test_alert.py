"""Alerts that stand: news once, over when it is said or when nobody repeats them, bounded whatever is sent."""

from controlplane.decide.detection import alert as module
from controlplane.decide.detection.alert import Alerts
from controlplane.model.signal import Alerted, Target
from controlplane.model.unit import SECOND, Nanos


def alert(name: str, at_s: int = 0, *, service: str = "orders", for_s: int = 0, firing: bool = True) -> Alerted:
    return Alerted(
        at=Nanos(at_s * SECOND),
        target=Target(service),
        fingerprint=name,
        name=name,
        firing=firing,
        for_ns=for_s * SECOND,
    )


def test_what_is_repeated_is_no_news_and_stands_once() -> None:
    """By its fingerprint; its resolution is news once, too."""
    alerts = Alerts()
    assert [alerts.fires(alert("a")), alerts.fires(alert("a")), alerts.fires(alert("b"))] == [True, False, True]
    assert [alerts.resolved("a"), alerts.resolved("a")] == [True, False]
    assert alerts.about("orders")
    assert alerts.resolved("b")
    assert not alerts.about("orders")
    assert alerts.due_at is None


def test_what_nobody_repeats_ends_when_it_said() -> None:
    """Each repetition moves the end; what has no end is waited for."""
    alerts = Alerts()
    alerts.fires(alert("forever"))
    alerts.fires(alert("short", 0, for_s=5))
    alerts.fires(alert("short", 3, for_s=5))
    assert alerts.lapsed(Nanos(5 * SECOND)) == []
    assert [one.name for one in alerts.lapsed(Nanos(8 * SECOND))] == ["short"]
    assert alerts.lapsed(Nanos(100 * SECOND)) == []
    assert alerts.due_at is None
    assert alerts.about("orders")


def test_an_alert_that_comes_to_mean_somebody_else_is_about_them() -> None:
    """Labels of the same fingerprint are mapped by configuration: after a change of that nobody is left behind."""
    alerts = Alerts()
    alerts.fires(alert("a"))
    alerts.fires(alert("a", service="mail"))
    assert (alerts.about("orders"), alerts.about("mail")) == (False, True)


def test_they_are_bounded(monkeypatch) -> None:
    """The one that was repeated longest ago makes room."""
    monkeypatch.setattr(module, "ALERTS_MAX", 3)
    alerts = Alerts()
    for name in "abc":
        alerts.fires(alert(name, service=name))
    alerts.fires(alert("a", service="a"))
    alerts.fires(alert("d", service="d"))
    assert [alerts.about(name) for name in "abcd"] == [True, False, True, True]
