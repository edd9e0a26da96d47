"""What a run found, as one flat list in a file that other suites write, too."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from controlplane.model.errors import ControlPlaneError


class Result(msgspec.Struct, frozen=True):
    """One figure. Ratios are null where there is nothing to compare with.

    floor_ratio  value over an empty Python function call timed in the same rounds.
    peer_ratio   the best rival's value over ours: how many times cheaper we are.
    bound        what theory allows at best, in `unit`; rivals: all of them by name.
    p50_ms, p99_ms  of a distribution, whose median is `value`. These four are absent where nobody asked.
    """

    name: str
    value: float
    unit: str
    floor_ratio: float | None = None
    rival: str | None = None
    rival_value: float | None = None
    peer_ratio: float | None = None
    bound: float | msgspec.UnsetType = msgspec.UNSET
    rivals: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    p50_ms: float | msgspec.UnsetType = msgspec.UNSET
    p99_ms: float | msgspec.UnsetType = msgspec.UNSET


class UnreadableResults(ControlPlaneError):
    """The file to join holds something else; it was left as it was."""


def read(path: Path) -> list[Result]:
    """The figures in `path`; none where there is no file. Raises UnreadableResults."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Result])
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, OSError) as error:
        raise UnreadableResults(f"{path}: is not a list of benchmark results ({error}); name another file") from None


def join(path: Path, results: Iterable[Result]) -> None:
    """Put `results` into `path`, beside those of other names. A reader sees the old file or the new one."""
    merged = {result.name: result for result in read(path)} | {result.name: result for result in results}
    lines = ",\n".join("  " + msgspec.json.encode(merged[name]).decode() for name in sorted(merged))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(f"[\n{lines}\n]\n" if lines else "[]\n")
            new.flush()
            os.fsync(new.fileno())
            os.fchmod(new.fileno(), 0o644)
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise
