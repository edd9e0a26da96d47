"""`controlplane serve`: one process with the gateway, the admin API and the control loop of a configuration."""

import signal
import socket
import sys
from contextlib import ExitStack

import anyio
from anyio.abc import TaskStatus

from controlplane import __version__
from controlplane.adapters.notify.log import LogNotifier
from controlplane.admin import create_app, ensure_token
from controlplane.admin.server import FINISH_S, Serve, server_for
from controlplane.assembly import Plane
from controlplane.assembly.settle import settle
from controlplane.cli.listen import bind, url
from controlplane.config import load_config
from controlplane.model.config import Config, is_loopback, split_listen
from controlplane.model.errors import ControlPlaneError

STOP_S = FINISH_S + 5.0  # then what is left is cancelled


def serve(file: str, *, loop: str) -> int:
    """Run until told to stop. Raises ConfigError, JournalError before anything was served."""
    config = load_config(file)
    server = server_for(loop)
    with ExitStack() as sockets:
        admin = sockets.enter_context(bind(config.admin.listen, "admin.listen"))
        gateway = sockets.enter_context(bind(config.gateway.listen, "gateway.listen")) if config.gateway else None
        otlp = sockets.enter_context(bind(config.otlp.listen, "otlp.listen")) if config.otlp else None
        process = _Process(config, server, admin, gateway, otlp, token=ensure_token(config.admin.token_file))
        if loop == "trio":
            return anyio.run(process.run, backend="trio", backend_options={"strict_exception_groups": True})
        return anyio.run(process.run, backend="asyncio", backend_options={"use_uvloop": True})


class _Process:
    """What is served, from start to stop."""

    def __init__(
        self,
        config: Config,
        server: Serve,
        admin: socket.socket,
        gateway: socket.socket | None,
        otlp: socket.socket | None,
        *,
        token: str,
    ) -> None:
        self._config, self._server, self._token = config, server, token
        self._admin, self._gateway, self._otlp = admin, gateway, otlp
        self._stop = anyio.Event()
        self._stop_admin = anyio.Event()
        self._forced = False

    async def run(self) -> int:
        """Serve; the answer is the exit status."""
        config = self._config
        failure: ControlPlaneError | None = None
        with anyio.CancelScope() as everything:
            try:
                async with (
                    Plane(config, notifiers=[LogNotifier()], probes=True, steers=True) as plane,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(self._watch_signals, everything)
                    await self._serve(plane)
                    tasks.cancel_scope.cancel()
            except ControlPlaneError as error:  # carried out of the loop by hand: a traceback would bury the message
                failure = error
        if failure is not None:
            raise failure
        return 1 if self._forced else 0

    async def _serve(self, plane: Plane) -> None:
        """Accept only now, when what the journal held is in force again: no request may meet a plane that forgot."""
        config = self._config
        admin_app = create_app(plane, token=self._token, hosts=_hosts(config))
        journal = config.journal.path or "in memory, a restart forgets"
        entry, mode = plane.topology.entry, plane.state.mode
        _say(f"controlplane {__version__}: {entry}, mode {mode}, {len(config.services)} services, journal {journal}")
        async with anyio.create_task_group() as servers:
            where = url(self._admin)
            await servers.start(self._serve_admin, admin_app)
            _say(f"admin {where} token file {config.admin.token_file}")
            if config.gateway is not None and self._gateway is not None:
                where = url(self._gateway)
                await servers.start(self._serve_gateway, plane)
                routes = ", ".join(f"{prefix} -> {name}" for prefix, name in config.gateway.routes.items())
                _say(f"gateway {where} {routes}")
            for line in plane.proxies.lines():
                _say(f"proxy {line}")
            if self._otlp is not None:
                where = url(self._otlp)
                await servers.start(self._serve_otlp, plane.telemetry.receiver(lambda: plane.ready))
                _say(f"otlp {where} /v1/traces, /v1/metrics")
            if plane.telemetry.poller is not None:
                _say(f"prometheus {', '.join(target.url for target in plane.telemetry.poller.targets)}")
            settle()
            _say("ready")
            await self._stop.wait()
            _say("stopping: no new requests, those in flight are finished")
            servers.cancel_scope.deadline = anyio.current_time() + STOP_S
            admin_app.feed.end()
            if self._gateway is None:
                self._stop_admin.set()
        _say("stopped")

    async def _serve_admin(self, app: object, *, task_status: TaskStatus[None]) -> None:
        await self._server(app, self._admin, self._stop_admin, task_status=task_status)  # type: ignore[arg-type]

    async def _serve_otlp(self, app: object, *, task_status: TaskStatus[None]) -> None:
        assert self._otlp is not None
        await self._server(app, self._otlp, self._stop, task_status=task_status)  # type: ignore[arg-type]

    async def _serve_gateway(self, plane: Plane, *, task_status: TaskStatus[None]) -> None:
        """The gateway stops first: while its last requests end, people can still watch and freeze."""
        assert self._gateway is not None
        async with plane.gateway() as app:
            await self._server(app, self._gateway, self._stop, task_status=task_status)
        self._stop_admin.set()

    async def _watch_signals(self, everything: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                if self._stop.is_set():
                    self._forced = True
                    everything.cancel()
                    return
                self._stop.set()


def _hosts(config: Config) -> tuple[str, ...]:
    """Names under which the admin listener is reached; beyond loopback any, since other names are then the rule."""
    host, _ = split_listen(config.admin.listen)
    return (host,) if is_loopback(host) else ("*",)


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = None  # whoever started us reads no longer; we serve on
