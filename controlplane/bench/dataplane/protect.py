"""A proxy with each kind of protection: its own at its defaults, its own at its fastest, and ours."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controlplane.testbed import envoy, haproxy
from controlplane.testbed.bed import Bed, ProxyKind
from controlplane.testbed.child import NoProxy, started

OURS: Final = "ours"
PROTECTIONS: Final[dict[ProxyKind, tuple[str, str, str]]] = {
    "haproxy": ("checks", "observe", OURS),
    "envoy": ("outlier", "fastest", OURS),
}
"""HAProxy. `checks`: health checks of its defaults, every 2 s, three to fall. `observe`: besides, the fifth failure in
a row that users see marks a server down; a limit below 5 would take servers out by chance.
Envoy. `outlier`: outlier detection at its defaults, 5 failures in a row, success rates every 10 s, a tenth of the pool
at most, which of four replicas is none. `fastest`: the first failure ejects, every other test is made ten times a
second, the whole pool may go.
`ours`: the control plane, at its defaults, and nothing of the proxy's own but HAProxy's checks."""

_SERVER: Final = {
    "checks": "check",
    "observe": "check observe layer7 error-limit 5 on-error mark-down",
    OURS: "check",
}
_CLUSTER: Final[dict[str, dict[str, object]]] = {
    "outlier": {"outlier_detection": {}},
    "fastest": {
        "outlier_detection": {
            "consecutive_5xx": 1,
            "consecutive_gateway_failure": 1,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "0.1s",
            "success_rate_minimum_hosts": 1,
            "success_rate_request_volume": 1,
            "failure_percentage_minimum_hosts": 1,
            "failure_percentage_request_volume": 1,
            "failure_percentage_threshold": 20,
            "enforcing_failure_percentage": 100,
            "max_ejection_percent": 100,
        },
        "common_lb_config": {"update_merge_window": "0s"},  # else the second of two ejections waits for a second
    },
    OURS: {},
}


@contextmanager
def protected(kind: ProxyKind, protection: str, bed: Bed, folder: Path) -> Iterator[None]:
    """The proxy before `bed`, under that protection, for as long as the body lasts. Raises NoProxy."""
    if kind == "haproxy":
        port = haproxy.free_log_port() if protection == OURS else 0
        haproxy.prepare(folder, bed, server=_SERVER[protection], health="/health", log_port=port)
        with started(kind, haproxy.command(folder), folder, bed.listen):
            if protection != OURS:
                yield
                return
            talk = f'socket = "{folder}/admin.sock"\nlog_listen = "127.0.0.1:{port}"'
            with control_plane(kind, talk, bed, folder):
                yield
    elif protection == OURS:
        with control_plane(kind, 'listen = "127.0.0.1:0"', bed, folder) as plane_port:
            envoy.prepare(folder, bed, plane_port=plane_port)
            with started(kind, envoy.command(folder), folder, bed.listen):
                yield
    else:
        envoy.prepare(folder, bed, cluster=_CLUSTER[protection])
        with started(kind, envoy.command(folder), folder, bed.listen):
            yield


@contextmanager
def control_plane(kind: ProxyKind, talk: str, bed: Bed, folder: Path) -> Iterator[int]:
    """`controlplane serve`, ready, for as long as the body lasts; the port at which it answers an Envoy, else 0.

    Raises  NoProxy where it does not start.
    """
    services = ""
    for name, endpoints in bed.services.items():
        rows = "".join(
            f'    {{ name = "{one}", url = "http://127.0.0.1:{port}" }},\n' for one, port in endpoints.items()
        )
        services += f'[[services]]\nname = "{name}"\nendpoints = [\n{rows}]\n'
    (folder / "controlplane.toml").write_text(f"""
[plane]
name = "www"
[journal]
path = "controlplane.db"
[admin]
listen = "127.0.0.1:0"
[proxies.edge]
kind = "{kind}"
{talk}
{services}""")
    command = [sys.executable, "-m", "controlplane", "serve", "--config", str(folder / "controlplane.toml")]
    with (
        (folder / "served").open("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as served,  # noqa: S603
    ):
        port = 0
        try:
            assert served.stdout is not None
            for line in served.stdout:
                if line.startswith("proxy edge envoy "):
                    port = int(line.rpartition(":")[2])
                if line.startswith("ready"):
                    break
            else:
                raise NoProxy(f"controlplane serve does not start: {(folder / 'served').read_text()[-500:]}")
            yield port
        finally:
            served.kill()
