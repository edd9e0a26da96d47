"""A real HAProxy under load whose servers are its own, so that nobody slow stands behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from controlplane.testbed.child import started
from controlplane.testbed.haproxy import command


def configuration(folder: Path, services: int, endpoints: int) -> str:
    """Frontend `www` goes to `s0`; every server answers 200 and says who it is. All listen on sockets in `folder`."""
    lines = [
        f"global\n    stats socket {folder}/admin.sock mode 600 level admin",
        f"    setenv CONTROLPLANE_MAP {folder}/map\n    lua-load {folder}/controlplane.lua",
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 60s\n    timeout server 60s",
        "    option redispatch 1\n    default-server weight 100",
        f"frontend www\n    bind unix@{folder}/www.sock\n    default_backend s0",
        "    http-request set-var(txn.cp) str(x),map_str_int(" + f"{folder}/map,0)",
    ]
    for endpoint in range(endpoints):
        lines += [
            f"frontend e{endpoint}\n    bind unix@{folder}/e{endpoint}.sock",
            f"    http-request return status 200 hdr served-by {endpoint}",
        ]
    for service in range(services):
        lines.append(f"backend s{service}\n    balance random")
        lines += [f"    server e{endpoint} unix@{folder}/e{endpoint}.sock" for endpoint in range(endpoints)]
    return "\n".join(lines) + "\n"


@contextmanager
def running(services: int, endpoints: int) -> Iterator[Path]:
    """HAProxy under load of its own, for as long as the body lasts; gives the folder of its sockets. Raises NoProxy."""
    with TemporaryDirectory(prefix="controlplane-bench-") as name:
        folder = Path(name)
        script = files("controlplane.adapters.proxies.haproxy") / "controlplane.lua"
        (folder / "controlplane.lua").write_text(script.read_text())
        (folder / "map").write_text("")
        (folder / "haproxy.cfg").write_text(configuration(folder, services, endpoints))
        with started("haproxy", command(folder), folder, folder / "www.sock"):
            yield folder
