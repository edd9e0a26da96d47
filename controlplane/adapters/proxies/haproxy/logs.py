"""HAProxy's log over UDP: lines are taken from the socket in bunches, and those that the kernel dropped are counted."""

import socket
import struct
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel

from controlplane.adapters.proxies.haproxy.logline import LINE_BYTES_MAX

BUFFER_BYTES: Final = 8 * 1024 * 1024  # a second of 30,000 lines; FACTS: a large buffer lost none at 9,300/s
BUNCH_MAX: Final = 256  # lines before the loop's other tasks have their turn
_SO_RCVBUFFORCE: Final = 33  # of Linux; beyond net.core.rmem_max, where we may
_SO_MEMINFO: Final = 55  # of Linux, since 4.12: what a socket holds, and what it dropped
_MEMINFO: Final = struct.Struct("9I")
_DROPPED: Final = 8


def log_socket(host: str, port: int) -> socket.socket:
    """A UDP socket bound there, with as much buffer as it gets. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        try:
            bound.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        except OSError:  # not root
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def dropped(bound: socket.socket) -> int:
    """How many datagrams the kernel had no room for; 0 where it does not say."""
    try:
        info = bound.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(info)[_DROPPED]) if len(info) == _MEMINFO.size else 0


async def listen(bound: socket.socket, take: Callable[[bytes], None]) -> None:
    """Give every line to `take` until cancelled. The socket stays the caller's."""
    while True:
        await anyio.wait_readable(bound)
        for _ in range(BUNCH_MAX):
            try:
                line = bound.recv(LINE_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP answer to nobody's datagram
            take(line)
        await anyio.lowlevel.checkpoint()
