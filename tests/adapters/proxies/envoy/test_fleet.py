"""The fleet as it is shown: restarts, streams that break, and proxies that were taken away."""

from controlplane.adapters.proxies.envoy.ads import Peer
from controlplane.adapters.proxies.envoy.catalog import Catalog
from controlplane.adapters.proxies.envoy.discovery import ENDPOINTS, Node
from controlplane.adapters.proxies.envoy.fleet import FORGOTTEN_NS, SHOWN_MAX, Fleet
from controlplane.adapters.proxies.envoy.world import WorldSession
from controlplane.model.unit import Nanos
from tests.adapters.proxies.envoy.test_accesslog import Clock


class Proxies:
    """A fleet, and streams of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.fleet = Fleet("edge", self.clock, lambda _: [(ENDPOINTS, "orders.contained")])

    def comes(self, node: str, address: str = "10.0.0.1:1", *, resumed: bool = False) -> Peer:
        session = WorldSession(Catalog())
        session.node, session.resumed = Node(id=node), resumed
        peer = Peer(session, address, Nanos(0))
        self.fleet.heard(peer)
        return peer

    def shown(self) -> dict[str, tuple[str, int, int]]:
        """Condition, restarts and broken streams, by name."""
        return {view.name: (view.condition, view.restarts, view.lost) for view in self.fleet.views()}


def test_a_stream_that_breaks_is_no_restart() -> None:
    """One that resumes has lost its stream; one that comes with nothing has started again."""
    it = Proxies()
    first = it.comes("e1")
    assert it.shown() == {"edge/e1": ("in force", 0, 0)}
    it.fleet.left(first)
    assert it.shown() == {"edge/e1": ("unreachable", 0, 1)}
    second = it.comes("e1", "10.0.0.1:2", resumed=True)
    assert it.shown() == {"edge/e1": ("in force", 0, 1)}
    it.fleet.left(second)
    it.comes("e1", "10.0.0.1:3")
    assert it.shown() == {"edge/e1": ("in force", 1, 2)}


def test_a_proxy_that_was_taken_away_is_forgotten() -> None:
    """After five minutes; one that is back before is the same one."""
    it = Proxies()
    it.fleet.left(it.comes("e1"))
    it.fleet.left(it.comes("e2"))
    it.comes("e2", resumed=True)
    it.clock.at += FORGOTTEN_NS + 1
    assert it.shown() == {"edge/e2": ("in force", 0, 1)}


def test_what_is_shown_is_bounded() -> None:
    """Those that are gone make room; beyond that proxies are served and only counted."""
    it = Proxies()
    it.fleet.left(it.comes("gone"))
    for number in range(SHOWN_MAX + 5):
        it.comes(f"e{number}")
    assert len(it.shown()) == SHOWN_MAX
    assert "edge/gone" not in it.shown()
    assert it.fleet.unshown == 5
