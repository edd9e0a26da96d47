"""Reading a journal that cannot, or must not, be written."""

import errno
import sqlite3
from pathlib import Path

READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""What the system answers where writing is forbidden, for now or for ever."""


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing. Raises sqlite3.Error.

    What its owner appends meanwhile can be read, too. A copy in a directory that cannot be written has no place for
    SQLite's index of the write-ahead log: it is read as a file that nobody changes, without what the log may hold.
    """
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return connection
