"""The graph for those who look at it: one value for each service and each edge, None where nothing is known."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.graph.bucket import (
    ATTEMPTS,
    CALLS,
    CLIENT_NS,
    COUNTED,
    FAILURES,
    HEARD_NS,
    SERVED,
    SERVER_NS,
    TIMED,
)
from controlplane.decide.graph.register import NEVER, Register
from controlplane.model.graph import Edge, Node
from controlplane.model.topology import Service
from controlplane.model.unit import Nanos

Sums = NDArray[np.int64]


def is_soft(declared: Mapping[str, Service], caller: str, callee: str) -> bool:
    """Whether `caller` can answer without `callee`, as declared on either side."""
    one, other = declared.get(caller), declared.get(callee)
    if other is not None and other.guards:
        return False  # what goes on without its guard goes on unguarded
    return (one is not None and callee in one.soft) or (other is not None and other.dispensable)


def nodes_of(register: Register, declared: Mapping[str, Service], names: Iterable[str], sums: Sums) -> list[Node]:
    """The services of those `names`, by the sums over all buckets."""
    heard = {register.caller[edge] for edge in register.edges.values()}
    heard |= {register.callee[edge] for edge in register.edges.values() if sums[edge, SERVED]}
    return [
        Node(
            name=name,
            declared=name in declared,
            external=name in declared and declared[name].external,
            virtual=name not in declared and register.number[name] not in heard,
        )
        for name in names
    ]


def edges_of(
    register: Register,
    declared: Mapping[str, Service],
    sums: Sums,
    over_ns: int,
    in_flight: Sequence[tuple[Nanos, int] | None],
    source: Sequence[str],
) -> list[Edge]:
    """All edges by caller and callee; `sums` over the newest buckets, which last `over_ns`."""
    found = []
    for (caller, callee), edge in sorted(register.edges.items()):
        words, heard_at, waiting = sums[edge].tolist(), register.heard_at[edge], in_flight[edge]
        found.append(
            Edge(
                caller=caller,
                callee=callee,
                origin=register.origin[edge] or "learned",
                soft=is_soft(declared, caller, callee),
                heard_at=None if heard_at == NEVER else Nanos(heard_at),
                over_ns=over_ns,
                calls=words[CALLS] if words[HEARD_NS] else None,
                attempts=words[ATTEMPTS] if words[COUNTED] and words[COUNTED] == words[CALLS] else None,
                failures=words[FAILURES] if words[HEARD_NS] else None,
                timed=words[TIMED] or None,
                client_latency_ns=words[CLIENT_NS] if words[TIMED] else None,
                served=words[SERVED] or None,
                server_latency_ns=words[SERVER_NS] if words[SERVED] else None,
                in_flight=None if waiting is None else waiting[1],
                source=source[edge] or None,
            )
        )
    return found
