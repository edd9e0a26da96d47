"""What people are told."""

import msgspec

from controlplane.model.unit import IncidentId, Nanos


class Notice(msgspec.Struct, frozen=True):
    """Something a person should know, delivered at least once; `key` makes repeats recognisable.

    id         the same for every delivery of it, and for nothing else: that of its journal, and a number
    to         names of the notifiers it is for; None: everybody. `had`: those of them who have it already
    wall_ns    `at` as Unix time; `since_wall_ns`: when its incident opened
    service    where its incident has its origin; `cause`: what that looks like. Empty: no incident
    """

    key: str
    incident: IncidentId | None
    severity: str
    text: str
    at: Nanos
    id: str = ""
    to: tuple[str, ...] | None = None
    had: tuple[str, ...] = ()
    wall_ns: int = 0
    since_wall_ns: int = 0
    service: str = ""
    cause: str = ""

    @property
    def kind(self) -> str:
        """What it is about in a word or two, as "opened" or "needs_a_person"."""
        return self.key.split(":")[1].replace(" ", "_").replace("-", "_") if ":" in self.key else "notice"

    @property
    def group(self) -> str:
        """What belongs together: an incident of one journal; else it stands for itself."""
        if self.incident is None:
            return self.id or self.key
        born = self.id.partition("-")[0]
        return f"{born}-{self.incident}" if born else self.incident

    @property
    def ends(self) -> bool:
        """Whether it says that its incident is over."""
        return self.incident is not None and self.kind == "closed"
