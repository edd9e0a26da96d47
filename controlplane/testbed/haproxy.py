"""HAProxy: where it is, and its configuration with and without what docs/how-to/haproxy.md adds for us."""

import os
import shutil
import socket
from importlib.resources import files
from pathlib import Path
from typing import Final

from controlplane.testbed.bed import TRIES_AGAIN, Bed
from controlplane.testbed.child import NoProxy

PATHS: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))

_RULES: Final = """\
    http-request set-var(txn.cp_dice) rand(100)
    http-request set-var(txn.cp_class) str(default)
    http-request set-var(txn.cp_through) be_name,concat(/,txn.cp_class),map_str_int({map},100)
    http-request deny deny_status 503 hdr retry-after 1 if {{ var(txn.cp_through),sub(txn.cp_dice) -m int le 0 }}
    http-request set-var(txn.cp_limit) be_name,concat(/limit),map_str_int({map},0)
    http-request deny deny_status 503 hdr retry-after 1 if {{ var(txn.cp_limit) -m int gt 0 }} \
{{ be_conn,sub(txn.cp_limit) -m int gt 0 }}
    http-request set-var(txn.cp_deadline) be_name,concat(/deadline),map_str_int({map},0)
    http-request set-timeout server var(txn.cp_deadline) if {{ var(txn.cp_deadline) -m int gt 0 }}
    http-request set-var(txn.cp_retries) be_name,concat(/retries),map_str_int({map},100)
    http-request disable-l7-retry if {{ var(txn.cp_retries),sub(txn.cp_dice) -m int le 0 }}
    http-response set-var(txn.cp_refused) res.hdr_cnt(controlplane-refused)
    http-response set-var(txn.cp_cause) res.hdr(controlplane-cause)"""
_LOG: Final = (
    '    log-format "controlplane/1 %b %s %ST %ts %Tc %Tr %Ta %rc %[var(txn.cp_refused)] %[var(txn.cp_cause)]"'
)


def binary() -> str:
    """Where HAProxy is. Raises NoProxy, which says how to get it."""
    found = shutil.which("haproxy", path=PATHS)
    if found is None:
        raise NoProxy(
            "haproxy is not on this machine (2.5 or newer, with Lua). On Debian:  sudo apt-get install haproxy"
        )
    return found


def command(folder: Path) -> list[str]:
    """What starts HAProxy with the configuration in `folder`. Raises NoProxy."""
    return [binary(), "-db", "-f", str(folder / "haproxy.cfg")]


def free_log_port() -> int:
    """A port of loopback that takes no datagrams yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prepare(folder: Path, bed: Bed, *, server: str, health: str = "", log_port: int = 0) -> None:
    """Put down what HAProxy reads. `server` is said of every server, `health` is asked there (empty: a connection is
    enough). With `log_port` it sends its log there and obeys what comes over its socket, `admin.sock` in `folder`."""
    (folder / "haproxy.cfg").write_text(_configuration(folder, bed, server, health, log_port))
    if log_port:
        script = files("controlplane.adapters.proxies.haproxy") / "controlplane.lua"
        (folder / "controlplane.lua").write_text(script.read_text())
        (folder / "map").write_text("")


def _configuration(folder: Path, bed: Bed, server: str, health: str, log_port: int) -> str:
    bind = f"127.0.0.1:{bed.listen}" if isinstance(bed.listen, int) else f"unix@{bed.listen}"
    lines = [f"global\n    stats socket {folder}/admin.sock mode 600 level admin"]
    if log_port:
        lines += [
            f"    setenv CONTROLPLANE_MAP {folder}/map\n    lua-load {folder}/controlplane.lua",
            f"    log 127.0.0.1:{log_port} format raw local0",
        ]
    lines += [
        "defaults\n    mode http\n    timeout connect 1s\n    timeout queue 1s\n    timeout client 60s",
        f"    timeout server {bed.answer_s * 1e3:.0f}ms\n    option redispatch 1\n    retries {TRIES_AGAIN}",
        *(["    retry-on all-retryable-errors"] if bed.again == "all" else []),
        f"frontend www\n    bind {bind}\n    default_backend {bed.first}",
        *(f"    use_backend {name} if {{ path /{name} }}" for name in bed.services),
        *(["    log global\n    option logasap", _LOG] if log_port else []),
    ]
    for name, endpoints in bed.services.items():
        lines += [f"backend {name}\n    balance roundrobin\n    default-server weight 100 {server}"]
        lines += [f"    option httpchk GET {health}"] if health else []
        lines += [_RULES.format(map=folder / "map")] if log_port else []
        lines += [f"    server {endpoint} 127.0.0.1:{port}" for endpoint, port in endpoints.items()]
    return "\n".join(lines) + "\n"
