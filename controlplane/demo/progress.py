"""What the reader sees while the demo runs: one line that updates itself on a terminal, plain lines elsewhere."""

import sys
from typing import TextIO

import anyio

STEP_S = 0.25
WIDTH = 118


class Progress:
    """Lines to stderr, so that stdout holds the table alone."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._last = ""
        self._began = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        now = anyio.current_time()
        self._began = self._began or now
        self._write(f"[{now - self._began:5.1f} s] {text}", end="\n")

    async def wait(self, seconds: float, text: str) -> None:
        """Let `seconds` pass while `text` stands on the terminal; elsewhere it is written once."""
        until = anyio.current_time() + seconds
        if not self._live and text.partition(";")[0] != self._last:
            self._last = text.partition(";")[0]
            self.say(text)
        while (left := until - anyio.current_time()) > 0:
            if self._live:
                self._write(f"          {text} ({left:.0f} s)", end="\r")
            await anyio.sleep(min(STEP_S, left))

    def _write(self, text: str, *, end: str) -> None:
        lead = "\r\033[K" if self._live else ""
        self._out.write(f"{lead}{text[:WIDTH] if self._live else text}{end}")
        self._out.flush()
