"""Who is told, and who next when nobody answers: ladders and owners, as configuration names them."""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Rung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`notify` names notifiers; it is climbed to `after_s` seconds after the rung before it, or after the beginning."""

    notify: tuple[str, ...]
    after_s: Seconds = 0.0


class Ladder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rungs` from the first on. `then`: the ladder that goes on after the last rung; empty: the last is repeated every
    `repeat_s` (0: never)."""

    rungs: tuple[Rung, ...]
    then: str = ""
    repeat_s: Seconds = 0.0


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers for a service: `ladder` names the one on which they are told."""

    ladder: str
    contact: str = ""
