"""Places in an arena, and which of them are held by a process that lives.

A place is held by a lock on one byte beyond the file's end. The kernel gives it back however its process dies, and no
pid that is used again, in whatever namespace, can be taken for another. It is a lock of an open file description: one
that is mapped or inherited would outlive its process, so it is opened for this alone and closed in the child of a fork.
"""

import fcntl
import os
import struct
import time
from typing import Final, NamedTuple

from controlplane.adapters.arena.geometry import SLOT_BYTES, WORKERS_MAX
from controlplane.model.errors import ArenaError

_LOCKS_AT: Final = 1 << 62  # bytes: nothing is ever stored there
_EXCLUSIVE: Final = _LOCKS_AT - 1
_FLOCK: Final = struct.Struct("hhqqi0q")  # type, whence, start, length, pid
_SLOT: Final = struct.Struct("<qq16s")  # pid (0: free), since (Unix ns), role (empty: a survivor clears up after it)
ROLE_BYTES: Final = 16
EXCLUSIVE_S: Final = 5.0  # laying out takes milliseconds; whoever holds on longer is stopped or hangs
_RETRY_S: Final = 0.005


class Member(NamedTuple):
    """A process that is attached: its place, process id, role, and since when (Unix seconds)."""

    slot: int
    pid: int
    role: str
    since: float


class Slots:
    """The records of all places, and the locks that this process holds."""

    def __init__(self, fd: int, words: memoryview, at: int, workers: int) -> None:
        self._fd, self._bytes, self._at, self._workers = fd, words, at, workers
        self.own: int | None = None
        self.claimed: set[int] = set()

    def record(self, slot: int) -> Member | None:
        """Who took the place, whether or not it still lives; None: it is free."""
        pid, since, role = self._read(slot)
        return Member(slot, pid, role.rstrip(b"\0").decode("ascii", "replace"), since / 1e9) if pid else None

    def hold(self) -> int | None:
        """Lock a place, one that nobody left behind where there is one; None: all are held."""
        order = sorted(range(self._workers), key=lambda slot: self.record(slot) is not None)
        return next((slot for slot in order if lock(self._fd, _LOCKS_AT + slot)), None)

    def release(self, slot: int) -> None:
        """Unlock a place after all. Who was on record there still is."""
        unlock(self._fd, _LOCKS_AT + slot)

    def enter(self, slot: int, role: str) -> None:
        """This process is on record as holding that place, for all to see."""
        self.own = slot
        self._write(slot, os.getpid(), time.time_ns(), role.encode("ascii"))

    def alive(self, slot: int) -> bool:
        """Whether a living process has the place, be it this one. One that is being cleared up is nobody's."""
        record = self.record(slot)
        return record is not None and bool(record.role) and (slot == self.own or is_locked(self._fd, _LOCKS_AT + slot))

    def claim_dead(self) -> list[int]:
        """Hold the places that their process left without a word. Whoever asks at the same time gets others."""
        found = []
        for slot in range(self._workers):
            if slot == self.own or slot in self.claimed or self.record(slot) is None:
                continue
            if not lock(self._fd, _LOCKS_AT + slot):
                continue
            pid, since, _ = self._read(slot)
            if not pid:  # somebody was faster, and has freed it
                self.release(slot)
                continue
            self._write(slot, pid, since, b"")  # no longer a living one's, though it is locked again
            self.claimed.add(slot)
            found.append(slot)
        return found

    def free(self, slot: int) -> None:
        """Give a claimed place up. Raises ValueError for one that this process did not claim."""
        if slot not in self.claimed:
            raise ValueError(f"place {slot} is not this process's to vacate: `dead` did not name it")
        self._write(slot, 0, 0, b"")
        self.claimed.discard(slot)
        self.release(slot)

    def members(self) -> list[Member]:
        """Those that live."""
        records = [self.record(slot) for slot in range(self._workers)]
        return [member for member in records if member is not None and self.alive(member.slot)]

    def _read(self, slot: int) -> tuple[int, int, bytes]:
        if not 0 <= slot < self._workers:
            raise ValueError(f"worker must be between 0 and {self._workers - 1}, not {slot}")
        pid, since, role = _SLOT.unpack_from(self._bytes, self._at + slot * SLOT_BYTES)
        return pid, since, role

    def _write(self, slot: int, pid: int, since: int, role: bytes) -> None:
        _SLOT.pack_into(self._bytes, self._at + slot * SLOT_BYTES, pid, since, role)


def is_in_use(fd: int) -> bool:
    """Whether any place is held, whatever the file says."""
    return is_locked(fd, _LOCKS_AT, WORKERS_MAX)


def lock(fd: int, byte: int) -> bool:
    """Take the lock; False: another open file description has it."""
    return _set(fd, fcntl.F_WRLCK, byte)


def unlock(fd: int, byte: int) -> None:
    """Give it back."""
    _set(fd, fcntl.F_UNLCK, byte)


def is_locked(fd: int, byte: int, count: int = 1) -> bool:
    """Whether another open file description has a lock on one of `count` bytes."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, count, 0)
    kind: int = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
    return kind != fcntl.F_UNLCK


def _set(fd: int, kind: int, byte: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def lock_exclusive(fd: int, path: str) -> None:
    """Wait for the one lock under which things are laid out. Raises ArenaError after EXCLUSIVE_S."""
    until = time.monotonic() + EXCLUSIVE_S
    while not lock(fd, _EXCLUSIVE):
        if time.monotonic() >= until:
            raise ArenaError(f"{path} was held by another process for {EXCLUSIVE_S:g} s: is one stopped or hanging?")
        time.sleep(_RETRY_S)  # at the start of a process, before its loop runs


def unlock_exclusive(fd: int) -> None:
    """Give it back."""
    unlock(fd, _EXCLUSIVE)
