"""One service from both sides: what users see of it, and what is so inside."""

from typing import Literal

import msgspec

UsersState = Literal["well", "fallback", "slow", "failing", "unknown"]
InsideState = Literal["well", "degraded", "failing", "held", "recovering", "unfinished", "unknown"]


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """What users see of `service` beside the state inside, each with its reason.

    `differ`: why the two differ: users see nothing of what is wrong inside, or see what nothing inside accounts for;
    empty: they agree, or one of them is not known. `fallbacks`: answers given without it since this process began.
    """

    service: str
    users: UsersState
    inside: InsideState
    users_reason: str
    inside_reason: str
    differ: str = ""
    fallbacks: int = 0
    incident: str = ""

    @property
    def calm(self) -> bool:
        """Whether nothing is known to be wrong on either side."""
        return self.users in ("well", "unknown") and self.inside in ("well", "unknown")

    @property
    def line(self) -> str:
        """Both, in one line."""
        why = f": {self.differ}" if self.differ else ""
        return f"{self.service}: users {self.users}, inside {self.inside} ({self.inside_reason}){why}"
