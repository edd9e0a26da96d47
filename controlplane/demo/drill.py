"""A running mesh: start it, watch it healthy, break it in one mode, heal it, and hand over what was measured."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import msgspec

from controlplane.adapters.clock import SystemClock
from controlplane.demo import incident, measure, mesh, pipe
from controlplane.demo.fault import Fault
from controlplane.demo.front import DataPlaneKind, Front, in_front
from controlplane.demo.progress import Progress
from controlplane.demo.result import Healthy, Run
from controlplane.demo.supervise import Child, ask_all, launch
from controlplane.model.record import Record
from controlplane.model.unit import Nanos, to_nanos, to_seconds

Mode = Literal["observe", "enforce"]

LOAD = "load"
WARM_S = 3.0  # healthy traffic from which the guards learn what is normal; counted with the healthy phase
LEAD_S = 0.8  # same-seed traffic before the onset
SETTLE_S = mesh.USER_TIMEOUT_S + 0.1  # after this every request of a window has ended, one way or the other
QUIET_S = 8.0  # observed incidents must have closed by then
RECOVER_S = 25.0  # and contained ones, traffic back included: a share rises by calls, and some callers make few
LOOK_EVERY_S = 0.1


class Drill:
    """A running mesh and what can be done to it."""

    def __init__(
        self, children: dict[str, Child], *, rate: int, seed: int, progress: Progress, front: Front | None = None
    ) -> None:
        self.rate, self.seed, self.progress = rate, seed, progress
        self._front = front
        self._proxied = frozenset() if front is None else frozenset({mesh.GATEWAY})
        self.clock = SystemClock()
        self.admin = pipe.Joined()
        self._hosts = {name: child for name, child in children.items() if name != LOAD}
        self._load = children[LOAD]
        self._port = 0
        self._began = Nanos(0)

    async def start(self, directory: Path) -> None:
        """Ports first, then planes, then traffic."""
        placed = {**mesh.hosts(), mesh.GATEWAY: (mesh.GATEWAY,)}
        serve = {name: pipe.Serve(placed[name], str(directory), self.seed) for name in self._hosts}
        if self._front is not None:
            serve[mesh.GATEWAY] = msgspec.structs.replace(serve[mesh.GATEWAY], proxy=self._front.kind)
        bound = await ask_all(self._hosts, serve, pipe.Ports)
        ports = {replica: port for answer in bound.values() for replica, port in answer.ports.items()}
        joined = await ask_all(self._hosts, dict.fromkeys(self._hosts, pipe.Join(ports)), pipe.Joined)
        self.admin = joined[mesh.GATEWAY]
        self._port = (
            ports[mesh.GATEWAY] if self._front is None else self._front.start(ports, joined[mesh.GATEWAY].plane_port)
        )
        self._began = self.clock.now()
        await self._drive(self.seed, self._began)

    async def healthy(self, seconds: float) -> Healthy:
        """Nothing is broken: nothing may happen."""
        await self.progress.wait(WARM_S, "warming up")
        since = self.clock.now()
        await self.progress.wait(seconds, f"healthy traffic, {self.rate} requests/s, library in force")
        until = self.clock.now()
        await anyio.sleep(SETTLE_S)
        served, records = await self._collect(self._began)
        del served
        answer = incident.read(records, onset=since, proxied=self._proxied)
        gathered = await self._load.ask(pipe.Gather(since, until), pipe.Gathered)
        seen = measure.users(gathered.sent)
        latency = measure.percentiles(row.end - row.start for row in gathered.sent if row.end)
        return Healthy(
            requests=seen.requests,
            failed=seen.failed,
            slow=seen.slow,
            incidents=answer.opened,
            commands=answer.commands,
            named=answer.origins,
            latency_s=latency,
            generator_late_max_s=to_seconds(gathered.late_max_ns),
        )

    async def run(self, fault: Fault, mode: Mode, *, seed: int) -> Run:
        """Break the mesh, measure the window, heal it, wait until all is well."""
        label = f"{fault.name}, {'observe-only' if mode == 'observe' else 'in force'}"
        await ask_all(self._planes(), dict.fromkeys(self._planes(), pipe.Steer(mode)), pipe.Done)
        began = self.clock.now()
        start = Nanos(began + to_nanos(0.1))
        await self._drive(seed, start)
        onset = await self._break(fault, Nanos(start + to_nanos(LEAD_S)))
        window_ns = to_nanos(fault.window_s)
        await self.progress.wait(fault.window_s - to_seconds(self.clock.now() - onset), f"{label}: {fault.told}")
        waited = await self._quiet(fault, mode, label, at_least_s=SETTLE_S)
        collected, records = await self._collect(began)
        gathered = await self._load.ask(pipe.Gather(onset, Nanos(onset + window_ns)), pipe.Gathered)
        served: dict[str, Sequence[measure.Row]] = {**collected}
        if self._front is not None:  # a proxy keeps no ledger: what it served is what users got
            served[mesh.GATEWAY] = gathered.sent
        hops = {
            hop: measure.escalation(
                (row for row in served[hop] if hop != mesh.GATEWAY or row.route == fault.service),
                onset=onset,
                window_ns=window_ns,
            )
            for hop in mesh.callers(fault.service)
        }
        return Run(
            users=measure.users(gathered.sent),
            blast=measure.blast_radius(served, onset=onset, window_ns=window_ns),
            escalation=measure.earliest(hops),
            answer=incident.read(records, onset=onset, proxied=self._proxied),
            onset=onset,
            quiet=waited,
            generator_late_max_s=to_seconds(gathered.late_max_ns),
        )

    async def _break(self, fault: Fault, at: Nanos) -> Nanos:
        until = Nanos(at + to_nanos(fault.lasts_s))
        orders = {}
        for host, placed in mesh.hosts().items():
            broken = tuple(replica for replica in fault.replicas if replica in placed)
            if broken:
                orders[host] = pipe.Inject(broken, fault.kind, at, until)
        onsets = await ask_all(self._hosts, orders, pipe.Onset)
        return min(answer.at for answer in onsets.values())

    async def _quiet(self, fault: Fault, mode: Mode, label: str, *, at_least_s: float) -> bool:
        """Wait until no incident is open and no queue holds work. False where that did not come in time."""
        if mode == "observe" and (await self._standing()).queued > mesh.STOCK_QUEUE_MAX:  # of two queues
            # what an operator would have to do: nothing else ends a metastable failure
            self.progress.say(
                f"{label}: still down {fault.window_s - fault.lasts_s:.0f} s after the trigger; load taken off"
            )
            await self._load.ask(pipe.Rest(), pipe.Done)
            await anyio.sleep(at_least_s)
            at_least_s = 0.0
            await self._drive(self.seed, self.clock.now())
        earliest = anyio.current_time() + at_least_s
        latest = anyio.current_time() + (QUIET_S if mode == "observe" else RECOVER_S)
        while anyio.current_time() < latest:  # between two questions: one that is broken off leaves its answer behind
            standing = await self._standing()
            if not standing.open and anyio.current_time() >= earliest:
                return True
            await self.progress.wait(LOOK_EVERY_S, f"{label}: healed; open: {', '.join(standing.open) or 'nothing'}")
        return False

    async def _standing(self) -> pipe.Standing:
        answers = await ask_all(self._hosts, dict.fromkeys(self._hosts, pipe.Watch()), pipe.Standing)
        return pipe.Standing(
            open={name: count for one in answers.values() for name, count in one.open.items() if count},
            queued=sum(one.queued for one in answers.values()),
        )

    async def _collect(self, since: Nanos) -> tuple[dict[str, list[pipe.Served]], dict[str, list[Record]]]:
        answers = await ask_all(self._hosts, dict.fromkeys(self._hosts, pipe.Collect(since)), pipe.Collected)
        served: dict[str, list[pipe.Served]] = {}
        for answer in answers.values():
            for replica, rows in answer.served.items():
                served.setdefault(replica if replica == mesh.GATEWAY else mesh.part_of(replica).name, []).extend(rows)
        return served, {plane: kept for answer in answers.values() for plane, kept in answer.records.items()}

    async def _drive(self, seed: int, at: Nanos) -> None:
        await self._load.ask(pipe.Drive(self._port, self.rate, seed, at), pipe.Done)

    def _planes(self) -> dict[str, Child]:
        return {name: child for name, child in self._hosts.items() if not name.startswith("leaf")}


@asynccontextmanager
async def running(
    directory: Path, *, rate: int, seed: int, progress: Progress, data_plane: DataPlaneKind = "in-process"
) -> AsyncIterator[Drill]:
    """The mesh, started and under load; all its processes are gone on leaving. Raises ChildDied, NoProxy."""
    hosts = [*mesh.hosts(), mesh.GATEWAY]
    modules = dict.fromkeys(hosts, "controlplane.demo.replica") | {LOAD: "controlplane.demo.load"}
    progress.say(f"starting {sum(map(len, mesh.hosts().values()))} replicas of {len(mesh.PARTS)} services")
    async with launch(modules, directory) as children, in_front(data_plane, directory) as front:
        drill = Drill(children, rate=rate, seed=seed, progress=progress, front=front)
        await drill.start(directory)
        yield drill
