"""What was promised of users under a fault, and what nobody can keep.

Whoever calls a replica bad needs evidence, and evidence is requests that failed. With at most one false alarm in a
million calls, beside a sound replica of which one call in a hundred fails, that is 3 failures in a row
(ln 1e6 / ln 100), and 5 of some 15 calls where one in three fails (Wald: 13.8 nats at 0.9 nats a call). Where a call
that hangs or is slow is no failure before 200 ms, those sent meanwhile are lost, too: 15 at 75 calls a second.
A service that does a fifth of its work for half a second cannot answer four fifths of what comes. `LEAST` has these for
each fault. A proxy may lose fewer, by taking a single failure for proof; what that costs shows where one answer in two
hundred is an error anyway.
"""

from typing import Final

import msgspec

from controlplane.bench.dataplane.fault import Harm
from controlplane.bench.dataplane.protect import OURS, PROTECTIONS
from controlplane.bench.result import Result
from controlplane.testbed.bed import ProxyKind

MORE_MAX: Final = 3  # on plain errors: failed requests beyond those of the tuned proxy, for each bad replica
PLAIN: Final = {
    "errors": 1,
    "two": 2,
    "stray_errors": 1,
}  # how many replicas are bad; a proxy sees those as well as anybody
TWICE: Final = (
    2  # where five times fewer is not to be had: no more than with the proxy's own, or twice what must be lost
)
LESS: Final = 5  # times fewer failed or slow requests, everywhere else
LEAST: Final = {
    "errors": 3,
    "slow": 15,
    "hang": 15,
    "two": 6,
    "two_hang": 30,
    "bad_version": 10,
    "stray_errors": 7,
    "retry_storm": 120,
}

Table = dict[str, dict[str, Harm]]
_UNITS: Final = {"harmed": "requests", "asked": "ms", "out": "replicas"}


class Judgement(msgspec.Struct, frozen=True):
    """In words: what was promised and is not so, and what nobody can keep."""

    missed: list[str]
    impossible: list[str]


def judged(kind: ProxyKind, table: Table) -> Judgement:
    """Ours against the better of the proxy's own two, fault by fault."""
    found = Judgement([], [])
    for fault, harms in table.items():
        ours, least = _harmed(harms[OURS]), LEAST[fault]
        theirs, best = min((_harmed(harms[name]), name) for name in PROTECTIONS[kind] if name != OURS)
        about = f"{kind} {fault}: {ours} users harmed"
        if fault in PLAIN:
            more = MORE_MAX * PLAIN[fault]
            if theirs < least:
                found.impossible.append(f"{kind} {fault}: {theirs} as with {best}; who needs evidence loses {least}")
            if ours > max(theirs, least) + more:
                found.missed.append(f"{about}, promised {more} more than {max(theirs, least)} at most")
        elif theirs < LESS * least:
            text = f"{LESS} times fewer than {theirs} as with {best}; {least} must be lost"
            found.impossible.append(f"{kind} {fault}: {text} (ours: {ours})")
            if ours > max(theirs, TWICE * least):
                found.missed.append(f"{about}, more than {theirs} with {best} and twice what must be lost")
        elif ours * LESS > theirs:
            found.missed.append(f"{about}, promised {LESS} times fewer than {theirs}")
    return found


def figures(kind: ProxyKind, table: Table) -> list[Result]:
    """The same for the results' file."""
    found = []
    for fault, harms in table.items():
        rivals = {name: harms[name] for name in PROTECTIONS[kind] if name != OURS}
        harmed = {name: float(_harmed(harm)) for name, harm in rivals.items()}
        one = _figure(kind, fault, "harmed", float(_harmed(harms[OURS])), harmed)
        found.append(msgspec.structs.replace(one, bound=float(LEAST[fault])))
        if harms[OURS].asked_ms is not None:
            asked = {name: harm.asked_ms or 0.0 for name, harm in rivals.items()}
            found.append(_figure(kind, fault, "asked", harms[OURS].asked_ms or 0.0, asked))
    return found


def _figure(kind: ProxyKind, fault: str, what: str, value: float, rivals: dict[str, float]) -> Result:
    return msgspec.structs.replace(Result(f"dataplane.{kind}.{fault}.{what}", value, _UNITS[what]), rivals=rivals)


def _harmed(harm: Harm) -> int:
    return harm.failed + harm.slow
