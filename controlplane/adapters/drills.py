"""Results of drills in a file beside the configuration: one JSON object a line, which only grows.

A drill is rehearsed where no process runs, too (in CI, before a rollout), and a journal has one owner at a time: so the
results are not in it. A line that a crash has torn is passed over; the drill is then as good as not made.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from controlplane.model.drill import Drill
from controlplane.model.errors import JournalError

FILE_BYTES_MAX = 64 * 1024 * 1024  # some ten thousand drills with their timelines


class DrillLog:
    """The file at `path`, which need not exist."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def append(self, drill: Drill) -> None:
        """Put `drill` at the end, on the disk before this returns. Raises JournalError."""
        line = msgspec.json.encode(drill) + b"\n"
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                end = os.lseek(handle, 0, os.SEEK_END)
                torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
                os.write(handle, b"\n" * torn + line)  # in one piece: drills side by side do not mix
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise JournalError(f"{self.path}: the drill could not be kept: {error.strerror}") from error

    def latest(self) -> dict[str, Drill]:
        """The newest drill of each playbook, {} without a file. Raises JournalError where it cannot be read."""
        return {drill.playbook: drill for drill in self._all()}

    def _all(self) -> Iterable[Drill]:
        try:
            if self.path.stat().st_size > FILE_BYTES_MAX:
                raise JournalError(f"{self.path} is larger than {FILE_BYTES_MAX} bytes; move it away, a new one begins")
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{self.path}: drills cannot be read: {error.strerror}") from error
        for line in lines:
            try:
                yield msgspec.json.decode(line, type=Drill)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
