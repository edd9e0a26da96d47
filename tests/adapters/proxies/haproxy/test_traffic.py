"""What HAProxy's counters tell besides its log: hanging calls, refused connections, a person's hand."""

from pathlib import Path

import pytest

from controlplane._native.guard import ERROR, STALLED, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.session import Session, open_session
from controlplane.adapters.proxies.haproxy.traffic import (
    BUSY_LOOK_S,
    LOOK_MOST_S,
    LOOK_S,
    RETRIED_MAX,
    Traffic,
    _pause_s,
)
from controlplane.adapters.proxies.reconcile import EffectiveState
from controlplane.model.signal import Target
from controlplane.testing import VirtualClock
from tests.adapters.proxies.haproxy.runtime import Runtime, served
from tests.adapters.proxies.judge import RecordingJudge

pytestmark = pytest.mark.anyio

O1, O2 = Target("orders", "o1"), Target("orders", "o2")
LINE = b"controlplane/1 orders o1 200 -- 0 3 3 0 0 -"


class Watched:
    """Traffic over a runtime API, in virtual time."""

    def __init__(self) -> None:
        self.runtime, self.judge, self.clock = Runtime(), RecordingJudge(), VirtualClock()
        self.effective = EffectiveState("edge", "haproxy")
        naming = Naming({"orders": ("o1", "o2", "gone")}, {}, {})
        self.traffic = Traffic(naming, self.judge, self.clock, self.effective, entry=True)

    def set(self, server: str, **cells: str) -> None:
        """Columns of one server."""
        for name, value in cells.items():
            column = ["scur", "stot", "wretr", "wredis", "status", "weight", "check_status"].index(name)
            self.runtime.servers[f"orders/{server}"][column] = value

    async def look(self, session: Session, *, after_s: float = 0.1) -> None:
        self.clock.advance(after_s)
        await self.traffic.look(session)


async def test_a_call_that_hangs_is_told_once_it_is_overdue(tmp_path: Path) -> None:
    """Given to the server, in flight there, and no line: after a second, which the judge calls a stall."""
    watched = Watched()
    async with served(watched.runtime, tmp_path) as path, open_session(path) as session:
        await watched.look(session)
        watched.set("o1", scur="2", stot="12")
        for _ in range(10):
            await watched.look(session)
        assert watched.judge.calls == []
        for _ in range(5):
            await watched.look(session)
        assert [(name, outcome) for name, outcome, _ in watched.judge.calls] == [("orders/o1", STALLED)] * 2
        watched.traffic.take_line(LINE)
        assert watched.judge.calls[-1][:2] == ("orders/o1", SUCCESS)


async def test_connections_that_were_tried_elsewhere_are_their_servers_failures(tmp_path: Path) -> None:
    """So many as there were, up to a bound; counters of a new worker are no failures."""
    watched = Watched()
    async with served(watched.runtime, tmp_path) as path, open_session(path) as session:
        watched.set("o2", wretr="1000")
        await watched.look(session)
        assert watched.judge.calls == []  # before our time
        watched.set("o2", wretr="1002", wredis="1")
        await watched.look(session)
        assert [call[:2] for call in watched.judge.calls] == [("orders/o2", ERROR)] * 3
        watched.set("o2", wretr="9000")
        await watched.look(session)
        assert len(watched.judge.calls) == 3 + RETRIED_MAX
        watched.set("o2", stot="0", wretr="9999")
        await watched.look(session)
        assert len(watched.judge.calls) == 3 + RETRIED_MAX


async def test_what_was_in_flight_and_is_tried_again_took_too_long(tmp_path: Path) -> None:
    """With `retry-on` a time-out is retried, too, and counted as a refused connection is: it is told as load."""
    watched = Watched()
    async with served(watched.runtime, tmp_path) as path, open_session(path) as session:
        watched.set("o2", scur="2", stot="12")
        await watched.look(session)
        watched.set("o2", scur="0", wretr="3")
        await watched.look(session)
        assert [call[:2] for call in watched.judge.calls] == [("orders/o2", TIMEOUT)] * 2 + [("orders/o2", ERROR)]


async def test_what_a_person_does_is_shown_and_no_evidence(tmp_path: Path) -> None:
    """Maintenance and drain; whatever its counters say then."""
    watched = Watched()
    async with served(watched.runtime, tmp_path) as path, open_session(path) as session:
        await watched.look(session)
        watched.set("o1", status="MAINT", scur="5", stot="15", wretr="4")
        watched.set("o2", status="DRAIN", weight="0")
        for _ in range(20):
            await watched.look(session)
        assert watched.judge.calls == []
        assert watched.effective.person == {"orders/o1": "MAINT", "orders/o2": "DRAIN"}
        watched.set("o2", status="UP", weight="100")
        await watched.look(session)
        assert watched.effective.person == {"orders/o1": "MAINT"}


async def test_who_would_be_sent_calls_is_known(tmp_path: Path) -> None:
    """Up and with a weight; not known is taken for usable until it was asked; a server that is missing is named."""
    watched = Watched()
    assert watched.traffic.usable(O1)
    async with served(watched.runtime, tmp_path) as path, open_session(path) as session:
        for status, weight, usable in (
            ("UP", "100", True),
            ("UP 1/3", "100", True),
            ("no check", "1", True),
            ("UP", "0", False),
            ("DOWN", "100", False),
            ("DOWN (agent)", "100", False),
            ("MAINT (via x)", "100", False),
            ("DRAIN", "0", False),
        ):
            watched.set("o1", status=status, weight=weight)
            await watched.look(session)
            assert watched.traffic.usable(O1) is usable, status
        assert watched.traffic.weight(O1) == 100
        assert watched.traffic.missing() == "it has no orders/gone"
    watched.traffic.forget()
    assert watched.traffic.usable(O1)


@pytest.mark.parametrize(
    ("costs_s", "busy", "pause_s"),
    [
        ([0.001, 0.001], True, BUSY_LOOK_S),
        ([0.001, 0.001], False, LOOK_S),
        ([0.2, 0.0012, 0.15], True, BUSY_LOOK_S),  # two waited for a turn
        ([0.02, 0.03], True, 0.4),
        ([9.0], False, LOOK_MOST_S),
    ],
)
def test_how_often_is_looked_goes_by_what_a_look_costs(costs_s: list[float], busy: bool, pause_s: float) -> None:
    """A twentieth of the time at most, and a look that had to wait for its turn is not taken for work."""
    assert _pause_s(costs_s, busy=busy) == pytest.approx(pause_s)


def test_lines_that_are_not_in_the_format_are_counted() -> None:
    """And nothing else is done with them."""
    watched = Watched()
    for line in (b"", b"<134>haproxy: other", LINE):
        watched.traffic.take_line(line)
    assert (watched.effective.unread, watched.effective.observed, len(watched.judge.calls)) == (2, 1, 1)
