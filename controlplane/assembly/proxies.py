"""The proxies of a configuration, joined with the guards that judge what passes them."""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from anyio.abc import TaskGroup

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.observed import ObservedCalls
from controlplane.adapters.proxies.haproxy.logs import log_socket
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.proxy import HaProxy
from controlplane.adapters.proxies.reconcile import EffectiveView
from controlplane.assembly.compared import ComparedPlanes
from controlplane.model.config import Config, GatewaySection, ProxySection, split_listen
from controlplane.model.errors import ConfigError
from controlplane.ports import Clock

if TYPE_CHECKING:
    from controlplane.adapters.proxies.envoy.plane import EnvoyPlane

logger = logging.getLogger("controlplane")

AGAIN_S = 1.0  # after a mistake of ours in one of them


class Proxies:
    """Every `[proxies.NAME]`, each a data plane with a lane of its own: none waits for another.

    Raises  ConfigError where an address cannot be listened on, or what a kind of proxy needs is not installed.
    """

    def __init__(
        self, config: Config, guards: GuardSet, *, clock: Clock, ring: Callable[[], None], seed: int, steers: bool
    ) -> None:
        self._sockets = ExitStack()
        self._clock, self._ring = clock, ring
        self.planes: list[HaProxy | EnvoyPlane] = []
        self._asked: list[tuple[EnvoyPlane, socket.socket]] = []
        gateway = config.gateway or GatewaySection()
        self.compared = ComparedPlanes(self.views, clock, ring)
        judge = ObservedCalls(guards, slow_s=gateway.slow_s)
        for number, (name, section) in enumerate(config.proxies.items() if steers else ()):
            if section.kind == "envoy":
                self.planes.append(self._envoy(name, section, config, judge))
            else:
                self.planes.append(self._haproxy(name, section, config, judge, seed=seed + number))

    def _haproxy(self, name: str, section: ProxySection, config: Config, judge: ObservedCalls, *, seed: int) -> HaProxy:
        services = config.proxied(section)
        return HaProxy(
            name,
            section.socket,
            services,
            naming=Naming(services, section.backends, section.servers),
            clock=self._clock,
            judge=judge,
            ring=self._ring,
            seed=seed,
            log=self._bound(f"proxies.{name}.log_listen", section.log_listen, log_socket),
            entry=section.entry,
        )

    def _envoy(self, name: str, section: ProxySection, config: Config, judge: ObservedCalls) -> "EnvoyPlane":
        try:
            from controlplane.adapters.proxies.envoy.plane import EnvoyPlane
        except ModuleNotFoundError as error:
            reason = f"envoy needs {error.name}: pip install 'controlplane[envoy]'"
            raise ConfigError(reason, key=f"proxies.{name}.kind") from error
        bound = self._bound(f"proxies.{name}.listen", section.listen, _listening)
        assert bound is not None
        proxied = config.proxied(section)
        services = [service for service in config.services if service.name in proxied]
        plane = EnvoyPlane(
            name,
            services,
            {service.name: config.policy(service) for service in services},
            clock=self._clock,
            judge=judge,
            ring=self._ring,
            routes=section.routes,
            ttl_s=section.ttl_s,
            entry=section.entry,
            probe_interval_s=config.response_policy().probe_interval_s,
            probe_timeout_s=config.response_policy().probe_timeout_s,
        )
        self._asked.append((plane, bound))
        return plane

    def start(self, tasks: TaskGroup) -> None:
        """Speak and listen to those that we call, in tasks of `tasks`."""
        if self.planes:
            tasks.start_soon(_run_apart, "comparison", self.compared.run)
        for plane in self.planes:
            if isinstance(plane, HaProxy):
                tasks.start_soon(_run_apart, plane.name, plane.run)
                tasks.start_soon(_run_apart, plane.name, plane.hear)

    def open(self, tasks: TaskGroup) -> None:
        """Answer those that call us. Not before what is on record is in force again: they would take it back."""
        for plane, bound in self._asked:
            tasks.start_soon(_run_apart, plane.name, partial(_serve, plane, bound))

    def close(self) -> None:
        """Give the addresses back."""
        self._sockets.close()

    def views(self) -> list[EffectiveView]:
        """How each stands: what is wanted against what it has acknowledged."""
        now = self._clock.now()
        return [
            view
            for plane in self.planes
            for view in ([plane.effective.view(now)] if isinstance(plane, HaProxy) else plane.views())
        ]

    def lines(self) -> list[str]:
        """A line for each: its name, its kind and where it is, or is answered."""
        answered = {plane.name: _where(bound) for plane, bound in self._asked}
        return [
            f"{plane.name} haproxy {plane.where}"
            if isinstance(plane, HaProxy)
            else f"{plane.name} envoy {answered[plane.name]}"
            for plane in self.planes
        ]

    def degraded(self) -> list[str]:
        """Those that are not as wanted and will not be by themselves, in words."""
        return [
            f"the proxy {one.name} is {one.condition}: {one.trouble}"
            for one in self.views()
            if one.condition in ("unreachable", "lying")
        ]

    def _bound(self, key: str, listen: str, make: Callable[[str, int], socket.socket]) -> socket.socket | None:
        if not listen:
            return None
        try:
            return self._sockets.enter_context(make(*split_listen(listen)))
        except OSError as error:
            self.close()
            raise ConfigError(f"cannot listen on {listen}: {error.strerror}", key=key) from error


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def _where(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _serve(plane: "EnvoyPlane", bound: socket.socket) -> None:
    """Answer on a socket of its own, so that a mistake that ends one listener leaves the address to the next."""
    await plane.run(await anyio.abc.SocketListener.from_socket(bound.dup()))


async def _run_apart(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled; a mistake of ours there is logged, and the others go on."""
    while True:
        try:
            await run()
            return
        except Exception:
            logger.exception("the conversation with proxy %s broke; it begins again", name)
        await anyio.sleep(AGAIN_S)
