"""What is wanted, as what is served: one catalog, rendered anew for the service that something changed about."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from controlplane.adapters.proxies.envoy.catalog import Catalog, Key, resource
from controlplane.adapters.proxies.envoy.discovery import CLUSTER, ENDPOINTS, LISTENER, ROUTES, RUNTIME, Resource
from controlplane.adapters.proxies.envoy.resources import name, route, runtime
from controlplane.adapters.proxies.envoy.resources.address import Address
from controlplane.adapters.proxies.envoy.resources.cluster import cluster
from controlplane.adapters.proxies.envoy.resources.endpoints import assignment
from controlplane.adapters.proxies.envoy.resources.listener import listener
from controlplane.adapters.proxies.wanted import EndpointWanted, ServiceWanted, Wanted
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Service

_USUAL = ServiceWanted()
_WHOLE = EndpointWanted()


class Served:
    """The resources of `services`. What contains lives `ttl_ns` in a proxy, unless it is prolonged.

    `endpoints` names the one at an address, by service and address.
    """

    def __init__(
        self,
        services: Sequence[Service],
        policies: Mapping[str, GuardPolicy],
        routes: Mapping[str, str],
        *,
        ttl_ns: int,
    ) -> None:
        self.catalog = Catalog()
        self.endpoints: dict[tuple[str, Address], str] = {}
        self._services = {service.name: service for service in services}
        self._policies, self._routes, self._ttl_ns = dict(policies), dict(routes), ttl_ns
        self._addresses: dict[tuple[str, str], Address] = {}
        self._values: dict[str, dict[str, float]] = {}  # of the runtime layer, by service; those with any
        self._wanted: dict[str, ServiceWanted] = dict.fromkeys(self._services, _USUAL)
        self._reduced: dict[frozenset[str], Resource] = {}
        self.catalog.put(
            (CLUSTER, resource(name.contained(one.name), cluster(one, policies[one.name])))
            for one in services
            if all(endpoint.url.startswith("http://") for endpoint in one.endpoints)  # how to speak TLS its owner knows
        )
        self.catalog.put((LISTENER, resource(one.name, listener(one.name))) for one in services)
        self._put_routes()
        self._put_layer()

    def place(self, addresses: Mapping[tuple[str, str], Address], wanted: Wanted) -> list[Key]:
        """Endpoints are at `addresses` now, by service and endpoint; the keys of what is different."""
        moved = {
            key[0]
            for key in self._addresses.keys() | addresses.keys()
            if self._addresses.get(key) != addresses.get(key)
        }
        self._addresses = dict(addresses)
        self.endpoints = {(service, address): endpoint for (service, endpoint), address in addresses.items()}
        changed: list[Key] = []
        for one in moved:
            service = self._services[one]
            whole = [_WHOLE] * len(service.endpoints)
            changed += self._put_endpoints(one, service, _USUAL, whole) + self.render(one, wanted)
        return changed

    def render(self, service: str, wanted: Wanted) -> list[Key]:
        """Serve what is wanted of `service` now; the keys of what is different."""
        of_service, of_endpoints = wanted.about(service)
        declared = self._services[service]
        changed = self._put_endpoints(name.contained(service), declared, of_service, of_endpoints)
        interfered = of_service != _USUAL or any(one != _WHOLE for one in of_endpoints)
        values = runtime.keys(service, of_service, interfered=interfered and self.expressible(service))
        if values != self._values.get(service, {}):
            self._values[service] = values
            if not values:
                del self._values[service]
            changed += self._put_layer()
        if of_service != self._wanted[service]:
            self._wanted[service] = of_service
            changed += self._put_routes()
        return changed

    def expressible(self, service: str) -> bool:
        """Whether there are endpoints to lead the calls to `service` to: one at least has an address."""
        return self.catalog.get(ENDPOINTS, name.contained(service)) is not None

    def stands_by(self, service: str) -> bool:
        """Whether some endpoints of `service` are used when others fail."""
        return len({endpoint.priority for endpoint in self._services[service].endpoints}) > 1

    def routed(self, service: str) -> bool:
        """Whether proxies may take the routes to `service` from here."""
        return service in self._routes.values()

    def keys(self, service: str) -> tuple[Key, ...]:
        """What an order about `service` is made of."""
        return (ENDPOINTS, name.contained(service)), (ROUTES, name.ROUTES), (RUNTIME, name.LAYER)

    def switch(self, layer: Resource, has: Callable[[str], bool]) -> Resource:
        """`layer` without what leads to clusters that a proxy does not have: calls would find nobody there."""
        missing = frozenset(one for one in self._values if not has(name.contained(one)))
        if not missing:
            return layer
        if missing not in self._reduced:
            self._reduced[missing] = self._layer(one for one in self._values if one not in missing)
        return self._reduced[missing]

    def _put_endpoints(
        self, served: str, service: Service, of_service: ServiceWanted, of_endpoints: Sequence[EndpointWanted]
    ) -> list[Key]:
        body = assignment(served, service, self._addresses, of_service, of_endpoints)
        if body is None:
            return self.catalog.remove([(ENDPOINTS, served)])
        return self.catalog.put([(ENDPOINTS, resource(served, body))])

    def _put_layer(self) -> list[Key]:
        self._reduced.clear()
        return self.catalog.put([(RUNTIME, self._layer(self._values))])

    def _layer(self, services: Iterable[str]) -> Resource:
        values = {key: value for service in services for key, value in self._values[service].items()}
        return resource(name.LAYER, runtime.layer(values), ttl_ns=self._ttl_ns if values else 0)

    def _put_routes(self) -> list[Key]:
        if not self._routes:
            return []
        return self.catalog.put(
            [(ROUTES, resource(name.ROUTES, route.table(self._routes, self._policies, self._wanted)))]
        )
