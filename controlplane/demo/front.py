"""A real proxy in the place of the gateway: users' requests pass it, and the gateway's process only steers it.

That process has the parts of `controlplane serve`, the same plane with `[proxies.edge]`, and sees of the traffic what
the proxy tells. A fault counts here where the proxy's own calls meet it; one of a service that only other services call
is out of the reach of a proxy at the entry, and left out by name.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import anyio
import anyio.abc

from controlplane.demo import mesh
from controlplane.demo.fault import FAULTS, Fault
from controlplane.demo.supervise import LOG_LINES_SHOWN, ChildDied
from controlplane.testbed import envoy, haproxy
from controlplane.testbed.bed import Bed, ProxyKind
from controlplane.testbed.child import NoProxy, reserved, started

DataPlaneKind = Literal["in-process"] | ProxyKind

ANSWER_S: Final = 1.5  # as the gateway's own calls: `front` in mesh.POLICIES
CHECK: Final = "check inter 1s rise 2 fall 3"  # as in docs/how-to/haproxy.md


def passes(fault: Fault) -> bool:
    """Whether the calls that meet the fault pass the proxy."""
    return fault.service in mesh.fronts()


def why_not(fault: Fault) -> str:
    """In words: why no proxy at the entry shows `fault`."""
    callers = ", ".join(mesh.callers(fault.service))
    return f"only {callers} call{'' if ',' in callers else 's'} {fault.service}, and none of that passes the proxy"


def check(data_plane: DataPlaneKind, faults: Collection[str]) -> None:
    """Whether the proxy is here and one of `faults` passes it. Raises NoProxy, which says what to do."""
    if data_plane == "in-process":
        return
    {"haproxy": haproxy.binary, "envoy": envoy.binary}[data_plane]()
    chosen = [fault for fault in FAULTS if fault.name in faults]
    if not any(passes(fault) for fault in chosen):
        reasons = "; ".join(f"{fault.name}: {why_not(fault)}" for fault in chosen)
        shown = ", ".join(fault.name for fault in FAULTS if passes(fault))
        raise NoProxy(f"{data_plane} meets nothing of it ({reasons}). It meets {shown}")


class Front:
    """The proxy, once it is started: by whoever knows where the replicas and the control plane are."""

    def __init__(self, kind: ProxyKind, directory: Path, stack: ExitStack, tasks: anyio.abc.TaskGroup) -> None:
        self.kind = kind
        self._directory, self._stack, self._tasks = directory, stack, tasks

    def start(self, ports: Mapping[str, int], plane_port: int) -> int:
        """Start it; the port at which it serves users. `ports` by replica; `plane_port`: where its log goes, or where
        it asks. For the main thread: the proxy ends with the thread that started it. Raises NoProxy."""
        listen = self._stack.enter_context(reserved())
        services = {name: {one: ports[one] for one in mesh.replicas(name)} for name in mesh.fronts()}
        bed = Bed(services=services, listen=listen, answer_s=ANSWER_S)
        if self.kind == "haproxy":
            haproxy.prepare(self._directory, bed, server=CHECK, log_port=plane_port)
            command = haproxy.command(self._directory)
        else:
            envoy.prepare(self._directory, bed, plane_port=plane_port)
            command = envoy.command(self._directory)
        process = self._stack.enter_context(started(self.kind, command, self._directory, listen))
        self._tasks.start_soon(self._watch, process)
        return listen

    async def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Raise ChildDied when the proxy ends."""
        ended = os.pidfd_open(process.pid)
        try:
            await anyio.wait_readable(ended)
        finally:
            os.close(ended)
        process.wait()
        said = (self._directory / f"{self.kind}.said").read_text(errors="replace").splitlines()
        raise ChildDied(self.kind, process.returncode, "\n".join(said[-LOG_LINES_SHOWN:]))


@asynccontextmanager
async def in_front(data_plane: DataPlaneKind, directory: Path) -> AsyncIterator[Front | None]:
    """The proxy in front, still to be started; None where the gateway makes the calls itself. Gone on leaving."""
    if data_plane == "in-process":
        yield None
        return
    with ExitStack() as stack:
        async with anyio.create_task_group() as tasks:
            yield Front(data_plane, directory, stack, tasks)
            tasks.cancel_scope.cancel()
