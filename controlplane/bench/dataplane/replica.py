"""Servers that fail on demand: python -m controlplane.bench.dataplane.replica SOCKET...

A line on stdin breaks one: `errors 1`, `slow 1`, `hang 1`; `report` is answered with the times (monotonic, ns) at which
users' requests reached each one while it was broken, as one line of JSON.
"""

import asyncio
import json
import sys
from typing import Final

from controlplane._native.guard import now_ns

SLOW_S: Final = 0.4
GOOD: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BAD: Final = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno"
CHECK: Final = b"GET /health"


class Replica:
    """One server, its state and what reached it meanwhile."""

    def __init__(self) -> None:
        self.state = "well"
        self.reached: list[int] = []

    def connection(self) -> "_Connection":
        """For `create_unix_server`."""
        return _Connection(self)


class _Connection(asyncio.Protocol):
    def __init__(self, replica: Replica) -> None:
        self._replica, self._rest = replica, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while b"\r\n\r\n" in self._rest:
            request, self._rest = self._rest.split(b"\r\n\r\n", 1)
            state = self._replica.state
            if state != "well" and not request.startswith(CHECK):
                self._replica.reached.append(now_ns())
            if state == "slow":
                asyncio.get_running_loop().call_later(SLOW_S, self._answer, GOOD)
            elif state != "hang":
                self._answer(BAD if state == "errors" else GOOD)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main(paths: list[str]) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    replicas = [Replica() for _ in paths]
    for replica, path in zip(replicas, paths, strict=True):
        await loop.create_unix_server(replica.connection, path)
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, _, number = line.strip().partition(" ")
        if word == "report":
            print(json.dumps([replica.reached for replica in replicas]), flush=True)
        else:
            replicas[int(number)].state = word


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
