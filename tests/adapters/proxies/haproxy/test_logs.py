"""The log's socket: lines arrive, and those that the kernel dropped are counted."""

import socket

import anyio
import pytest

from controlplane.adapters.proxies.haproxy.logs import dropped, listen, log_socket

pytestmark = pytest.mark.anyio


async def test_every_line_that_fits_arrives_in_order() -> None:
    """A burst of a thousand, and an oversized one, cut."""
    lines: list[bytes] = []
    with log_socket("127.0.0.1", 0) as bound, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, bound, lines.append)
            sender.connect(bound.getsockname())
            for number in range(1_000):
                sender.send(b"line %d" % number)
            sender.send(b"x" * 20_000)
            with anyio.fail_after(10):
                while len(lines) < 1_001:
                    await anyio.sleep(0.005)  # real time: the kernel hands them over
            tasks.cancel_scope.cancel()
        assert lines[:1_000] == [b"line %d" % number for number in range(1_000)]
        assert len(lines[1_000]) == 8_192
        assert dropped(bound) == 0


async def test_what_the_kernel_had_no_room_for_is_counted() -> None:
    """Nobody reads, and more is sent than the buffer holds."""
    with log_socket("127.0.0.1", 0) as bound, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sender.connect(bound.getsockname())
        for _ in range(500):
            sender.send(b"x" * 1_000)
        lines: list[bytes] = []
        lost = dropped(bound)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, bound, lines.append)
            with anyio.fail_after(10):
                while len(lines) + lost < 500:
                    await anyio.sleep(0.005)  # real time: the kernel hands them over
            tasks.cancel_scope.cancel()
        assert lost > 0


def test_ipv6_and_an_address_in_use() -> None:
    """Either family; a second listener is refused and leaves nothing open."""
    with log_socket("::1", 0) as bound:
        host, port = bound.getsockname()[:2]
        assert host == "::1"
        with pytest.raises(OSError, match="in use"):
            log_socket("::1", port)
