"""The discovery service, state of the world: a request names everything that the proxy wants, each time."""

from itertools import takewhile

from controlplane.adapters.proxies.envoy.catalog import Catalog
from controlplane.adapters.proxies.envoy.discovery import ENDPOINTS, Resource, read_request, response
from controlplane.adapters.proxies.envoy.session import (
    ALL,
    NAMES_MAX,
    WHOLE,
    Memory,
    Sent,
    Session,
    Subscription,
    Switch,
)
from controlplane.adapters.proxies.envoy.wire import WireError


class WorldSession(Session):
    """One stream of `StreamAggregatedResources`."""

    def __init__(
        self, catalog: Catalog, memories: dict[str, Memory] | None = None, *, switch: Switch | None = None
    ) -> None:
        super().__init__(catalog, memories, switch=switch)
        self._versions: dict[str, str] = {}  # by type, that of the newest answer

    def receive(self, data: bytes) -> None:
        """Take in a DiscoveryRequest."""
        request = read_request(data)
        it = self._begin(request.type_url, request.node)
        if it is None:
            return
        if request.nonce in it.pending:
            for older in [*takewhile(lambda nonce: nonce != request.nonce, it.pending)]:
                self._acknowledge(request.type_url, it, older, None)  # who has seen an answer has seen those before it
            self._acknowledge(request.type_url, it, request.nonce, request.why)
        elif request.nonce and it.pending:
            return  # said before the proxy saw the newest answer; it will say it again
        first, it.asked = not it.asked, True
        self.resumed = self.resumed or (first and bool(request.version))
        names = dict.fromkeys(name for name in request.names if name != ALL)
        if len(names) > NAMES_MAX:
            raise WireError(f"more than {NAMES_MAX} names of one type")
        was_all = it.all
        it.all = ALL in request.names or (request.type_url in WHOLE and not request.names and (first or was_all))
        if not it.all:
            it.unsubscribe([name for name in it.names if name not in names])
        it.subscribe([name for name in names if name not in it.names])
        if it.all and not was_all:
            it.dirty[ALL] = None  # an answer even if there is nothing to tell: the proxy waits for one
        if first and request.type_url == ENDPOINTS:
            self._switch_again()

    def _answer(self, type_url: str, it: Subscription, names: list[str], nonce: str) -> tuple[Sent, bytes]:
        if type_url in WHOLE:
            names = [*(self._catalog.all(type_url) if it.all else it.names)]
        offered = tuple(one for name in names if (one := self.offered(type_url, name)) is not None)
        gone = [name for name in it.acked if self._catalog.get(type_url, name) is None]
        for name in gone:  # left out of a whole answer it is removed; of another type nothing can say so
            del it.acked[name]
        version = self._versions[type_url] = self._catalog.version(type_url)
        return Sent(offered), response(type_url, version, nonce, offered)

    def _repeat(self, type_url: str, kept: tuple[Resource, ...], nonce: str) -> bytes:
        # with their bodies: Envoy 1.40 drops a repetition without one before it looks at the time to live
        return response(type_url, self._versions[type_url], nonce, kept)
