"""The arena's file: opened, found to be right or out of date, laid out, mapped. All but the first under its lock.

Nothing is ever cut short or removed that could be anything but an arena that nobody uses: a path in a configuration can
be wrong, and a file that gets shorter kills whoever has it mapped.
"""

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.adapters.arena.bell import remove_bell
from controlplane.adapters.arena.geometry import BEGUN, HEAD_MAX, MAGIC, Geometry, decode, difference
from controlplane.adapters.arena.slots import Slots, is_in_use
from controlplane.model.errors import ArenaError, ArenaMismatch

_CHUNK = 1 << 20


def open_file(path: str) -> int:
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


def is_at(path: str, fd: int) -> bool:
    """Whether `path` still leads to this very file."""
    try:
        return os.path.samestat(Path(path).lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def remove_outdated(fd: int, path: str, wanted: Geometry) -> bool:
    """Remove an arena of another geometry or boot, or one that was not finished; False: it can stay.

    Raises  ArenaMismatch when living processes use it, ArenaError when it is damaged or no arena.
    """
    size = os.fstat(fd).st_size
    if size == 0:
        return False
    head = os.pread(fd, HEAD_MAX, 0)
    if head.startswith(BEGUN) or _is_blank(fd, head):
        if is_in_use(fd):
            raise ArenaError(f"{path} is damaged: it has lost its head; stop all that use it and remove it")
        Path(path).unlink()
        return True
    found = decode(head, path)
    if size != found.length:
        raise ArenaError(
            f"{path} is damaged: it has {size} bytes, not {found.length}; stop all that use it and remove it"
        )
    wrong = difference(found, wanted)
    if not wrong and found.boot == wanted.boot:
        return False
    with _mapped(path, fd, size) as memory:
        living = Slots(fd, memory, found.slots_at, found.workers).members()
    if living:
        who = ", ".join(f"{one.pid} ({one.role})" for one in living)
        raise ArenaMismatch(
            f"{path} has {wrong or 'another boot'}, and is in use by {who}: "
            "give all processes of a host the same services and [arena], or this one another path"
        )
    Path(path).unlink()
    for slot in range(found.workers):
        remove_bell(path, slot)
    return True


def _is_blank(fd: int, head: bytes) -> bool:
    """Whether it holds zeros alone: all that a power failure may leave of a file whose blocks were just reserved."""
    at = 0
    while not head.strip(b"\0"):
        at += len(head)
        if not head:
            return True
        head = os.pread(fd, _CHUNK, at)
    return False


def lay_out(fd: int, path: str, wanted: Geometry) -> None:
    """Reserve the blocks of an empty file and describe them; one that is not empty has that behind it."""
    if os.fstat(fd).st_size:
        return
    try:
        os.pwrite(fd, BEGUN, 0)
        os.posix_fallocate(fd, 0, wanted.length)  # now, and not as a SIGBUS in the middle of a call
        os.fsync(fd)
        os.pwrite(fd, wanted.head()[len(MAGIC) :], len(MAGIC))
        os.fsync(fd)  # or a power failure might leave us the magic without the rest
        os.pwrite(fd, MAGIC, 0)
    except OSError as error:
        os.ftruncate(fd, 0)  # nobody has it mapped yet, and a full disk needs the room
        raise ArenaError(f"{path} needs {wanted.length} bytes: {error.strerror}") from error


def map_file(path: str, fd: int, length: int) -> mmap.mmap:
    """The file in memory, through a description of its own: a mapping keeps its description, and locks, alive."""
    other = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not os.path.samestat(os.fstat(other), os.fstat(fd)):
            raise ArenaError(f"{path} was replaced while it was attached; try again")
        return mmap.mmap(other, length)
    finally:
        os.close(other)


@contextmanager
def _mapped(path: str, fd: int, length: int) -> Iterator[memoryview]:
    memory = map_file(path, fd, length)
    view = memoryview(memory)
    try:
        yield view
    finally:
        view.release()
        memory.close()
