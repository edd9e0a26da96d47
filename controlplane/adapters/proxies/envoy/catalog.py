"""What is served: resources by type and name, each with a version that follows from its bytes.

A restarted control plane that wants the same serves the same versions, so that a proxy sees no change.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from controlplane.adapters.proxies.envoy.discovery import CLUSTER, ENDPOINTS, LISTENER, ROUTES, RUNTIME, Resource

# clusters before what belongs to them, and the switch last: nothing is switched to what a proxy does not have yet
ORDER: Final = (CLUSTER, ENDPOINTS, LISTENER, ROUTES, RUNTIME)
Key = tuple[str, str]  # type URL and name


class Catalog:
    """All resources. `put` tells what has changed, for those who serve them."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, Resource]] = {type_url: {} for type_url in ORDER}
        self._sums = dict.fromkeys(ORDER, 0)

    def put(self, resources: Iterable[tuple[str, Resource]]) -> list[Key]:
        """Serve `resources` from now on, (type URL, resource) each; the keys of those that are new or different."""
        changed: list[Key] = []
        for type_url, resource in resources:
            before = self._resources[type_url].get(resource.name)
            if before == resource:
                continue
            self._sums[type_url] ^= _digest(before) ^ _digest(resource)
            self._resources[type_url][resource.name] = resource
            changed.append((type_url, resource.name))
        return changed

    def remove(self, keys: Iterable[Key]) -> list[Key]:
        """Serve those no longer; the keys of those that there were."""
        gone = [key for key in keys if key[1] in self._resources[key[0]]]
        for type_url, name in gone:
            self._sums[type_url] ^= _digest(self._resources[type_url].pop(name))
        return gone

    def get(self, type_url: str, name: str) -> Resource | None:
        """The resource of that name, or None."""
        return self._resources[type_url].get(name)

    def all(self, type_url: str) -> Mapping[str, Resource]:
        """What those get who ask for everything of a type, by name. Listeners of ours are not for proxies."""
        return {} if type_url == LISTENER else self._resources[type_url]

    def version(self, type_url: str) -> str:
        """The version of all resources of a type together."""
        return f"{self._sums[type_url]:016x}"


def resource(name: str, body: bytes, *, ttl_ns: int = 0) -> Resource:
    """`body` under `name`, versioned by what it says."""
    return Resource(name, blake2b(body, digest_size=8).hexdigest(), body, ttl_ns)


def _digest(resource: Resource | None) -> int:
    if resource is None:
        return 0
    return int.from_bytes(blake2b(f"{resource.name}\0{resource.version}".encode(), digest_size=8).digest())
