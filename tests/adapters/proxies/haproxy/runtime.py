"""A runtime API that answers as HAProxy does, and wrongly on demand."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketStream

HEADER = "# pxname,svname,scur,stot,wretr,wredis,status,weight,check_status"


class Runtime:
    """One worker: `pid`, `servers` by "backend/server" with their columns, what is `held`. `asked` is every command.

    `answer` may replace an answer; what it returns for a command is sent as it is, None: as HAProxy would.
    """

    def __init__(self) -> None:
        self.pid, self.stopping = 1, 0
        self.servers = {f"orders/{name}": ["0", "10", "0", "0", "UP", "100", "L4OK"] for name in ("o1", "o2", "o3")}
        self.held: dict[str, tuple[str, int, int]] = {}
        self.asked: list[str] = []
        self.answer: Callable[[str], bytes | None] = lambda _: None
        self.connections = 0
        self.streams: list[SocketStream] = []

    def said(self, command: str) -> str:
        """What HAProxy answers."""
        words = command.split(" ")
        match words:
            case ["prompt"]:
                return ""
            case ["show", "info"]:
                return f"Name: HAProxy\nPid: {self.pid}\nStopping: {self.stopping}\nDroppedLogs: 3\n\n"
            case ["show", "stat", *_]:
                rows = [",".join([*name.split("/"), *cells]) for name, cells in self.servers.items()]
                return "\n".join([HEADER, *rows]) + "\n\n"
            case ["controlplane", "list"]:
                lines = [f"{kind} {name} {ms} {value}" for name, (kind, ms, value) in self.held.items()]
                return "".join(f"{line}\n" for line in lines) + "\n"
            case ["controlplane", ("hold" | "rule") as kind, name, ms, value]:
                if kind == "hold" and name not in self.servers:
                    return f"error: no server {name}\n\n"
                self.held[name] = (kind, int(ms), int(value))
                return "ok\n\n"
            case ["controlplane", "release", name]:
                self.held.pop(name, None)
                return "ok\n\n"
            case _:
                return "Unknown command: help\n\n"

    async def serve(self, stream: SocketStream) -> None:
        """One connection. Each command has its own prompt."""
        self.connections += 1
        self.streams.append(stream)
        rest = b""
        async with stream:
            try:
                while True:
                    rest += await stream.receive()
                    while b"\n" in rest:
                        line, rest = rest.split(b"\n", 1)
                        command = line.decode()
                        self.asked.append(command)
                        special = self.answer(command)
                        await stream.send(self.said(command).encode() + b"\n> " if special is None else special)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


@asynccontextmanager
async def served(runtime: Runtime, folder: Path) -> AsyncIterator[str]:
    """`runtime` on a socket; gives its path."""
    path = folder / "admin.sock"
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, runtime.serve)
        yield str(path)
        runtime.answer = lambda _: None
        async with await anyio.connect_unix(path) as last:  # who came before is accepted: asyncio's listener must not
            await last.send(b"prompt\n")  # be cancelled while somebody comes in
            await last.receive()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
