"""Listening sockets, bound before anything else happens: a port in use costs one line and nothing was changed."""

import socket

from controlplane.model.config import split_listen
from controlplane.model.errors import ConfigError


def bind(listen: str, key: str) -> socket.socket:
    """A socket bound to `listen`, which does not accept yet. Raises ConfigError naming `key`."""
    host, port = split_listen(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {listen}: {error.strerror}", key=key) from error
    try:
        # a restart must not wait for the last connections of its predecessor to leave TIME_WAIT
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen on {listen}: {error.strerror}", key=key) from error
    return bound


def url(bound: socket.socket) -> str:
    """Where `bound` is reached: port 0 has become a number."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
