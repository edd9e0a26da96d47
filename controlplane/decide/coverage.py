"""How complete the graph is: the share of what was observed that known edges account for.

A call is accounted for when its caller is named (users call the entry without a name, and that is known), and when it
is known what its callee calls in turn: it is declared, or was heard as a caller. Beyond a service of which neither
holds, blame cannot go on, and what lies there is taken for its own fault.
"""

from collections.abc import Container

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.bucket import CALLS, CLIENT_NS, SERVER_NS, TIMED
from controlplane.decide.register import OUTSIDE, Register


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
    calls, named, spent, waited, timed = (dict.fromkeys(register.number.values(), 0) for _ in range(5))
    callers = set()
    for edge in register.edges.values():
        caller, callee = register.caller[edge], register.callee[edge]
        callers.add(caller)
        known = sums[edge]
        calls[callee] += int(known[CALLS])
        if caller != OUTSIDE or register.names[callee] == entry:
            named[callee] += int(known[CALLS])
        spent[callee] += int(known[SERVER_NS])
        waited[caller] += int(known[CLIENT_NS])
        timed[caller] += int(known[TIMED])
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
