"""How complete the graph is: the share of what was observed that known edges account for.

A call is accounted for when its caller is named (users call the entry without a name, and that is known), and when it
is known what its callee calls in turn: it is declared, or was heard as a caller. Beyond a service of which neither
holds, blame cannot go on, and what lies there is taken for its own fault.
"""

from collections.abc import Container

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.graph.bucket import CALLS, CLIENT_NS, SERVER_NS, TIMED
from controlplane.decide.graph.register import OUTSIDE, Register


class ServiceCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one service: calls to it, those with a named caller, whether its own callees are known, and the share of the
    time it took to answer that it spent waiting for known callees (None: not measured; the rest is its own work, or
    callees that nobody knows)."""

    calls: int
    named: int
    onward: bool
    latency_share: float | None


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """`share` of all calls that are accounted for, 0 to 1; None: no call was seen."""

    share: float | None
    services: dict[str, ServiceCoverage]


def cover(register: Register, sums: NDArray[np.int64], declared: Container[str], entry: str) -> Coverage:
    """The coverage of what `register` knows, by the sums over all buckets, (edges, WORDS)."""
    edges = np.fromiter(register.edges.values(), dtype=np.int64, count=len(register.edges))
    caller, callee = np.array(register.caller, dtype=np.int64)[edges], np.array(register.callee, dtype=np.int64)[edges]
    known = sums[edges]
    nameless = (caller == OUTSIDE) & (callee != register.number.get(entry, OUTSIDE))

    def added(ends: NDArray[np.int64], counts: NDArray[np.int64]) -> list[int]:
        out = np.zeros(len(register.names), dtype=np.int64)
        np.add.at(out, ends, counts)
        sums_by_service: list[int] = out.tolist()
        return sums_by_service

    calls, named = added(callee, known[:, CALLS]), added(callee[~nameless], known[~nameless, CALLS])
    spent = added(callee, known[:, SERVER_NS])
    waited, timed = added(caller, known[:, CLIENT_NS]), added(caller, known[:, TIMED])
    callers = set(caller.tolist())
    services = {
        name: ServiceCoverage(
            calls=calls[number],
            named=named[number],
            onward=name in declared or number in callers,
            latency_share=min(1.0, waited[number] / spent[number]) if spent[number] and timed[number] else None,
        )
        for name, number in sorted(register.number.items())
        if number != OUTSIDE
    }
    total = sum(one.calls for one in services.values())
    accounted = sum(one.named for one in services.values() if one.onward)
    return Coverage(share=accounted / total if total else None, services=services)
