"""One connection to HAProxy's runtime API, kept open: commands go in, each answer comes out whole.

In prompt mode HAProxy ends every answer with a line that begins with "> ". Each command has a prompt of its own, also
those that are joined by ";", so that one is sent at a time, on one line, and its answer is waited for, also by who is
cancelled meanwhile. After an answer that did not come in time the connection is of no use: what comes later would be
taken for the answer to something else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import ByteStream

from controlplane.model.config import split_listen
from controlplane.model.errors import ControlPlaneError

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # 4,000 servers' statistics are 2 MiB
ANSWER_S: Final = 2.0  # FACTS: 3.5 ms at the 99th percentile of a saturated proxy
_PROMPT: Final = b"\n> "


class ProxyGone(ControlPlaneError):
    """The runtime API does not answer, or not in a way that it would. The connection is of no use any more."""


class Session:
    """An open runtime API. `ask` may be called by several tasks; each waits for its turn."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._rest = b""
        self._turn = anyio.Lock()
        self._broken = ""

    async def ask(self, command: str) -> str:
        """The answer to `command`, without the empty line at its end. Raises ProxyGone."""
        if "\n" in command or ";" in command:
            raise ValueError(f"{command!r} is more than one command; each is asked for by itself")
        async with self._turn:
            if self._broken:
                raise ProxyGone(self._broken)
            try:
                with anyio.fail_after(ANSWER_S, shield=True):
                    await self._stream.send(command.encode() + b"\n")
                    answer = await self._answer()
            except TimeoutError:
                self._broken = f"no answer to {command.split(' ')[0]!r} within {ANSWER_S} s"
                raise ProxyGone(self._broken) from None
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream) as error:
                self._broken = f"the connection broke: {error or 'HAProxy closed it'}"
                raise ProxyGone(self._broken) from None
            except ProxyGone as error:
                self._broken = str(error)
                raise
            self._broken = ""
            return answer

    async def _answer(self) -> str:
        got = self._rest
        while (end := got.find(_PROMPT)) < 0:
            if len(got) > ANSWER_BYTES_MAX:
                raise ProxyGone(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            got += await self._stream.receive(1 << 20)
        self._rest = got[end + len(_PROMPT) :]
        return got[:end].decode("utf-8", "replace").strip("\n")


@asynccontextmanager
async def open_session(socket: str) -> AsyncIterator[Session]:
    """The runtime API at `socket`: a path, or host:port. Raises ProxyGone where it cannot be had."""
    try:
        with anyio.fail_after(ANSWER_S):
            stream: ByteStream
            if "/" in socket:
                stream = await anyio.connect_unix(socket)
            else:
                host, port = split_listen(socket)
                stream = await anyio.connect_tcp(host, port)
    except TimeoutError:
        raise ProxyGone(f"{socket} does not accept a connection within {ANSWER_S} s") from None
    except OSError as error:
        raise ProxyGone(f"{socket} cannot be reached: {error.strerror or error}") from None
    async with stream:
        session = Session(stream)
        await session.ask("prompt")
        yield session
