"""Notices as JSON lines, for whoever reads this process's log."""

import sys
import time
from datetime import UTC, datetime
from typing import TextIO

import anyio.to_thread
import msgspec

from controlplane.model.notice import Notice

FIELDS = ("key", "incident", "severity", "text", "at")
IF_SET = ("id", "to", "service", "cause")


class LogNotifier:
    """One JSON line per notice on `stream`, by default whatever is standard error at that moment."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def notify(self, notice: Notice) -> None:
        """Write the line. Raises OSError or ValueError when nobody takes it."""
        # `at` is CLOCK_MONOTONIC, of no use beside other logs: the same moment by the wall clock stands first.
        seconds = time.time() - max(time.monotonic_ns() - notice.at, 0) / 1e9
        moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = msgspec.structs.asdict(notice)
        shown = {name: told[name] for name in FIELDS} | {name: told[name] for name in IF_SET if told[name]}
        line = msgspec.json.encode({"time": moment, **shown}).decode() + "\n"
        # In a thread: standard error may be a pipe whose reader is stuck, and then a write would stop the host's loop.
        await anyio.to_thread.run_sync(self._write, line, abandon_on_cancel=True)

    def _write(self, line: str) -> None:
        stream = self._stream if self._stream is not None else sys.stderr
        stream.write(line)
        stream.flush()
