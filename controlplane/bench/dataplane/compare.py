"""`controlplane bench dataplane --faults`: each fault under each protection, in one table."""

import argparse
import sys
from typing import Final

import anyio
import msgspec

from controlplane.bench import result
from controlplane.bench.dataplane.fault import FAULTS, Harm, Pace, suffer
from controlplane.bench.dataplane.protect import PROTECTIONS
from controlplane.bench.result import Result

MORE_MAX: Final = 3  # on plain errors: failed requests beyond those of HAProxy at its fastest, for each bad replica
PLAIN: Final = {"errors": 1, "two": 2}  # how many replicas are bad; HAProxy sees those as well as anybody
LESS: Final = 5  # times fewer failed or slow requests, where HAProxy is blind
BLIND: Final = ("slow", "hang")

Table = dict[str, dict[str, Harm]]


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 when `--check` found a broken promise."""
    pace = Pace(warm_s=3.0) if args.quick else Pace()
    options = {"use_uvloop": True} if args.loop == "uvloop" else {}
    backend = "trio" if args.loop == "trio" else "asyncio"
    table: Table = {}
    for fault in FAULTS:
        for protection in PROTECTIONS:
            print(f"{fault}, {protection}", file=sys.stderr, flush=True)
            harm = anyio.run(suffer, fault, protection, pace, backend=backend, backend_options=options)
            table.setdefault(fault, {})[protection] = harm
    print("\n".join(lines(table)))
    missed = broken(table)
    print("\npromised and MISSED:\n" + "\n".join(f"    {text}" for text in missed) if missed else "\nall promises met")
    if args.json:
        result.join(args.json, figures(table))
    return 1 if args.check and missed else 0


def lines(table: Table) -> list[str]:
    """The table for people: users harmed, and how long the bad replica was asked."""
    head = f"{'fault':<8} {'requests':>9}" + "".join(f" {name:>22}" for name in PROTECTIONS)
    rows = [head, f"{'':<18}" + f" {'failed+slow    asked ms':>22}" * len(PROTECTIONS)]
    for fault, harms in table.items():
        cells = "".join(f" {_harmed(harm):>11} {harm.asked_ms:>10.0f}" for harm in harms.values())
        rows.append(f"{fault:<8} {harms['ours'].requests:>9}{cells}")
    return rows


def broken(table: Table) -> list[str]:
    """What was promised and is not so."""
    found = []
    for fault, harms in table.items():
        ours, tuned = _harmed(harms["ours"]), _harmed(harms["observe"])
        more = MORE_MAX * PLAIN.get(fault, 0)
        if more and ours > tuned + more:
            found.append(f"{fault}: {ours} users harmed, promised {more} more than {tuned} at most")
        if fault in BLIND and ours * LESS > tuned:
            found.append(f"{fault}: {ours} users harmed, promised {LESS} times fewer than {tuned}")
    return found


def figures(table: Table) -> list[Result]:
    """The same for the results' file."""
    found = []
    for fault, harms in table.items():
        for what, value in (("harmed", _harmed), ("asked", lambda harm: harm.asked_ms)):
            rivals = {name: float(value(harms[name])) for name in PROTECTIONS if name != "ours"}
            one = Result(f"dataplane.haproxy.{fault}.{what}", float(value(harms["ours"])), _UNITS[what])
            found.append(msgspec.structs.replace(one, rivals=rivals))
    return found


_UNITS: Final = {"harmed": "requests", "asked": "ms"}


def _harmed(harm: Harm) -> int:
    return harm.failed + harm.slow
