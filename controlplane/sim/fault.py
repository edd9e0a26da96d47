"""Faults as changes in time: what happens to which replica, from when to when."""

from typing import Final, Literal

import msgspec

from controlplane._native import world

What = Literal["slow", "errors", "down", "hangs", "workers", "load", "pause", "shard"]
NATIVE: Final[dict[What, int]] = {
    "slow": world.SLOW,
    "errors": world.ERRORS,
    "down": world.DOWN,
    "hangs": world.HANGS,
    "workers": world.WORKERS,
    "load": world.LOAD,
    "pause": world.PAUSE,
    "shard": world.SHARD,
}
WELL: Final[dict[What, float]] = {
    "slow": 1.0,
    "errors": 0.0,
    "down": 0.0,
    "hangs": 0.0,
    "load": 1.0,
    "pause": 0.0,
    "shard": 0.0,
}
"""The values of a world in which nothing is wrong; workers come back to what the replica has."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """From `at_s` on, `what` of a replica (of all users, for "load") is `value`.

    slow     factor on the time its work takes
    errors   share of its requests that fail
    down     refuses connections; hangs: takes requests and answers none
    workers  so many requests at a time
    load     factor on the rate of users
    shard    share of the users whose requests fail at the service of that replica, however often they are tried again
    pause    does nothing for so many nanoseconds, as under a collector
    """

    at_s: float
    what: What
    value: float
    service: str = ""
    replica: int = 0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something goes wrong at `origin` from `begins_s` to `ends_s`."""

    name: str
    origin: str
    begins_s: float
    ends_s: float
    changes: tuple[Change, ...]
    text: str = ""
