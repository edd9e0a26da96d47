"""HAProxy with each kind of protection: its own checks, its own eyes on traffic, and ours."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Final

from controlplane.bench.dataplane.haproxy import NoProxy

PROTECTIONS: Final = ("checks", "observe", "ours")
"""`checks`: health checks of HAProxy's defaults, every 2 s, three to fall. `observe`: besides, the fifth failure in a
row that users see marks a server down; a limit below 5 would take servers out by chance. `ours`: the control plane."""

_SERVER: Final = {
    "checks": "check",
    "observe": "check observe layer7 error-limit 5 on-error mark-down",
    "ours": "check",
}
_RULES: Final = """
    http-request set-var(txn.cp_dice) rand(100)
    http-request set-var(txn.cp_through) be_name,concat(/default),map_str_int({folder}/map,100)
    http-request deny deny_status 503 if {{ var(txn.cp_through),sub(txn.cp_dice) -m int le 0 }}"""


def configuration(folder: Path, protection: str, endpoints: int, log_port: int) -> str:
    """Frontend `www`, backend `orders`, servers on sockets in `folder`."""
    ours = protection == "ours"
    lines = [
        f"global\n    stats socket {folder}/admin.sock mode 600 level admin",
        f"    setenv CONTROLPLANE_MAP {folder}/map\n    lua-load {folder}/controlplane.lua" if ours else "",
        f"    log 127.0.0.1:{log_port} format raw local0" if ours else "",
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 60s\n    timeout server 3s",
        "    option redispatch 1\n    retries 2",
        f"frontend www\n    bind unix@{folder}/www.sock\n    default_backend orders",
        '    log global\n    option logasap\n    log-format "controlplane/1 %b %s %ST %ts %Tc %Tr %Ta %rc - -"'
        if ours
        else "",
        "backend orders\n    balance roundrobin\n    option httpchk GET /health",
        f"    default-server weight 100 {_SERVER[protection]}",
        _RULES.format(folder=folder) if ours else "",
        *(f"    server e{number} unix@{folder}/e{number}.sock" for number in range(endpoints)),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def prepare(folder: Path, protection: str, endpoints: int) -> None:
    """Put down what HAProxy and, where it is ours, the control plane read."""
    with socket(AF_INET, SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "haproxy.cfg").write_text(configuration(folder, protection, endpoints, port))
    if protection != "ours":
        return
    script = files("controlplane.adapters.proxies.haproxy") / "controlplane.lua"
    (folder / "controlplane.lua").write_text(script.read_text())
    (folder / "map").write_text("")
    names = "".join(f'    {{ name = "e{n}", url = "http://127.0.0.1:{n + 1}" }},\n' for n in range(endpoints))
    (folder / "controlplane.toml").write_text(f"""
[plane]
name = "www"
[journal]
path = "controlplane.db"
[admin]
listen = "127.0.0.1:0"
[proxies.edge]
kind = "haproxy"
socket = "{folder}/admin.sock"
log_listen = "127.0.0.1:{port}"
[[services]]
name = "orders"
endpoints = [
{names}]
""")


@contextmanager
def control_plane(folder: Path) -> Iterator[None]:
    """`controlplane serve`, ready, for as long as the body lasts. Raises NoProxy where it does not start."""
    command = [sys.executable, "-m", "controlplane", "serve", "--config", str(folder / "controlplane.toml")]
    with (
        (folder / "served").open("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as served,  # noqa: S603
    ):
        try:
            assert served.stdout is not None
            for line in served.stdout:
                if line.startswith(b"ready"):
                    break
            else:
                raise NoProxy(f"controlplane serve does not start: {(folder / 'served').read_text()[-500:]}")
            yield
        finally:
            served.kill()
