"""Attaching, and what an attached process may do."""

import mmap
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio

from controlplane.adapters.arena.bell import Bell, remove_bell
from controlplane.adapters.arena.file import is_at, lay_out, map_file, open_file, remove_outdated
from controlplane.adapters.arena.geometry import Geometry
from controlplane.adapters.arena.slots import ROLE_BYTES, Member, Slots, lock_exclusive, unlock_exclusive
from controlplane.model.errors import ArenaBusy, ArenaError, ArenaFull

STEERS = "steers"  # the role of which there is at most one
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ATTEMPTS = 100  # each time somebody else replaced the file meanwhile
_attached: "set[Arena]" = set()  # until `close`, whoever still refers to them
_fork = threading.RLock()  # a child must know what to close: no fork while a place is taken or given up


class Arena:
    """One file of named regions, attached by at most `workers` processes at a time, until `close`. Made by `attach`.

    `worker` is this process's place. `on_fork` is called in the child of a fork, which has no place: it must give up
    whatever it keeps in the regions.
    """

    def __init__(self, path: str, fd: int, memory: mmap.mmap, geometry: Geometry, role: str) -> None:
        self.path, self.workers = path, geometry.workers
        self._fd, self._geometry, self._offsets = fd, geometry, geometry.offsets()
        self._bytes = memoryview(memory)
        self._slots = Slots(fd, self._bytes, geometry.slots_at, geometry.workers)
        self.on_fork: list[Callable[[], object]] = []
        self.is_attached = False
        if role == STEERS and (busy := next((one for one in self._slots.members() if one.role == STEERS), None)):
            raise ArenaBusy(f"{path} is steered by process {busy.pid} already; a host has one control plane")
        slot = self._slots.hold()
        if slot is None:
            raise ArenaFull(
                f"all {self.workers} places of {path} are taken: "
                "stop a process, or raise `workers` in [arena] of all of them"
            )
        self.worker = slot
        try:
            self._bell = Bell(path, slot)
        except OSError as error:
            self._slots.release(slot)
            raise ArenaError(f"no bell can be made beside {path}: {error.strerror}") from error
        self._slots.enter(slot, role)  # after the bell: who sees us may ring at once, and must not reach an old pipe
        self.is_attached = True
        _attached.add(self)

    @classmethod
    def attach(cls, path: str, regions: Mapping[str, int], *, workers: int = 16, role: str = "follows") -> "Arena":
        """Take a place in the arena at `path`, which is made where there is none. `regions`: int64 words by name.

        Raises  ArenaMismatch when living processes use it with another geometry, ArenaFull when they leave no place,
                ArenaBusy when there is another that steers, ArenaError when the file cannot be used for what it is;
                ValueError for a role or numbers that no arena can have.
        """
        wanted = Geometry.of(regions, workers, _BOOT.read_text().strip())
        if not (role.isascii() and 1 <= len(role) <= ROLE_BYTES):
            raise ValueError(f"role must be 1 to {ROLE_BYTES} ASCII characters, not {role!r}")
        for _ in range(_ATTEMPTS):
            with _fork:
                if arena := cls._try_attach(path, wanted, role):
                    return arena
        raise ArenaError(f"{path} is replaced again and again by others; do they agree about its configuration?")

    @classmethod
    def _try_attach(cls, path: str, wanted: Geometry, role: str) -> "Arena | None":
        """None when the file that was opened is no longer the one at `path`."""
        fd = open_file(path)
        arena = None
        try:
            lock_exclusive(fd, path)
            if is_at(path, fd) and not remove_outdated(fd, path, wanted):
                lay_out(fd, path, wanted)
                arena = cls(path, fd, map_file(path, fd, wanted.length), wanted, role)
                unlock_exclusive(fd)
        except OSError as error:
            raise ArenaError(f"{path} cannot be used: {error.strerror}") from error
        finally:
            if arena is None:
                os.close(fd)
        return arena

    def region(self, name: str) -> memoryview:
        """The words of that region: int64, writable, at a multiple of 64 bytes, there as long as anybody holds them."""
        if name not in self._offsets:
            raise KeyError(f"no region {name!r}; there are: {', '.join(self._offsets)}")
        at = self._offsets[name]
        return self._bytes[at : at + 8 * self._geometry.regions[name]].cast("q")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While entered, no other process lays out or attaches anything. Not for the path of a call, and not nested."""
        if not self.is_attached:
            raise ArenaError(f"{self.path} was left by this process")
        lock_exclusive(self._fd, self.path)
        try:
            yield
        finally:
            if self.is_attached:
                unlock_exclusive(self._fd)

    # the others

    def alive(self, worker: int) -> bool:
        """Whether a living process has that place."""
        return self.is_attached and self._slots.alive(worker)

    def members(self) -> list[Member]:
        """Every living process that is attached, by place."""
        return self._slots.members() if self.is_attached else []

    def dead(self) -> list[int]:
        """Places whose process is gone, each told to one living process. Give back what it held, then `vacate`.

        Should this process die in between, the next one is told: giving back must bear repetition.
        """
        return self._slots.claim_dead() if self.is_attached else []

    def vacate(self, worker: int) -> None:
        """What the process of that place held has been given back: it is free.

        Raises ValueError for a place that `dead` did not name to this process.
        """
        if worker in self._slots.claimed and is_at(self.path, self._fd):  # else that bell is another file's
            remove_bell(self.path, worker)
        self._slots.free(worker)

    # bells

    def ring(self) -> None:
        """Wake every other process that is attached, first the one that steers: it has most to do. Never waits."""
        records = [self._slots.record(slot) for slot in range(self.workers if self.is_attached else 0)]
        for member in sorted(filter(None, records), key=lambda one: one.role != STEERS):
            if member.slot != self.worker:
                self._bell.ring(member.slot, member.since)

    def fileno(self) -> int:
        """Readable when rung."""
        return self._bell.fd

    async def wait_rung(self) -> None:
        """Return when rung; `hush` makes the next wait a new one."""
        await anyio.wait_readable(self._bell.fd)

    def hush(self) -> None:
        """Forget that it was rung."""
        self._bell.hush()

    # the end

    def close(self) -> None:
        """Give the place up; who is left reclaims it as that of a dead process. Idempotent."""
        with _fork:
            if self.is_attached:
                self._leave(remove_bell=True)

    def _forked(self) -> None:
        """In the child: the place is the parent's, who still answers to its bell."""
        self._leave(remove_bell=False)
        for call in self.on_fork:
            call()

    def _leave(self, *, remove_bell: bool) -> None:
        _attached.discard(self)
        self.is_attached = False
        self._bell.close(remove=remove_bell)
        self._slots.claimed.clear()
        os.close(self._fd)


def _after_fork() -> None:
    _fork.release()
    for arena in tuple(_attached):
        arena._forked()


os.register_at_fork(before=_fork.acquire, after_in_parent=_fork.release, after_in_child=_after_fork)
