"""Active probes for a process that carries no traffic of its own: every endpoint is asked in its own rhythm.

A probe that is answered says little; one that is not says the endpoint is unreachable from here. It is weaker evidence
than real requests, and the engine treats it so.
"""

import random
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskStatus

from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import ProbeFinished, Signal, Target
from controlplane.model.topology import Topology
from controlplane.ports import Clock

Get = Callable[[str], Awaitable[int]]

_JITTER = 0.1  # share of the interval by which two probes of an endpoint may lie nearer or further apart
_OK = range(200, 400)  # what Kubernetes' HTTP probes take for an answer
_RESULTS_MAX = 10_000  # waiting for a loop that does not look; the oldest are dropped


class Prober:
    """A signal source that asks every endpoint of every service with a `probe_path`, each in a task of its own.

    `get` answers a URL with the status of one GET; whatever it raises is a failed probe. `ring` is called after each.
    """

    def __init__(
        self,
        topology: Topology,
        policy: ResponsePolicy,
        *,
        get: Get,
        ring: Callable[[], None],
        clock: Clock,
        seed: int,
    ) -> None:
        self._targets = [
            (Target(service.name, endpoint.name), endpoint.url.rstrip("/") + "/" + service.probe_path.lstrip("/"))
            for service in topology.services
            if service.probe_path
            for endpoint in service.endpoints
        ]
        self._interval_s, self._timeout_s = policy.probe_interval_s, policy.probe_timeout_s
        self._get, self._ring, self._clock, self._seed = get, ring, clock, seed
        self._results: deque[Signal] = deque(maxlen=_RESULTS_MAX)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Probe until cancelled."""
        async with anyio.create_task_group() as tasks:
            for number, (target, url) in enumerate(self._targets):
                # jitter is no secret; one stream per endpoint, so that a slow answer does not move the others' times
                rhythm = random.Random(f"{self._seed}/{number}")  # noqa: S311
                tasks.start_soon(self._probe_forever, target, url, rhythm)
            task_status.started()

    def drain(self) -> list[Signal]:
        """Results since the last call, oldest first."""
        results = list(self._results)
        self._results.clear()
        return results

    def sample(self) -> list[Signal]:
        """Nothing: a probe is a fact, not a count."""
        return []

    async def _probe_forever(self, target: Target, url: str, rhythm: random.Random) -> None:
        due_s = anyio.current_time() + rhythm.random() * self._interval_s  # spread over the first interval
        while True:
            await anyio.sleep_until(due_s)
            self._results.append(await self._probe(target, url))
            self._ring()
            pause_s = self._interval_s * rhythm.uniform(1 - _JITTER, 1 + _JITTER)
            due_s = max(due_s + pause_s, anyio.current_time())  # a probe slower than the interval is not made up for

    async def _probe(self, target: Target, url: str) -> ProbeFinished:
        began = self._clock.now()
        ok = False
        with anyio.move_on_after(self._timeout_s):
            try:
                ok = await self._get(url) in _OK
            except Exception:
                ok = False  # no connection, no HTTP: that is the result, and not an error of ours
        ended = self._clock.now()
        return ProbeFinished(at=ended, target=target, ok=ok, latency_ns=ended - began)
