"""What is measured: a plane over a thousand services, and fifty of them that fail at one instant.

replica   one endpoint of three answers with errors: the guard ejects it by reflex, the engine confirms
service   every endpoint does: the guard opens the edge by reflex, the engine isolates
reported  another gateway says that an endpoint fails, and no call of ours has shown it: only the engine can act. These
          are measured apart: fifty verdicts in one instant are decided one after the other

The services are of as many teams as there are faults, and each calls a few of its own team: the faults are independent.
Where one failing service calls another it is one incident, not two, and there is nothing to measure.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from controlplane.model.config import Config, JournalSection, OtlpSection
from controlplane.model.policy import ResponsePolicy
from controlplane.model.topology import Endpoint, Service

Kind = Literal["replica", "service", "reported"]
OWN: Final[tuple[Kind, ...]] = ("replica", "service")  # seen by the plane's own guards
KINDS: Final[tuple[Kind, ...]] = (*OWN, "reported")

ENDPOINTS: Final = 3
CALLEES: Final = 4  # of each service, at most: the graph that a verdict is weighed in
COMMANDS_A_MINUTE: Final = 10_000  # the velocity limit is not what is measured


class Fault(msgspec.Struct, frozen=True):
    """What fails, and how."""

    service: str
    kind: Kind


def config(services: int, teams: int, journal: Path, otlp: OtlpSection | None = None) -> Config:
    """A gateway that calls every one of so many services, which call others of their team."""
    return Config(
        journal=JournalSection(path=str(journal)),
        otlp=otlp,
        response=ResponsePolicy(commands_per_minute_max=COMMANDS_A_MINUTE),
        services=tuple(
            Service(
                name=f"s{number}",
                endpoints=tuple(
                    Endpoint(name=f"s{number}-{replica}", url=f"http://127.0.0.1:{replica}")
                    for replica in range(1, ENDPOINTS + 1)
                ),
                calls=tuple(f"s{callee}" for callee in _callees(number, services // teams, services)),
            )
            for number in range(services)
        ),
    )


def _callees(number: int, team: int, services: int) -> list[int]:
    """A graph without cycles: everybody calls a few of those of the team that come after."""
    end = min(services, (number // team + 1) * team)
    after = [number + 1 + (number * 7 + step * 5) % max(1, end - number) for step in range(CALLEES)]
    return sorted({callee for callee in after if callee < end})


def faults(services: int, count: int, kinds: Sequence[Kind] = OWN) -> list[Fault]:
    """`count` of them, one in each team, at every depth in turn, and of `kinds` in turn."""
    team = services // count
    return [Fault(f"s{number * team + number % team}", kinds[number % len(kinds)]) for number in range(count)]
