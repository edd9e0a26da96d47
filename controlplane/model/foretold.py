"""What would be done if something failed, as a value."""

from typing import Literal

import msgspec

How = Literal["fails", "is slow", "is overloaded"]


class Supposed(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is supposed to go wrong: a service, one endpoint of it, or those of a zone or version."""

    service: str
    how: How
    endpoint: str = ""
    zone: str = ""
    version: str = ""

    def __str__(self) -> str:
        words = [self.service, self.endpoint, self.how]
        words += ["in", self.zone] if self.zone else []
        words += ["version", self.version] if self.version else []
        return " ".join(filter(None, words))


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order that would be given `after_s`, by whom ("the first act", "the weighed plan", a playbook), and why."""

    after_s: float
    what: str
    by: str
    enforcement: str
    why: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One act that a safety rule would forbid, with the numbers that decide."""

    after_s: float
    what: str
    rule: str
    reason: str


class PlaybookUse(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook that would fit: what becomes of its steps, or why it is not used."""

    name: str
    shadow: bool
    unmet: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    owner: str = ""
    ladder: str = ""


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """One notice that people would get."""

    after_s: float
    severity: str
    text: str


class Foretold(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one "what if". Nothing of it was done.

    figures      where the traffic in it comes from: "nominal", or "live" as the dependency graph knows it
    incidents    what would be opened, or which open one it would become part of
    contained_s  when everything that was ordered would be in force, not counting the way to the data plane; None: never
    still_failing    share of the calls to it that would fail after all that; None: it is not called any more
    blast        services that call what fails, the nearest first, and what each is expected to show where that is known
    owners       who answers for what fails, and the ladder on which they are told
    """

    supposed: str
    figures: Literal["nominal", "live"]
    mode: Literal["observe", "enforce"]
    frozen: bool = False
    incidents: tuple[str, ...] = ()
    contained_s: float | None = None
    still_failing: float | None = None
    orders: tuple[Order, ...] = ()
    refused: tuple[Refusal, ...] = ()
    playbooks: tuple[PlaybookUse, ...] = ()
    by_hand: tuple[str, ...] = ()
    blast: tuple[str, ...] = ()
    told: tuple[Telling, ...] = ()
    owners: tuple[str, ...] = ()
