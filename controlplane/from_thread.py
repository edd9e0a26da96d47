"""How another thread reaches a running event loop without waiting for it: the one place where the loops differ.

`anyio.from_thread.run_sync` waits until the loop has run the call, which doubles the latency of a wake-up and hangs for
ever when an asyncio loop ends in between. Both loops have a primitive that does not wait; AnyIO has no public name for
it.
"""

import asyncio
from collections.abc import Callable

import anyio.lowlevel

Soon = Callable[[Callable[[], object]], bool]


def soon() -> Soon:
    """A function for any thread: has the current loop run a callable soon, and answers False once that loop is over."""
    token = anyio.lowlevel.current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return _soon_asyncio(token)
    return _soon_trio(token)


def _soon_asyncio(loop: asyncio.AbstractEventLoop) -> Soon:
    def soon_in_loop(call: Callable[[], object]) -> bool:
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:  # "Event loop is closed"
            return False
        return True

    return soon_in_loop


def _soon_trio(token: object) -> Soon:
    import trio  # not above: a process on asyncio need not pay for it at its start

    assert isinstance(token, trio.lowlevel.TrioToken)
    run_sync_soon, finished = token.run_sync_soon, trio.RunFinishedError

    def soon_in_loop(call: Callable[[], object]) -> bool:
        try:
            run_sync_soon(call)
        except finished:
            return False
        return True

    return soon_in_loop
