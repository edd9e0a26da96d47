"""The discovery service, incremental: a request says what is different from the one before it, and so does an
answer."""

from controlplane.adapters.proxies.envoy.discovery import ENDPOINTS, Resource, delta_response, read_delta_request
from controlplane.adapters.proxies.envoy.session import ALL, WHOLE, Sent, Session, Subscription


class DeltaSession(Session):
    """One stream of `DeltaAggregatedResources`."""

    def receive(self, data: bytes) -> None:
        """Take in a DeltaDiscoveryRequest."""
        request = read_delta_request(data)
        it = self._begin(request.type_url, request.node)
        if it is None:
            return
        if request.nonce:
            self._acknowledge(request.type_url, it, request.nonce, request.why)
        first, it.asked = not it.asked, True
        self.resumed = self.resumed or bool(request.known)
        it.unsubscribe(request.unsubscribe)
        it.all = it.all and ALL not in request.unsubscribe
        it.subscribe(name for name in request.subscribe if name != ALL)
        if not it.all and (ALL in request.subscribe or (first and request.type_url in WHOLE and not request.subscribe)):
            it.all = True
            it.dirty.update(dict.fromkeys((*self._catalog.all(request.type_url), ALL)))
        for name, version in request.known.items():
            if not it.wants(name):
                continue
            it.acked[name] = version  # from a stream before this one
            offered = self.offered(request.type_url, name)
            if offered is not None and offered.version == version:
                self._accepted(request.type_url, offered)
            if offered is not None and offered.version == version and not offered.ttl_ns:
                it.dirty.pop(name, None)
            else:
                it.dirty[name] = None
        if first and request.type_url == ENDPOINTS:
            self._switch_again()

    def _answer(self, type_url: str, _: Subscription, names: list[str], nonce: str) -> tuple[Sent, bytes]:
        told = [name for name in names if name != ALL]
        offered = tuple(one for name in told if (one := self.offered(type_url, name)) is not None)
        removed = tuple(name for name in told if self._catalog.get(type_url, name) is None)
        return Sent(offered, removed), delta_response(type_url, nonce, offered, removed)

    def _repeat(self, type_url: str, kept: tuple[Resource, ...], nonce: str) -> bytes:
        return delta_response(type_url, nonce, kept, (), repeat=True)
