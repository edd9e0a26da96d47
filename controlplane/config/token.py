"""The bearer token of the admin API, kept in a file that only its owner may read."""

import os
import secrets
import stat
from pathlib import Path

from controlplane.model.config import DeployerSection
from controlplane.model.errors import ConfigError

TOKEN_BYTES = 32  # 256 bits: not guessable, and longer than any dictionary
TOKEN_LENGTH_MIN = 16  # a token somebody chose by hand; shorter ones are guessable at network speed
TOKEN_FILE_BYTES_MAX = 4096


def token_of(name: str, section: DeployerSection) -> str:
    """The token of the deployer `name`; empty where it has none. Raises ConfigError."""
    if not section.token_file:
        return ""
    try:
        return read_token(section.token_file)
    except ConfigError as error:
        raise ConfigError(error.reason, key=f"deployers.{name}.token_file") from error


def ensure_token(path: str) -> str:
    """The token in `path`; a fresh one is put there first if the file does not exist. Raises ConfigError."""
    try:
        _create(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(f"token file {path} cannot be written: {error.strerror}", key="admin.token_file") from error
    return read_token(path)


def read_token(path: str) -> str:
    """The token in `path`. Raises ConfigError when others may read it, or when it holds no token."""
    try:
        # one descriptor for look and read, so that the file judged is the file read
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(TOKEN_FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"token file {path} cannot be read: {error.strerror}", key="admin.token_file") from error
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"token file {path} has mode {stat.S_IMODE(mode):04o}: others may have read the token; "
            f"delete the file (a new token is made at the next start), or run: chmod 600 {path}",
            key="admin.token_file",
        )
    token = text.decode("ascii", "replace").strip()
    if len(token) < TOKEN_LENGTH_MIN or not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            f"token file {path} holds no token: expected one line of {TOKEN_LENGTH_MIN} or more printable characters",
            key="admin.token_file",
        )
    return token


def _create(path: str) -> None:
    """Put a new token into `path`, whole and private from its first instant, or raise FileExistsError."""
    if Path(path).exists():
        raise FileExistsError(path)
    draft = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails where another process was first; a rename would replace its token
    finally:
        Path(draft).unlink()
