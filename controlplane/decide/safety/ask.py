"""What a safety rule is asked: may this be done to that, as things stand?"""

import msgspec

from controlplane.decide.kind import share_out
from controlplane.decide.safety.seen import Seen
from controlplane.decide.state import State
from controlplane.model.command import Intent
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos


class No(msgspec.Struct, frozen=True):
    """A rule forbids, with the numbers that decided. `always`: no person can set this part of it aside."""

    reason: str
    always: bool = False


class Ask(msgspec.Struct, kw_only=True):
    """One act in question. `kind` None: it gives back. `percent`: the share of calls to which it would apply."""

    target: Target
    intent: Intent
    kind: ActKind | None
    percent: int
    state: State
    topology: Topology
    policy: ResponsePolicy
    now: Nanos
    seen: Seen
    service: Service | None
    _out: dict[str, float] | None = None

    @property
    def steers_endpoint(self) -> bool:
        """Whether it takes traffic away from one endpoint, so that its siblings get it."""
        return self.kind in ("eject", "reroute") and bool(self.target.endpoint)

    def out(self) -> dict[str, float]:
        """For each endpoint of the service the share of its normal traffic that is kept away, this act done:
        by orders in force, by the reflexes of guards that nobody ordered, and by this act."""
        if self._out is None:
            name = self.target.service
            found = dict.fromkeys(self.seen.reflexes(name, self.now), 1.0)
            for command in self.state.in_force.values():
                if command.target.service == name and command.target.endpoint:
                    share = share_out(command.intent) * command.percent / 100
                    if share > 0:
                        found[command.target.endpoint] = share
                    else:
                        found.pop(command.target.endpoint, None)
            if self.target.endpoint:
                found[self.target.endpoint] = share_out(self.intent) * self.percent / 100
            self._out = found
        return self._out

    def pools(self) -> list[tuple[str, list[Endpoint]]]:
        """The groups of siblings that must not run dry, in words: the service, the target's zone and priority."""
        assert self.service is not None
        everyone = list(self.service.endpoints)
        mine = next((one for one in everyone if one.name == self.target.endpoint), None)
        found = [(self.service.name, everyone)]
        if mine is None:
            return found
        zone = [one for one in everyone if one.zone == mine.zone]
        if mine.zone and len(zone) < len(everyone):
            found.append((f"{self.service.name} in zone {mine.zone}", zone))
        level = [one for one in everyone if one.priority == mine.priority]
        if len(level) < len(everyone):
            found.append((f"{self.service.name} of priority {mine.priority}", level))
        return found

    def all_bad(self, pool: list[Endpoint]) -> bool:
        """Whether every endpoint of `pool` is found bad or out: then the pool is what fails, and others must serve."""
        bad = self.seen.bad(self.target.service, self.now)
        return all(one.name in bad or self.out().get(one.name, 0.0) > 0 for one in pool)
