"""A bell for each place: a named pipe beside the arena's file. Whoever writes a byte wakes the process that reads.

Both sides open it for reading and writing: so a pipe whose reader died neither raises nor signals, and one that
nobody reads fills up and takes no more, which is as good as rung.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

_TAKEN_AT_ONCE = 65_536  # bytes: all that a pipe holds


class Bell:
    """This process's own bell, and those of the others that it has rung."""

    def __init__(self, path: str, slot: int) -> None:
        self._path, self._slot = path, slot
        self._others: dict[tuple[int, float], int] = {}
        own = _name(path, slot)
        remove_bell(path, slot)  # of whoever had the place before
        os.mkfifo(own, 0o600)
        self.fd = os.open(own, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)

    def ring(self, slot: int, since: float) -> None:
        """Wake the process that took `slot` at `since`. Never waits, and says nothing of one that cannot be woken."""
        fd = self._others.get((slot, since))
        try:
            if fd is None:
                fd = self._open(slot, since)
            os.write(fd, b"\1")
        except OSError:  # full: it is rung already; gone: somebody will find it dead
            pass

    def _open(self, slot: int, since: float) -> int:
        for key in [key for key in self._others if key[0] == slot]:
            os.close(self._others.pop(key))
        fd = os.open(_name(self._path, slot), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(f"{_name(self._path, slot)} is not a pipe")
        self._others[slot, since] = fd
        return fd

    def hush(self) -> None:
        """Forget that it was rung."""
        with suppress(BlockingIOError):
            os.read(self.fd, _TAKEN_AT_ONCE)

    def close(self, *, remove: bool) -> None:
        """Give everything back; `remove` the pipe itself unless another process still answers to it."""
        if remove and self._is_ours():
            remove_bell(self._path, self._slot)
        for fd in (self.fd, *self._others.values()):
            os.close(fd)
        self._others.clear()

    def _is_ours(self) -> bool:
        """Whether the name is still our pipe's; beside a file that replaced ours, another process may have one."""
        try:
            return os.path.samestat(Path(_name(self._path, self._slot)).lstat(), os.fstat(self.fd))
        except OSError:
            return False


def remove_bell(path: str, slot: int) -> None:
    """Remove what a process of that place left behind."""
    with suppress(FileNotFoundError):
        Path(_name(path, slot)).unlink()


def _name(path: str, slot: int) -> str:
    return f"{path}.bell.{slot}"
