"""Counts of all endpoints of a service in the same time, while a deploy of it is watched."""

from typing import Final

from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.model.change import VersionsCounted
from controlplane.model.unit import MILLISECOND, Nanos

EVERY_NS: Final = 900 * MILLISECOND  # of once a second: a look that comes a little early tells, too
SOON_NS: Final = 200 * MILLISECOND  # while an incident is open


class VersionTallies:
    """Those of the services that are compared now; nothing is counted for any other."""

    def __init__(self, services: dict[str, ServiceGuard]) -> None:
        self._services = services
        self._until: dict[str, int] = {}
        self._since: dict[str, tuple[int, list[tuple[int, int, int]]]] = {}

    def compare(self, service: str, now: int, until: int) -> None:
        """Tell of `service` until then. One that is not guarded here is left to who guards it."""
        if service in self._services:
            self._until[service] = max(until, self._until.get(service, 0))
            self._since.setdefault(service, (now, self._counts(service)))

    def sample(self, at: Nanos, every_ns: int = EVERY_NS) -> list[VersionsCounted]:
        """What was done since the last look, of each service of which it is time to tell."""
        found: list[VersionsCounted] = []
        for name in list(self._until):
            since, before = self._since[name]
            if at - since < every_ns:
                continue
            counts = self._counts(name)
            self._since[name] = (at, counts)
            rows = tuple(
                (endpoint, new[0] - old[0], new[1] - old[1], new[2] - old[2])
                for endpoint, new, old in zip(self._services[name].endpoints, counts, before, strict=True)
            )
            if any(calls > 0 for _, calls, _, _ in rows) and all(min(row[1:]) >= 0 for row in rows):
                found.append(VersionsCounted(at=at, service=name, rows=rows))
            if at >= self._until[name]:
                del self._until[name], self._since[name]
        return found

    def _counts(self, name: str) -> list[tuple[int, int, int]]:
        service = self._services[name]
        rows = (service.guard.endpoint(index) for index in range(len(service.endpoints)))
        return [(row["calls"], row["failures"], row["slow"]) for row in rows]
