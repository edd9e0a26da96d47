"""ASGI servers run inside our own event loop, several in one process, each stopped by an event of ours.

uvicorn on uvloop is the default: ten times the requests of hypercorn in the measurements of docs/decisions. hypercorn
serves where trio is wanted.
"""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Protocol

import anyio
from anyio.abc import TaskStatus
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.model.errors import ConfigError

FINISH_S = 5.0  # requests in flight when the process is told to stop


class Serve(Protocol):
    """Serves `app` on `bound` until `stop` is set, and then until its requests are finished, FINISH_S at most."""

    async def __call__(
        self, app: ASGIApp, bound: socket.socket, stop: anyio.Event, *, task_status: TaskStatus[None]
    ) -> None:
        """Tell `task_status` as soon as connections are accepted."""


async def serve_uvicorn(
    app: ASGIApp, bound: socket.socket, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """`Serve` on asyncio and uvloop."""
    import uvicorn

    class Embedded(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are the process's, not one server's

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            task_status.started()

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=round(FINISH_S),
    )
    server = Embedded(config)

    async def stop_when_told() -> None:
        await stop.wait()
        server.should_exit = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_when_told)
        try:
            await server.serve(sockets=[bound])
        finally:
            server.force_exit = True
        tasks.cancel_scope.cancel()


async def serve_hypercorn(
    app: ASGIApp, bound: socket.socket, stop: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """`Serve` on trio."""
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.graceful_timeout = FINISH_S
    config.errorlog = None
    config.include_server_header = False
    framework: Any = _with_lifespan(app)  # hypercorn has its own types for the same protocol

    async def started(*, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        await serve(framework, config, shutdown_trigger=stop.wait, mode="asgi", task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(started)
        task_status.started()


def _with_lifespan(app: ASGIApp) -> ASGIApp:
    """`app`, with nothing to do at start and stop: hypercorn asks, and breaks over an app that does not answer."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    return answering


def server_for(loop: str) -> Serve:
    """The server that runs on `loop`. Raises ConfigError where it is not installed."""
    if loop == "uvloop":
        return serve_uvicorn
    try:
        import hypercorn.trio  # noqa: F401 - asked here, so that nothing was started when it is missing
    except ImportError as error:
        reason = "trio needs hypercorn: pip install 'controlplane[trio]', or use --loop uvloop"
        raise ConfigError(reason, key="--loop") from error
    return serve_hypercorn
