"""What Envoys find when they ask endpoints how they are: the health discovery service, results as probes.

An Envoy with `hds_config` asks on behalf of the plane: it is told here whom, how and how often, and says what came of
it. So an endpoint is asked from where its callers are, which a probe of the plane's own is not. Only services with a
`probe_path` are asked, as by the plane itself. Envoy's own routing does not look at these results; nor is one of them a
verdict: it counts like an active probe, beside those of all other Envoys, and the engine decides.

Source  envoy/service/health/v3/hds.proto, envoy/config/core/v3/health_check.proto
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import anyio
import msgspec

from controlplane.adapters.proxies.envoy.call import INVALID_ARGUMENT, Call, Handler, RpcError, cause
from controlplane.adapters.proxies.envoy.logs import address_of
from controlplane.adapters.proxies.envoy.resources.address import Address
from controlplane.adapters.proxies.envoy.wire import (
    WireError,
    as_bytes,
    as_int,
    as_text,
    duration,
    fields,
    message,
    text,
    uint,
    wrapped,
)
from controlplane.model.signal import ProbeFinished, Target
from controlplane.model.topology import Service
from controlplane.model.unit import Nanos
from controlplane.ports import Clock

logger = logging.getLogger(__name__)

PATH: Final = "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck"
HEALTHY, UNHEALTHY, TIMEOUT, DEGRADED = 1, 2, 4, 5
_SAYS: Final = {HEALTHY: True, DEGRADED: True, UNHEALTHY: False, TIMEOUT: False}  # others: not asked yet, or leaving
WAITING_MAX: Final = 10_000  # results that nobody has fetched


class Found(msgspec.Struct, frozen=True):
    """One endpoint of one cluster, and the number of its state."""

    cluster: str
    address: Address | None
    status: int


class HealthService:
    """Tells every Envoy that asks to ask the endpoints of `services` every `every_ns`, and takes what it found.

    `addresses` are those of now, by service and endpoint; after they have changed, call `moved`. `ring` says that there
    are signals. `observed` results were taken; `malformed` messages were none.
    """

    def __init__(
        self,
        services: Sequence[Service],
        addresses: Callable[[], Mapping[tuple[str, str], Address]],
        clock: Clock,
        *,
        every_ns: int,
        timeout_ns: int,
        ring: Callable[[], None] = lambda: None,
    ) -> None:
        self.observed = self.malformed = 0
        self._services = [one for one in services if one.probe_path and _is_plain(one)]
        self._addresses, self._clock, self._ring = addresses, clock, ring
        self._every_ns, self._timeout_ns = every_ns, timeout_ns
        self._signals: list[ProbeFinished] = []
        self._changed = anyio.Event()

    @property
    def handlers(self) -> dict[str, Handler]:
        """What `GrpcServer` is to serve."""
        return {PATH: self._serve}

    def take(self) -> list[ProbeFinished]:
        """What was found since the last time."""
        signals, self._signals = self._signals, []
        return signals

    def moved(self) -> None:
        """Endpoints are elsewhere: every Envoy is told anew."""
        self._changed.set()
        self._changed = anyio.Event()

    def specifier(self) -> bytes:
        """A HealthCheckSpecifier: whom to ask, how, how often."""
        addresses = self._addresses()
        checks = []
        for service in self._services:
            known = [addresses.get((service.name, one.name)) for one in service.endpoints]
            endpoints = [message(2, _endpoint(address)) for address in known if address is not None]
            if endpoints:
                checks.append(
                    message(1, text(1, service.name), message(2, self._check(service)), message(3, *endpoints))
                )
        return b"".join((*checks, duration(2, self._every_ns)))

    def _check(self, service: Service) -> bytes:
        """A HealthCheck whose outcome is that of the last question: how many make a verdict is the engine's matter."""
        path = "/" + service.probe_path.lstrip("/")
        return b"".join(
            (
                duration(1, min(self._timeout_ns, self._every_ns)),
                duration(2, self._every_ns),
                wrapped(4, 1),
                wrapped(5, 1),
                message(8, text(1, service.name), text(2, path)),
                duration(12, self._every_ns),  # these clusters never have traffic, which Envoy takes for no hurry
            )
        )

    async def _serve(self, call: Call) -> None:
        """One Envoy: first it asks, then it tells."""
        told_at: dict[Target, Nanos] = {}
        try:
            async with anyio.create_task_group() as tasks:
                begun = False
                while (data := await call.receive()) is not None:
                    self._tell(self._read(call, data), told_at)
                    if not begun:
                        begun = True
                        tasks.start_soon(self._instruct, call)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise cause(group) from None

    def _read(self, call: Call, data: bytes) -> list[Found]:
        try:
            return list(read(data))
        except WireError as error:
            self.malformed += 1
            logger.warning("%s: what it found of health cannot be read: %s", call.peer, error)
            raise RpcError(INVALID_ARGUMENT, str(error)) from error

    async def _instruct(self, call: Call) -> None:
        while True:
            changed = self._changed
            await call.send(self.specifier())
            await changed.wait()

    def _tell(self, found: Sequence[Found], told_at: dict[Target, Nanos]) -> None:
        """Results of endpoints that are declared, each as often as it is asked for: more often is the same again."""
        now, before = self._clock.now(), len(self._signals)
        named = {(service, address): endpoint for (service, endpoint), address in self._addresses().items()}
        asked = {service.name for service in self._services}
        for one in found:
            endpoint = named.get((one.cluster, one.address)) if one.address is not None else None
            says = _SAYS.get(one.status)
            if endpoint is None or says is None or one.cluster not in asked or len(self._signals) >= WAITING_MAX:
                continue
            target = Target(one.cluster, endpoint)
            if target in told_at and now - told_at[target] < self._every_ns // 2:
                continue
            told_at[target] = now
            self.observed += 1
            self._signals.append(ProbeFinished(at=now, target=target, ok=says))
        if len(self._signals) > before:
            self._ring()


def read(data: bytes) -> Iterator[Found]:
    """What a HealthCheckRequestOrEndpointHealthResponse says of endpoints, cluster by cluster; nothing where it only
    asks. Raises WireError."""
    for number, value in fields(memoryview(data)):
        if number != 2:
            continue
        for at, cluster in fields(as_bytes(value)):
            if at == 2:
                yield from _of_cluster(as_bytes(cluster))


def _of_cluster(data: memoryview) -> Iterator[Found]:
    """A ClusterEndpointsHealth."""
    name = next((as_text(value) for number, value in fields(data) if number == 1), "")
    for number, locality in fields(data):
        if number == 2:
            for at, health in fields(as_bytes(locality)):
                if at == 2:
                    yield _of_endpoint(name, as_bytes(health))


def _of_endpoint(cluster: str, data: memoryview) -> Found:
    """An EndpointHealth."""
    address, status = None, 0
    for number, value in fields(data):
        if number == 1:
            address = next((address_of(as_bytes(part)) for at, part in fields(as_bytes(value)) if at == 1), None)
        elif number == 2:
            status = as_int(value)
    return Found(cluster, address, status)


def _endpoint(address: Address) -> bytes:
    host, port = address
    return message(1, message(1, text(2, host), uint(3, port)))


def _is_plain(service: Service) -> bool:
    return all(one.url.startswith("http://") for one in service.endpoints)  # how to speak TLS its owner knows
