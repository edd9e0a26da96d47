"""One owner per journal, enforced by the kernel."""

import fcntl
import os
from pathlib import Path

from controlplane.adapters.stores.read_only import READ_ONLY
from controlplane.model.errors import JournalBusy, JournalError


class OwnerLock:
    """An flock on a side file that holds its owner's pid. The kernel releases it when the owner dies, however it dies.

    The side file is never removed: a process that has just opened it would else lock a file that nobody can see. A
    child that was forked without exec shares the lock until it ends.
    """

    def __init__(self, path: Path, *, guarded: Path) -> None:
        self._path, self._guarded = path, guarded
        self._descriptor = -1

    def take(self) -> None:
        """Own it from now on. Raises JournalBusy, naming the owner; JournalError when the side file cannot be made."""
        writable = True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in READ_ONLY or not self._guarded.exists():
                raise JournalError(
                    f"{self._guarded}: cannot be owned: {error.strerror} ({self._path}); "
                    "the journal needs a directory that exists and can be written"
                ) from error
            writable = False
            try:
                descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return  # nobody can write here: nobody owns it, and nobody needs to
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if writable:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise JournalBusy(
                f"{self._guarded}: is held by process {owner or 'unknown'}; "
                "stop that process, or give this one a journal of its own"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{self._guarded}: cannot be owned: {error.strerror} ({self._path})") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Own it no longer. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
