"""`controlplane bench dataplane --faults`: each fault under each protection of each proxy, in one table."""

import argparse
import sys
from typing import Final

import anyio

from controlplane.bench import result
from controlplane.bench.dataplane import judge, page
from controlplane.bench.dataplane.fault import FAULTS, Harm, Pace, suffer
from controlplane.bench.dataplane.judge import Table
from controlplane.bench.dataplane.protect import PROTECTIONS
from controlplane.testbed import envoy, haproxy
from controlplane.testbed.bed import KINDS, ProxyKind
from controlplane.testbed.child import NoProxy

QUICK_S: Final = 1.5


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 when `--check` found a broken promise, or no proxy is here."""
    pace = Pace(lasts_s=QUICK_S) if args.quick else Pace()
    options = {"use_uvloop": True} if args.loop == "uvloop" else {}
    backend = "trio" if args.loop == "trio" else "asyncio"
    kinds = chosen(args.data_plane)
    missed: list[str] = []
    for kind in kinds:
        table: Table = {}
        for name, fault in FAULTS.items():
            for protection in PROTECTIONS[kind]:
                print(f"{kind}: {name}, {protection}", file=sys.stderr, flush=True)
                harm = anyio.run(suffer, kind, fault, protection, pace, backend=backend, backend_options=options)
                table.setdefault(name, {})[protection] = harm
        print("\n".join(lines(kind, table)))
        verdict = judge.judged(kind, table)
        print("\n".join(f"    not to be had: {text}" for text in verdict.impossible), flush=True)
        missed += verdict.missed
        if args.json:
            result.join(args.json, judge.figures(kind, table))
    if args.table and args.json and not args.quick:
        page.put(args.table, result.read(args.json))
    print("\npromised and MISSED:\n" + "\n".join(f"    {text}" for text in missed) if missed else "\nall promises met")
    return 1 if args.check and missed else 0


def chosen(wanted: ProxyKind | None) -> list[ProxyKind]:
    """The proxies to measure: the one that is wanted, or all that are here. Raises NoProxy, saying how to get one."""
    binaries = {"haproxy": haproxy.binary, "envoy": envoy.binary}
    if wanted is not None:
        binaries[wanted]()
        return [wanted]
    found, missing = list[ProxyKind](), list[str]()
    for kind in KINDS:
        try:
            binaries[kind]()
            found.append(kind)
        except NoProxy as error:
            missing.append(str(error))
            print(f"left out: {error}", file=sys.stderr)
    if not found:
        raise NoProxy("; ".join(missing))
    return found


def lines(kind: ProxyKind, table: Table) -> list[str]:
    """The table for people: users harmed, and how long the bad replica was asked."""
    names = PROTECTIONS[kind]
    head = f"\n{kind:<12} {'requests':>9}" + "".join(f" {name:>22}" for name in names) + f" {'least':>7}"
    rows = [head, f"{'':<22}" + f" {'failed+slow    asked ms':>22}" * len(names)]
    for fault, harms in table.items():
        cells = "".join(f" {_bad(harm):>11} {_asked(harm):>10}" for harm in harms.values())
        rows.append(f"{fault:<12} {harms['ours'].requests:>9}{cells} {judge.LEAST[fault]:>7}")
    return rows


def _bad(harm: Harm) -> str:
    return f"{harm.failed}+{harm.slow}"


def _asked(harm: Harm) -> str:
    return "-" if harm.asked_ms is None else f"{harm.asked_ms:.0f}"
