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
    """The questions of one plane: `probes` says whether endpoints are asked, `transport` is the guarded way to
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
        self._asker = Asker(policy.probe_timeout_s, answered=self._fingerprints.answered)
        self._prober: Prober | None = None
        if probes:
            self._prober = Prober(topology, policy, get=self._asker.get, ring=ring, clock=clock, seed=seed)
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

    def start(self, tasks: TaskGroup) -> None:
        """Ask until `tasks` end."""
        tasks.start_soon(_ask_apart, self._through_guards, self._consistency)
        if self._prober is not None:
            tasks.start_soon(_ask_apart, self._asker, self._prober)


async def _ask_apart(asker: Asker, prober: Prober | ConsistencyProber) -> None:
    """Ask until cancelled. A mistake of ours ends the questions and nothing else."""
    try:
        async with asker:
            await prober.run()
    except Exception:
        logger.exception("%s broke; the evidence of real calls goes on", type(prober).__name__)
