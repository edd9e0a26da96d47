"""Orders and answers between the supervisor and its children: one JSON line each, over stdin and stdout.

A pipe is private, needs no port and no secret, and ends when either side dies: a child that reads the end of its
stdin stops, however its parent went.
"""

import os
import sys
from collections.abc import AsyncIterator
from typing import Literal

import anyio
import msgspec

from controlplane.demo.fault import Kind
from controlplane.model.record import Record
from controlplane.model.unit import Nanos
from controlplane.testbed.bed import ProxyKind

READ_BYTES = 65_536


class Serve(msgspec.Struct, frozen=True, tag="serve"):
    """First order to a host: bind a loopback port for each of these replicas."""

    replicas: tuple[str, ...]
    directory: str
    seed: int
    proxy: ProxyKind | None = None  # the gateway serves nobody, and steers this one


class Ports(msgspec.Struct, frozen=True):
    """The port of every replica, as the system chose it."""

    ports: dict[str, int]


class Join(msgspec.Struct, frozen=True, tag="join"):
    """Second order to a host: these are the ports of the whole mesh; call it."""

    ports: dict[str, int]


class Joined(msgspec.Struct, frozen=True):
    """The host serves. `admin` is the address of its admin endpoint, if it has one; `plane_port` that at which it hears
    the proxy that it steers, if it does."""

    admin: str = ""
    token_file: str = ""
    plane_port: int = 0


class Inject(msgspec.Struct, frozen=True, tag="inject"):
    """Break `replicas` at the time `at` until `until`, both on CLOCK_MONOTONIC."""

    replicas: tuple[str, ...]
    kind: Kind
    at: Nanos
    until: Nanos


class Steer(msgspec.Struct, frozen=True, tag="steer"):
    """Switch every plane of the host."""

    order: Literal["observe", "enforce"]


class Watch(msgspec.Struct, frozen=True, tag="watch"):
    """How do the planes of this host stand?"""


class Standing(msgspec.Struct, frozen=True):
    """Open incidents by plane, and work in the replicas' queues."""

    open: dict[str, int]
    queued: int = 0


class Collect(msgspec.Struct, frozen=True, tag="collect"):
    """Hand over everything served and recorded since `since`; what is older is forgotten."""

    since: Nanos


class Served(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request as the server saw it; `end` 0: not answered yet. `route` is the service it depends on first."""

    start: Nanos
    end: Nanos
    status: int
    route: str


class Collected(msgspec.Struct, frozen=True):
    """Requests by replica and records by plane, each in the order of its happening."""

    served: dict[str, list[Served]]
    records: dict[str, list[Record]]


class Onset(msgspec.Struct, frozen=True):
    """When the fault really began, by the replica's own clock."""

    at: Nanos


class Drive(msgspec.Struct, frozen=True, tag="drive"):
    """Order to the load generator: from `at` on, send `rate` requests a second to `port`, drawn from `seed`."""

    port: int
    rate: int
    seed: int
    at: Nanos


class Rest(msgspec.Struct, frozen=True, tag="rest"):
    """Order to the load generator: send nothing until driven again."""


class Gather(msgspec.Struct, frozen=True, tag="gather"):
    """Ask the load generator for the requests whose intended start lies in [since, until)."""

    since: Nanos
    until: Nanos


class Sent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One user request: intended start, end (0: none yet), status (0: time-out or no answer) and route."""

    start: Nanos
    end: Nanos
    status: int
    route: str


class Gathered(msgspec.Struct, frozen=True):
    """User requests in the order of their intended starts. `late_max_ns`: the generator's own worst lateness."""

    sent: list[Sent]
    late_max_ns: Nanos


class Done(msgspec.Struct, frozen=True):
    """The order was carried out."""


Order = Serve | Join | Inject | Steer | Watch | Collect | Drive | Rest | Gather


def claim_stdout() -> int:
    """A private descriptor for answers; whatever else prints to stdout goes to stderr from now on."""
    private = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return private


async def orders() -> AsyncIterator[Order]:
    """Orders from stdin until its end, which means: the parent is gone, stop."""
    descriptor, rest = sys.stdin.fileno(), b""
    decoder = msgspec.json.Decoder(Order)
    while True:
        await anyio.wait_readable(descriptor)
        chunk = os.read(descriptor, READ_BYTES)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield decoder.decode(line)


def answer(descriptor: int, value: msgspec.Struct) -> None:
    """Write one answer. Blocks until the parent has read it: answers are asked for between the measured windows."""
    line = memoryview(msgspec.json.encode(value) + b"\n")
    while line:
        line = line[os.write(descriptor, line) :]
