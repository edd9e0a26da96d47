"""Attaching, and what an attached process may do."""

import errno
import mmap
import os
import stat
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio

from controlplane.adapters.arena.bell import Bell, remove_bell
from controlplane.adapters.arena.geometry import HEAD_MAX, MAGIC, Geometry, decode, difference, is_unfinished
from controlplane.adapters.arena.slots import Member, Slots, lock_exclusive, unlock_exclusive
from controlplane.model.errors import ArenaBusy, ArenaError, ArenaFull, ArenaMismatch

STEERS = "steers"  # the role of which there is at most one
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ATTEMPTS = 100  # each time somebody else replaced the file meanwhile


class Arena:
    """One file of named regions, attached by at most `workers` processes at a time. Made by `attach`.

    `worker` is this process's place. `on_fork` is called in the child of a fork, which has no place: it must give up
    whatever it keeps in the regions.
    """

    def __init__(self, path: str, fd: int, memory: mmap.mmap, geometry: Geometry, role: str) -> None:
        self.path, self.workers = path, geometry.workers
        self._fd, self._geometry = fd, geometry
        self._bytes = memoryview(memory)
        self._slots = Slots(fd, self._bytes, geometry.slots_at, geometry.workers)
        self.on_fork: list[Callable[[], object]] = []
        self.is_attached = False
        if role == STEERS and (busy := next((one for one in self._slots.members() if one.role == STEERS), None)):
            raise ArenaBusy(f"{path} is steered by process {busy.pid} already; a host has one control plane")
        slot = self._slots.take(role)
        if slot is None:
            raise ArenaFull(
                f"all {self.workers} places of {path} are taken: "
                "stop a process, or raise `workers` in [arena] of all of them"
            )
        self.worker = slot
        try:
            self._bell = Bell(path, slot)
        except OSError as error:
            self._slots.free(slot)
            raise ArenaError(f"no bell can be made beside {path}: {error.strerror}") from error
        self.is_attached = True
        _attached.add(self)

    @classmethod
    def attach(cls, path: str, regions: Mapping[str, int], *, workers: int = 16, role: str = "follows") -> "Arena":
        """Take a place in the arena at `path`, which is made where there is none. `regions`: int64 words by name.

        Raises  ArenaMismatch when living processes use it with another geometry, ArenaFull when they leave no place,
                ArenaBusy when there is another that steers, ArenaError when the file cannot be used for what it is.
        """
        wanted = Geometry.of(regions, workers, _BOOT.read_text().strip())
        for _ in range(_ATTEMPTS):
            fd = _open(path)
            try:
                lock_exclusive(fd, path)
                if not _names(path, fd):  # replaced while we waited: the new one counts
                    os.close(fd)
                    continue
                if _replaceable(fd, path, wanted):
                    Path(path).unlink()
                    os.close(fd)
                    continue
                _lay_out(fd, path, wanted)
                arena = cls(path, fd, _map(path, fd, wanted.length), wanted, role)
                unlock_exclusive(fd)
            except BaseException:
                _close(fd)
                raise
            return arena
        raise ArenaError(f"{path} is replaced again and again by others; do they agree about its configuration?")

    def region(self, name: str) -> memoryview:
        """The words of that region: int64, writable, at a multiple of 64 bytes, there as long as anybody holds them."""
        at = self._geometry.offset(name)
        return self._bytes[at : at + 8 * self._geometry.regions[name]].cast("q")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While entered, no other process lays out or attaches anything. Not for the path of a call."""
        lock_exclusive(self._fd, self.path)
        try:
            yield
        finally:
            unlock_exclusive(self._fd)

    # the others

    def alive(self, worker: int) -> bool:
        """Whether a living process has that place."""
        return self._slots.alive(worker)

    def members(self) -> list[Member]:
        """Every living process that is attached, by place."""
        return self._slots.members()

    def dead(self) -> list[int]:
        """Places whose process is gone, each told to one living process. Give back what it held, then `vacate`.

        Should this process die in between, the next one is told: giving back must bear repetition.
        """
        return self._slots.claim_dead()

    def vacate(self, worker: int) -> None:
        """What the process of that place held has been given back: it is free."""
        remove_bell(self.path, worker)
        self._slots.free(worker)

    # bells

    def ring(self) -> None:
        """Wake every other process that is attached. Never waits."""
        for slot in range(self.workers):
            if slot != self.worker and (member := self._slots.record(slot)) is not None:
                self._bell.ring(slot, member.since)

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
        if not self.is_attached:
            return
        self.is_attached = False
        self._bell.close(remove=True)
        os.close(self._fd)

    def _forked(self) -> None:
        """In the child: the place is the parent's, who still answers to its bell."""
        if self.is_attached:
            self.is_attached = False
            self._bell.close(remove=False)
            os.close(self._fd)
            for call in self.on_fork:
                call()


_attached: "weakref.WeakSet[Arena]" = weakref.WeakSet()


def _after_fork() -> None:
    for arena in tuple(_attached):
        arena._forked()


os.register_at_fork(after_in_child=_after_fork)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise


def _open(path: str) -> int:
    """The file, for locks. Raises ArenaError where it is not ours alone to write: who writes it steers traffic."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise ArenaError(f"{path} cannot be opened: {reason}") from error
    status = os.fstat(fd)
    wrong = ""
    if not stat.S_ISREG(status.st_mode):
        wrong = "it is not a regular file"
    elif status.st_uid != os.geteuid():
        wrong = f"it belongs to user {status.st_uid}, not {os.geteuid()}"
    elif status.st_mode & 0o022:
        wrong = f"others may write it (mode {stat.S_IMODE(status.st_mode):03o}); make it 600"
    if wrong:
        os.close(fd)
        raise ArenaError(f"{path} is refused: {wrong}")
    return fd


def _names(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(Path(path).lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _replaceable(fd: int, path: str, wanted: Geometry) -> bool:
    """Whether the file is an arena of another geometry or boot that nobody uses. Raises ArenaMismatch if one does."""
    head = os.pread(fd, HEAD_MAX, 0)
    if is_unfinished(head):
        return os.fstat(fd).st_size not in (0, wanted.length)
    found = decode(head, path)
    wrong = difference(found, wanted)
    if not wrong and os.fstat(fd).st_size != wanted.length:
        raise ArenaError(f"{path} is damaged: it is not {wanted.length} bytes; stop all that use it and remove it")
    if not wrong and found.boot == wanted.boot:
        return False
    with _mapped(path, fd, os.fstat(fd).st_size) as memory:
        living = Slots(fd, memory, found.slots_at, found.workers).members()
    if living:
        who = ", ".join(f"{one.pid} ({one.role})" for one in living)
        raise ArenaMismatch(
            f"{path} has {wrong or 'another boot'}, and is in use by {who}: "
            "give all processes of a host the same services and [arena], or this one another path"
        )
    return True


@contextmanager
def _mapped(path: str, fd: int, length: int) -> Iterator[memoryview]:
    memory = _map(path, fd, length)
    view = memoryview(memory)
    try:
        yield view
    finally:
        view.release()
        memory.close()


def _lay_out(fd: int, path: str, wanted: Geometry) -> None:
    """Reserve the file's blocks and describe them, unless that was done. The magic comes last."""
    if not is_unfinished(os.pread(fd, 64, 0)):
        return
    try:
        os.ftruncate(fd, 0)
        os.posix_fallocate(fd, 0, wanted.length)  # now, and not as a SIGBUS in the middle of a call
    except OSError as error:
        raise ArenaError(f"{path} needs {wanted.length} bytes: {error.strerror}") from error
    os.pwrite(fd, wanted.head()[16:], 16)
    os.pwrite(fd, MAGIC, 0)


def _map(path: str, fd: int, length: int) -> mmap.mmap:
    """The file in memory, through a description of its own: a mapping keeps its description, and locks, alive."""
    other = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not os.path.samestat(os.fstat(other), os.fstat(fd)):
            raise ArenaError(f"{path} was replaced while it was attached; try again")
        return mmap.mmap(other, length)
    finally:
        os.close(other)
