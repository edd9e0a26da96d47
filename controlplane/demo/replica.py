"""A host: one process with the replicas of one tier and zone, each a server on its own port with its own fault state.

python -m controlplane.demo.replica      (orders come through stdin: see `pipe`)
"""

import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from zlib import crc32

import anyio
import anyio.abc
import msgspec
import uvicorn

from controlplane import admin_app
from controlplane.adapters.clock import SystemClock
from controlplane.assembly import Plane
from controlplane.assembly.settle import settle
from controlplane.config.token import ensure_token
from controlplane.demo import mesh, pipe
from controlplane.demo.site import App, Site
from controlplane.model.config import ProxySection
from controlplane.model.record import IncidentClosed, IncidentMerged, IncidentOpened, Record
from controlplane.model.unit import IncidentId, Nanos
from controlplane.testbed import haproxy
from controlplane.testbed.bed import ProxyKind

CONNECTIONS_WAITING_MAX = 512


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the supervisor ends this process through its pipe."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell that it serves."""
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured: several servers share this process."""
        yield


class Host:
    """The replicas of one process, their planes, and the answers to the supervisor's orders."""

    def __init__(self, tasks: anyio.abc.TaskGroup, stack: AsyncExitStack) -> None:
        self.tasks, self.stack = tasks, stack
        self.clock = SystemClock()
        self.sites: dict[str, Site] = {}
        self.planes: dict[str, Plane] = {}
        self.records: dict[str, list[Record]] = {}
        self._open: dict[str, set[IncidentId]] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._serve = pipe.Serve((), "", 0)

    def bind(self, order: pipe.Serve) -> pipe.Ports:
        """A port for every replica, chosen by the system and kept."""
        self._serve = order
        for replica in order.replicas if order.proxy is None else ():
            bound = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS_WAITING_MAX)
            self._sockets[replica] = bound
        return pipe.Ports({replica: bound.getsockname()[1] for replica, bound in self._sockets.items()})

    async def join(self, order: pipe.Join) -> pipe.Joined:
        """Start a plane for everyone who calls others, then serve."""
        joined = pipe.Joined()
        if self._serve.proxy is not None:
            joined = await self._steering(self._serve.proxy, order.ports)
        for replica, bound in self._sockets.items():
            gateway = replica == mesh.GATEWAY
            plane = None
            if gateway or mesh.part_of(replica).calls:
                plane = await self._plane(replica, order.ports)
            site = Site(replica, plane=plane, clock=self.clock, tasks=self.tasks)
            self.sites[replica] = site
            await self._listen(site, bound)
            if gateway and plane is not None:
                joined = await self._admin(plane)
        settle()
        return joined

    async def _steering(self, kind: ProxyKind, ports: dict[str, int]) -> pipe.Joined:
        """The plane of the gateway, which makes no call itself: it hears and steers a proxy."""
        log_port = haproxy.free_log_port() if kind == "haproxy" else 0
        section = ProxySection(
            kind=kind,
            services=mesh.fronts(),
            socket=f"{self._serve.directory}/admin.sock" if kind == "haproxy" else "",
            log_listen=f"127.0.0.1:{log_port}" if kind == "haproxy" else "",
            listen="127.0.0.1:0" if kind == "envoy" else "",
        )
        plane = await self._plane(mesh.GATEWAY, ports, section)
        (line,) = plane.proxies.lines()  # the last word is where an Envoy asks
        plane_port = log_port or int(line.rpartition(":")[2])
        return msgspec.structs.replace(await self._admin(plane), plane_port=plane_port)

    async def _plane(self, replica: str, ports: dict[str, int], proxy: ProxySection | None = None) -> Plane:
        gateway = replica == mesh.GATEWAY
        name = mesh.GATEWAY if gateway else mesh.part_of(replica).name
        journal = str(Path(self._serve.directory, "gateway.db")) if gateway else ""
        seed = self._serve.seed ^ crc32(replica.encode())
        plane = Plane(mesh.config(name, ports, journal=journal, proxy=proxy), seed=seed)
        await self.stack.enter_async_context(plane)
        self.planes[replica], self.records[replica], self._open[replica] = plane, [], set()
        await self.tasks.start(self._follow, plane, self.records[replica], self._open[replica])
        return plane

    async def _follow(
        self,
        plane: Plane,
        records: list[Record],
        standing: set[IncidentId],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        async with plane.follow() as stream:
            task_status.started()
            async for _, record in stream:
                records.append(record)
                if isinstance(record, IncidentOpened):
                    standing.add(record.incident)
                elif isinstance(record, IncidentClosed | IncidentMerged):
                    standing.discard(record.incident)

    async def _listen(self, app: App, bound: socket.socket) -> None:
        config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None, timeout_keep_alive=600
        )
        server = _Server(config)
        self.tasks.start_soon(server.serve, [bound])
        await server.up.wait()

    async def _admin(self, plane: Plane) -> pipe.Joined:
        bound = socket.create_server(("127.0.0.1", 0))
        token_file = str(Path(self._serve.directory, "controlplane.token"))
        await self._listen(admin_app(plane, token=ensure_token(token_file)), bound)
        return pipe.Joined(admin=f"127.0.0.1:{bound.getsockname()[1]}", token_file=token_file)

    async def inject(self, order: pipe.Inject) -> pipe.Onset:
        """Break the replicas at the ordered time; the answer says when it was."""
        await self._until(order.at)
        at = self.clock.now()  # before the first broken answer
        for replica in order.replicas:
            self.sites[replica].break_(order.kind)
        self.tasks.start_soon(self._heal, order)
        return pipe.Onset(at)

    async def _heal(self, order: pipe.Inject) -> None:
        await self._until(order.until)
        for replica in order.replicas:
            self.sites[replica].heal()

    async def _until(self, at: Nanos) -> None:
        await anyio.sleep(max(0.0, (at - self.clock.now()) / 1e9))

    async def steer(self, order: pipe.Steer) -> pipe.Done:
        """Switch every plane between observing and enforcing."""
        for plane in self.planes.values():
            await plane.order(order.order, by="demo", reason="each fault runs in both modes")
        return pipe.Done()

    def standing(self) -> pipe.Standing:
        """Incidents open by the records, so that a close seen here is also among those collected; and queued work."""
        return pipe.Standing(
            open={name: len(incidents) for name, incidents in self._open.items()},
            queued=sum(site.queued for site in self.sites.values()),
        )

    def collect(self, since: Nanos) -> pipe.Collected:
        """Everything served or recorded from `since` on; what is older is forgotten."""
        for kept in self.records.values():
            kept[:] = [record for record in kept if record.at >= since]
        return pipe.Collected({name: site.collect(since) for name, site in self.sites.items()}, self.records)


async def obey(order: pipe.Order, host: Host) -> msgspec.Struct:
    """The answer to one order."""
    match order:
        case pipe.Serve():
            return host.bind(order)
        case pipe.Join():
            return await host.join(order)
        case pipe.Inject():
            return await host.inject(order)
        case pipe.Steer():
            return await host.steer(order)
        case pipe.Watch():
            return host.standing()
        case pipe.Collect():
            return host.collect(order.since)
        case _:
            raise ValueError(f"a host does not take {order}")


async def main(answers: int) -> None:
    """Serve until stdin ends."""
    async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
        host = Host(tasks, stack)
        async for order in pipe.orders():
            pipe.answer(answers, await obey(order, host))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, pipe.claim_stdout(), backend="asyncio", backend_options={"use_uvloop": True})
