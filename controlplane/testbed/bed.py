"""What a proxy of the testbed stands in front of, and where it listens."""

from pathlib import Path
from typing import Literal, get_args

import msgspec

ProxyKind = Literal["haproxy", "envoy"]
KINDS: tuple[ProxyKind, ...] = get_args(ProxyKind)
TRIES_AGAIN = 2


class Bed(msgspec.Struct, frozen=True, kw_only=True):
    """`services`: name, then endpoint and its port on loopback. A request for /NAME is one for that service, any other
    one for the first.

    `listen`: a port of loopback, or the path of a socket. `answer_s`: how long an endpoint may take to answer.
    `again`: what is tried twice more, elsewhere: a connection that failed, or `all` that failed or took too long.
    """

    services: dict[str, dict[str, int]]
    listen: int | Path
    answer_s: float = 3.0
    again: Literal["connection", "all"] = "connection"

    @property
    def first(self) -> str:
        """The service of requests that name none."""
        return next(iter(self.services))
