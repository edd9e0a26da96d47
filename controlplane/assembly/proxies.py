"""The proxies of a configuration, joined with the guards that judge what passes them."""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import anyio
from anyio.abc import TaskGroup

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.observed import ObservedCalls
from controlplane.adapters.proxies.haproxy.logs import log_socket
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.proxy import HaProxy
from controlplane.adapters.proxies.reconcile import EffectiveView
from controlplane.model.config import Config, GatewaySection, ProxySection, split_listen
from controlplane.model.errors import ConfigError
from controlplane.ports import Clock

logger = logging.getLogger("controlplane")

AGAIN_S = 1.0  # after a mistake of ours in one of them


class Proxies:
    """Every `[proxies.NAME]`, each a data plane with a lane of its own: none waits for another.

    Raises  ConfigError where a log's address cannot be listened on.
    """

    def __init__(
        self, config: Config, guards: GuardSet, *, clock: Clock, ring: Callable[[], None], seed: int, steers: bool
    ) -> None:
        self._sockets = ExitStack()
        self._clock = clock
        self.planes: list[HaProxy] = []
        gateway = config.gateway or GatewaySection()
        judge = ObservedCalls(guards, slow_s=gateway.slow_s)
        for number, (name, section) in enumerate(config.proxies.items() if steers else ()):
            log = self._bound(name, section)
            services = config.proxied(section)
            naming = Naming(services, section.backends, section.servers)
            self.planes.append(
                HaProxy(
                    name,
                    section.socket,
                    services,
                    naming=naming,
                    clock=clock,
                    judge=judge,
                    ring=ring,
                    seed=seed + number,
                    log=log,
                    entry=section.entry,
                )
            )

    def start(self, tasks: TaskGroup) -> None:
        """Speak and listen to each, in tasks of `tasks`."""
        for plane in self.planes:
            tasks.start_soon(_run_apart, plane.name, plane.run)
            tasks.start_soon(_run_apart, plane.name, plane.hear)

    def close(self) -> None:
        """Give the addresses back."""
        self._sockets.close()

    def views(self) -> list[EffectiveView]:
        """How each stands: what is wanted against what it has acknowledged."""
        now = self._clock.now()
        return [plane.effective.view(now) for plane in self.planes]

    def _bound(self, name: str, section: ProxySection) -> socket.socket | None:
        if not section.log_listen:
            return None
        try:
            return self._sockets.enter_context(log_socket(*split_listen(section.log_listen)))
        except OSError as error:
            self.close()
            reason = f"cannot listen on {section.log_listen}: {error.strerror}"
            raise ConfigError(reason, key=f"proxies.{name}.log_listen") from error


async def _run_apart(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled; a mistake of ours there is logged, and the others go on."""
    while True:
        try:
            await run()
            return
        except Exception:
            logger.exception("the conversation with proxy %s broke; it begins again", name)
        await anyio.sleep(AGAIN_S)
