"""A control plane of one service in a process of its own, which tests kill: `o1` is ejected there, renewed while it
lives.

Arguments  port to listen on, time to live in seconds, then NAME=PORT of each endpoint.
"""

import sys

import anyio

from controlplane.adapters.proxies.envoy.plane import EnvoyPlane
from controlplane.model.command import Eject
from controlplane.model.errors import ActuationError
from tests.integration.envoy_world import declared, order, plane_of


async def main(port: int, ttl_s: float, ports: dict[str, int]) -> None:
    plane = plane_of(declared("orders", ports), ttl_s=ttl_s)
    await renew(plane)  # as a plane whose journal holds the order: in force before anybody is answered
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(plane.run, listener)
        print("ready", flush=True)
        while True:
            await renew(plane)
            await anyio.sleep(0.1)  # real time: orders are renewed ten times a second


async def renew(plane: EnvoyPlane) -> None:
    try:
        await plane.apply(order(Eject(), "orders", "o1"))
    except ActuationError as error:  # nobody is there yet
        print(error, flush=True)
    else:
        print("in force", flush=True)


if __name__ == "__main__":
    endpoints = {name: int(number) for name, _, number in (one.partition("=") for one in sys.argv[3:])}
    anyio.run(main, int(sys.argv[1]), float(sys.argv[2]), endpoints, backend="trio")
