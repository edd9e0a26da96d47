"""Children of the demo: started together, asked through pipes, missed by name when one dies, and none left behind.

A child stops at the end of its stdin, so even a supervisor killed outright leaves nothing; an orderly end closes the
pipes, waits a little and kills what is left.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from controlplane.demo import pipe

STOP_S = 3.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
LOG_LINES_SHOWN = 15

A = TypeVar("A", bound=msgspec.Struct)


class ChildDied(Exception):
    """A process of the mesh ended although nobody had asked it to."""

    def __init__(self, name: str, status: int | None, log: str) -> None:
        self.name = name
        told = f"\n{log}" if log else ""
        super().__init__(f"{name} died (exit status {status}); its last words:{told or ' none'}")


class Child:
    """One process. `ask` is for one caller at a time."""

    def __init__(self, name: str, process: anyio.abc.Process, log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.name, self.process, self.log = name, process, log
        self._out = process.stdin
        self._in = BufferedByteReceiveStream(process.stdout)
        self._turn = anyio.Lock()

    async def ask(self, order: pipe.Order, answer: type[A]) -> A:
        """The child's answer. Raises ChildDied."""
        try:
            async with self._turn:
                await self._out.send(msgspec.json.encode(order) + b"\n")
                line = await self._in.receive_until(b"\n", ANSWER_BYTES_MAX)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.IncompleteRead, anyio.EndOfStream):
            raise await self.died() from None
        return msgspec.json.decode(line, type=answer)

    async def died(self) -> ChildDied:
        """The error that tells of its death, once it is complete."""
        with anyio.move_on_after(STOP_S, shield=True):
            await self.process.wait()
        words = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:] if self.log.exists() else []
        return ChildDied(self.name, self.process.returncode, "\n".join(words))

    async def watch(self) -> None:
        """Raise ChildDied when the process ends."""
        await self.process.wait()
        raise await self.died()

    async def stop(self) -> None:
        """End it: kindly first."""
        with anyio.CancelScope(shield=True):
            await self._out.aclose()
            with anyio.move_on_after(STOP_S):
                await self.process.wait()
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
            await self.process.aclose()


@asynccontextmanager
async def launch(modules: Mapping[str, str], directory: Path) -> AsyncIterator[dict[str, Child]]:
    """Children by name, each running its module. On leaving, however that happens, all of them are gone."""
    children: dict[str, Child] = {}
    try:
        for name, module in modules.items():
            children[name] = await _start(name, module, directory / f"{name}.log")
        async with anyio.create_task_group() as tasks:
            for child in children.values():
                tasks.start_soon(child.watch)
            yield children
            tasks.cancel_scope.cancel()
    finally:
        async with anyio.create_task_group() as tasks:
            tasks.cancel_scope.shield = True
            for child in children.values():
                tasks.start_soon(child.stop)


async def _start(name: str, module: str, log: Path) -> Child:
    with log.open("wb") as errors:
        process = await anyio.open_process(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is the supervisor's to answer
        )
    return Child(name, process, log)


async def ask_all(children: Mapping[str, Child], orders: Mapping[str, pipe.Order], answer: type[A]) -> dict[str, A]:
    """Each child's answer to its order, asked at the same time."""
    answers: dict[str, A] = {}

    async def ask(name: str, order: pipe.Order) -> None:
        answers[name] = await children[name].ask(order, answer)

    async with anyio.create_task_group() as tasks:
        for name, order in orders.items():
            tasks.start_soon(ask, name, order)
    return answers
