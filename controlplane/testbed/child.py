"""A proxy as a child process: up when it takes connections, killed with its body or with its parent."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controlplane.model.errors import ControlPlaneError

START_S: Final = 20.0
LOOK_S: Final = 0.01
TOLD_CHARACTERS: Final = 500


class NoProxy(ControlPlaneError):
    """The proxy is not here, or does not start."""


@contextmanager
def started(name: str, command: Sequence[str], folder: Path, listen: int | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The process of `command`, which takes connections at `listen` and writes to the file `NAME.said` in `folder`.

    Raises  NoProxy where it ends before, or takes none within 20 s.
    """
    said = folder / f"{name}.said"  # a file: a pipe that nobody reads fills up, and the proxy waits for it
    tie = shutil.which("setpriv")  # of util-linux: ends it even when we are killed outright
    tied = [tie, "--pdeathsig", "KILL", *command] if tie else command
    with said.open("wb") as errors, subprocess.Popen(tied, stdout=errors, stderr=errors) as process:  # noqa: S603
        try:
            _wait_up(name, listen, process, said)
            yield process
        finally:
            process.kill()


@contextmanager
def reserved() -> Iterator[int]:
    """A free port of loopback, kept from others while the body lasts: whoever shares ports, as both proxies do, can
    listen there."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


def _wait_up(name: str, listen: int | Path, process: "subprocess.Popen[bytes]", said: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NoProxy(f"{name} does not start: {said.read_text(errors='replace')[-TOLD_CHARACTERS:]}")
        family, address = (
            (socket.AF_INET, ("127.0.0.1", listen)) if isinstance(listen, int) else (socket.AF_UNIX, str(listen))
        )
        with socket.socket(family) as probe:
            try:
                probe.connect(address)
                return
            except OSError:
                time.sleep(LOOK_S)
    raise NoProxy(f"{name} takes no connection within {START_S:.0f} s")
