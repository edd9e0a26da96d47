"""Servers that fail on demand: python -m controlplane.bench.dataplane.replica COUNT

The first line it prints has the port of each. A line on stdin breaks one: `errors 1`, `slow 1`, `hang 1`, `version 1`
(errors, one in three at random), `stray 1` (errors, one in two hundred), `well 1`. `queue 1`: from now on it serves one
request at a time, 8 ms each, and goes on with those whose caller has left; `clogged 1`: 40 ms each. `report` is
answered with the times (monotonic, ns) at which users' requests reached each one while it was broken, in JSON.
"""

import asyncio
import json
import random
import sys
from collections import deque
from typing import Final

from controlplane._native.guard import now_ns

SLOW_S: Final = 0.4
SERVICE_S: Final = {"queue": 0.008, "clogged": 0.04}
QUEUE_MAX: Final = 60  # waiting: 0.48 s, twice what an attempt is given
FAILING: Final = {"errors": 1.0, "version": 1 / 3, "stray": 1 / 200}
SEED: Final = 7
GOOD: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BAD: Final = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno"
FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
CHECK: Final = b"GET /health"


class Replica:
    """One server, its state and what reached it meanwhile."""

    def __init__(self, number: int) -> None:
        self.state = "well"
        self.reached: list[int] = []
        self._draw = random.Random(SEED + number)
        self._waiting: deque[_Connection] = deque()
        self._busy = False

    def connection(self) -> "_Connection":
        """For `create_server`."""
        return _Connection(self)

    def take(self, connection: "_Connection", request: bytes) -> None:
        """Answer one request, now or later or never."""
        if request.startswith(CHECK):  # the process is up, which is all that it says
            connection.answer(BAD if self.state == "errors" else GOOD)
            return
        if self.state != "well":
            self.reached.append(now_ns())
        if self.state in SERVICE_S:
            self._enqueue(connection)
        elif self.state == "slow":
            asyncio.get_running_loop().call_later(SLOW_S, connection.answer, GOOD)
        elif self.state != "hang":
            failing = FAILING.get(self.state, 0.0)
            connection.answer(BAD if failing and self._draw.random() < failing else GOOD)

    def _enqueue(self, connection: "_Connection") -> None:
        if len(self._waiting) >= QUEUE_MAX:
            connection.answer(FULL)
            return
        self._waiting.append(connection)
        if not self._busy:
            self._busy = True
            self._work()

    def _work(self) -> None:
        asyncio.get_running_loop().call_later(SERVICE_S.get(self.state, 0.0), self._served)

    def _served(self) -> None:
        self._waiting.popleft().answer(GOOD)  # also where nobody waits for it any more: the work was done
        self._busy = bool(self._waiting)
        if self._busy:
            self._work()


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
            self._replica.take(self, request)

    def answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def main(count: int) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    replicas = [Replica(number) for number in range(count)]
    servers = [await loop.create_server(replica.connection, "127.0.0.1", 0) for replica in replicas]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, _, number = line.strip().partition(" ")
        if word == "report":
            print(json.dumps([replica.reached for replica in replicas]), flush=True)
        else:
            replicas[int(number)].state = word


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
