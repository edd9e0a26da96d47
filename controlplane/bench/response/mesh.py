"""What is measured: a plane over a thousand services, and fifty of them that fail at one instant, in three ways.

replica   one endpoint of three answers with errors: the guard ejects it by reflex, the engine confirms
service   every endpoint does: the guard opens the edge by reflex, the engine isolates
reported  another gateway says that an endpoint fails, and no call of ours has shown it: only the engine can act
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from controlplane.model.config import Config, JournalSection
from controlplane.model.policy import ResponsePolicy
from controlplane.model.topology import Endpoint, Service

Kind = Literal["replica", "service", "reported"]
KINDS: Final[tuple[Kind, ...]] = ("replica", "service", "reported")

ENDPOINTS: Final = 3
CALLEES: Final = 4  # of each service: the graph that a verdict is weighed in
COMMANDS_A_MINUTE: Final = 10_000  # the velocity limit is not what is measured


class Fault(msgspec.Struct, frozen=True):
    """What fails, and how."""

    service: str
    kind: Kind


def config(services: int, journal: Path) -> Config:
    """A gateway that calls every one of so many services, which call each other."""
    return Config(
        journal=JournalSection(path=str(journal)),
        response=ResponsePolicy(commands_per_minute_max=COMMANDS_A_MINUTE),
        services=tuple(
            Service(
                name=f"s{number}",
                endpoints=tuple(
                    Endpoint(name=f"s{number}-{replica}", url=f"http://127.0.0.1:{replica}")
                    for replica in range(1, ENDPOINTS + 1)
                ),
                calls=tuple(f"s{callee}" for callee in _callees(number, services)),
            )
            for number in range(services)
        ),
    )


def _callees(number: int, services: int) -> list[int]:
    """A wide graph without cycles: everybody calls a few of those behind."""
    ahead = [number + 1 + (number * 7 + step * 131) % max(1, services - number) for step in range(CALLEES)]
    return sorted({callee for callee in ahead if number < callee < services})


def faults(services: int, count: int) -> list[Fault]:
    """`count` of them spread over the services, a third of each kind."""
    apart = services // count
    return [Fault(f"s{number * apart}", KINDS[number % len(KINDS)]) for number in range(count)]
