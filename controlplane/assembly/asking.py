"""What a plane asks of its own accord: endpoints, by active probes; services that recover, by consistency probes."""

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from controlplane.adapters.asker import Asker
from controlplane.adapters.fingerprint import ProbeFingerprints
from controlplane.model.policy import ResponsePolicy
from controlplane.model.topology import Topology
from controlplane.ports import Clock, SignalSource
from controlplane.runtime.consistency import Ask, ConsistencyProber
from controlplane.runtime.probe import Prober

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("controlplane")


class Asking:
    """The questions of one plane: `probes` says whether all endpoints are asked or only
    those of guards, `transport` is the guarded way to
    services, `recovering` names the services whose consistency matters now."""

    def __init__(
        self,
        topology: Topology,
        policy: ResponsePolicy,
        *,
        probes: bool,
        transport: "Callable[[], httpx.AsyncBaseTransport]",
        recovering: Callable[[], Collection[str]],
        ring: Callable[[], None],
        clock: Clock,
        seed: int,
    ) -> None:
        self._fingerprints = ProbeFingerprints(topology, clock)
        self._topology = topology
        self._asker = Asker(policy.probe_timeout_s, answered=self._fingerprints.answered)
        self._prober: Prober | None = None
        asked = topology if probes else _guards(topology)
        if asked.services:
            self._prober = Prober(asked, policy, get=self._asker.get, ring=ring, clock=clock, seed=seed)
        self._through_guards = Asker(policy.probe_timeout_s, transport)
        self.consistency_asks: dict[str, Ask] = {
            service.name: partial(self._through_guards.expect_well, f"http://{service.name}{service.consistency_path}")
            for service in topology.services
            if service.consistency_path
        }
        self._consistency = ConsistencyProber(
            self.consistency_asks, policy, recovering=recovering, ring=ring, clock=clock
        )

    @property
    def sources(self) -> list[SignalSource]:
        """Where the answers come from."""
        probing: list[SignalSource] = [self._prober, self._fingerprints] if self._prober else []
        return [self._consistency, *probing]

    def ask_for(self, service: str, ask: Ask) -> None:
        """Have `ask` say whether `service` is consistent. Raises KeyError where nobody declared it."""
        if self._topology.service(service) is None:
            known = ", ".join(one.name for one in self._topology.services)
            raise KeyError(f"{service!r} is not declared; declared: {known}")
        self.consistency_asks[service] = ask

    def start(self, tasks: TaskGroup) -> None:
        """Ask until `tasks` end."""
        tasks.start_soon(_ask_apart, self._through_guards, self._consistency)
        if self._prober is not None:
            tasks.start_soon(_ask_apart, self._asker, self._prober)


def _guards(topology: Topology) -> Topology:
    """The guards alone: while what depends on them is closed, nobody else may be asking how they are."""
    guards = (service for service in topology.services if service.name in topology.protected and service.probe_path)
    return Topology(services=tuple(guards))


async def _ask_apart(asker: Asker, prober: Prober | ConsistencyProber) -> None:
    """Ask until cancelled. A mistake of ours ends the questions and nothing else."""
    try:
        async with asker:
            await prober.run()
    except Exception:
        logger.exception("%s broke; the evidence of real calls goes on", type(prober).__name__)
