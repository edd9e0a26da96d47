"""What a drill found, as it is kept."""

from typing import Literal

import msgspec


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """Users' requests in one run of the same world: how many, and how many of them failed or were slow."""

    requests: int
    failed: int
    slow: int

    @property
    def harmed(self) -> int:
        """Failed and slow ones together."""
        return self.failed + self.slow


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a drill's timeline."""

    after_s: float
    who: str
    text: str


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal of a playbook. `failed`: why it did not pass; none: it did.

    how        "simulation", or "live": the running engine was asked, in shadow
    at         when, by the wall clock, as ISO 8601 in UTC
    topology   fingerprint of the topology it was rehearsed against; `content`: of the playbook as it was then
    contained_s  from the failure to all of its orders in force; None: never
    with_it    the harm with the playbook in force; without it, as the engine acts alone; and with nobody acting.
               None: not measured
    """

    playbook: str
    how: Literal["simulation", "live"]
    at: str
    topology: str
    content: str
    program: str
    failed: tuple[str, ...] = ()
    contained_s: float | None = None
    with_it: Harm | None = None
    without: Harm | None = None
    unattended: Harm | None = None
    timeline: tuple[Line, ...] = ()
