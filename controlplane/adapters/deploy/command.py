"""Rolls back by a command: an argument list without a shell, in a process group of its own, with a time-out."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE, STDOUT

import anyio
from anyio.abc import Process

from controlplane.adapters.deploy.text import fields_of, filled, tail_of
from controlplane.model.command import Command

GRACE_S = 5.0  # between SIGTERM and SIGKILL
OUTPUT_MAX = 4096  # bytes kept of what it writes: the last ones say why it failed
DRAIN_S = 1.0  # for output that is still in the pipe when the command has ended; a child of its own may hold it open


class CommandDeployer:
    """A `ports.Deployer` that runs `argv`. In each word {service}, {version}, {to} and {command} are filled in.

    The same stand in the environment as CONTROLPLANE_SERVICE and so on. A command that writes is read to its end; its
    standard input is empty.
    """

    def __init__(self, argv: Sequence[str], *, timeout_s: float) -> None:
        self._argv, self._timeout_s = tuple(argv), timeout_s

    async def roll_back(self, command: Command) -> tuple[bool, str]:
        """Run it; ok when it exits with 0 in time. Cancelled, it is ended with all that it started in its group."""
        fields = fields_of(command)
        argv = [filled(word, fields) for word in self._argv]
        environment = {**os.environ, **{f"CONTROLPLANE_{name.upper()}": value for name, value in fields.items()}}
        try:
            process = await anyio.open_process(
                argv, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment, start_new_session=True
            )
        except OSError as error:
            return False, f"{argv[0]} cannot be started: {error.strerror or error}"
        output, closed = bytearray(), anyio.Event()
        status: int | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_read, process, output, closed)
                with anyio.move_on_after(self._timeout_s):
                    status = await process.wait()
                if status is None:
                    await _end(process)
                with anyio.move_on_after(DRAIN_S):
                    await closed.wait()
                tasks.cancel_scope.cancel()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _end(process)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await process.aclose()
        said = f": {last}" if (last := tail_of(bytes(output))) else ""
        if status is None:
            return False, f"not done within {self._timeout_s:g} s, ended{said}"
        return status == 0, f"exit status {status}{said}"


async def _read(process: Process, output: bytearray, closed: anyio.Event) -> None:
    """Keep the last OUTPUT_MAX bytes; read on, so that the command never waits for us."""
    assert process.stdout is not None
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        async for chunk in process.stdout:
            output += chunk
            del output[:-OUTPUT_MAX]
    closed.set()


async def _end(process: Process) -> None:
    """SIGTERM to its group, and SIGKILL where that is not enough. The group is its own: nobody else is in it."""
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with anyio.move_on_after(GRACE_S):
            await process.wait()
    _signal(process, signal.SIGKILL)  # also what outlived its leader; the group's id is not given anew while one lives
    await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
