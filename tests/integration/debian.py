"""Programs that are no Python: the one that is installed, else the one of Debian's package, unpacked into build/."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[2] / "build" / "debian"
FETCH_S = 300.0  # the archive's index and one package, over a slow line


def program(package: str, name: str | None = None) -> str:
    """The path of `name` (default: as the package). Where it cannot be had the test is skipped, loudly; where there is
    Debian's archive to bring it, as in CI, that fails."""
    name = name or package
    unpacked = UNPACKED / package / "usr" / "bin" / name
    if found := shutil.which(name):
        return found
    if unpacked.exists():
        return str(unpacked)
    if shutil.which("apt-get") is None:
        pytest.skip(f"NOT TESTED against the real {name}: it is not installed, and there is no apt-get to bring it")
    try:
        _unpack(package)
    except subprocess.SubprocessError as error:
        pytest.fail(f"{name} is not installed, and apt-get did not bring the package {package}: {error}")
    return str(unpacked)


def command(package: str, name: str | None = None) -> list[str]:
    """How to start a program that looks for files of its package under /usr/share: there, where the package is only
    unpacked, in a view of the file system of its own. Skips where such a view is not to be had."""
    found = program(package, name)
    share = UNPACKED / package / "usr" / "share"
    if not Path(found).is_relative_to(UNPACKED):
        return [found]
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*apart, share, "true"], check=False).returncode:
        pytest.skip(
            f"NOT TESTED against the real {package}: it is not installed, and unshare(1) gives it no view of its own"
        )
    return [*apart, str(share), found]


def _unpack(package: str) -> None:
    """Nothing is installed: no service starts, and no other version is replaced."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED) as folder:
        try:
            _run(["apt-get", "download", "-qq", package], folder)
        except subprocess.CalledProcessError:  # the index of a fresh machine is empty
            _run(["apt-get", "update", "-qq"], folder)
            _run(["apt-get", "download", "-qq", package], folder)
        (archive,) = Path(folder).glob("*.deb")
        _run(["dpkg", "-x", archive.name, "unpacked"], folder)
        target = UNPACKED / package
        if not target.exists():
            (Path(folder) / "unpacked").rename(target)


def _run(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=FETCH_S)
