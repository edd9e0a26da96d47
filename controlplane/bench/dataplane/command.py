"""`controlplane bench dataplane`: the table, the file, and what was promised."""

import argparse
import sys
from collections.abc import Callable
from typing import Final

import anyio
import msgspec

from controlplane._native.histogram import Histogram
from controlplane.bench import result
from controlplane.bench.dataplane import compare
from controlplane.bench.dataplane.measure import Measured, Setting, measure
from controlplane.bench.result import Result
from controlplane.testbed.child import NoProxy

PROMISED_MS: Final = {"p50": (500, 2.0), "p99": (990, 10.0)}  # of `rerouted`, one service loaded
MANY_P99_MS: Final = 30.0  # with a thousand
QUICK: Final = 40


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 when `--check` found a broken promise."""
    if args.json:
        result.read(args.json)  # a file that cannot be joined is better known before the minutes than after them
    if args.faults:
        return compare.run(args)
    if args.data_plane == "envoy":
        raise NoProxy("orders to Envoy are measured by  python -m bench.envoy ; --data-plane is for --faults")
    setting = Setting(services=args.services)
    if args.quick:
        setting = msgspec.structs.replace(setting, rounds=QUICK)
    options = {"use_uvloop": True} if args.loop == "uvloop" else {}
    backend = "trio" if args.loop == "trio" else "asyncio"
    measured = anyio.run(measure, setting, _progress(setting.rounds), backend=backend, backend_options=options)
    name = "dataplane.haproxy" if setting.services == 1 else f"dataplane.haproxy.{setting.services}"
    figures = {f"{name}.acknowledged": measured.acknowledged, f"{name}.rerouted": measured.rerouted}
    print(f"{'figure':<38} {'orders':>7} {'p50':>9} {'p90':>9} {'p99':>9} {'max':>9}   ms")
    for figure, histogram in figures.items():
        print(_line(figure, histogram))
    print(f"{measured.requests} requests meanwhile, {measured.failed} failed")
    missed = _missed(measured, setting)
    print("\npromised and MISSED:\n" + "\n".join(f"    {text}" for text in missed) if missed else "\nall promises met")
    if args.json:
        result.join(args.json, [_result(figure, histogram) for figure, histogram in figures.items()])
    return 1 if args.check and missed else 0


def _progress(rounds: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        if done % 10 == 0 or done == rounds:
            print(f"\rorder {done} of {rounds}", end="\n" if done == rounds else "", file=sys.stderr, flush=True)

    return told


def _missed(measured: Measured, setting: Setting) -> list[str]:
    promised = PROMISED_MS if setting.services == 1 else {"p99": (990, MANY_P99_MS)}
    missed = [
        f"rerouted: {name} {measured.rerouted.quantile(permille) / 1e6:.3f} ms, promised {most:g} ms"
        for name, (permille, most) in promised.items()
        if measured.rerouted.quantile(permille) > most * 1e6
    ]
    return [*missed, *([f"{measured.failed} requests failed, promised none"] if measured.failed else [])]


def _line(name: str, histogram: Histogram) -> str:
    values = [histogram.quantile(500), histogram.quantile(900), histogram.quantile(990), histogram.maximum]
    return f"{name:<38} {histogram.total:>7} " + " ".join(f"{value / 1e6:>9.3f}" for value in values)


def _result(name: str, histogram: Histogram) -> Result:
    p50_ms, p99_ms = histogram.quantile(500) / 1e6, histogram.quantile(990) / 1e6
    return Result(name, p50_ms, "ms", p50_ms=p50_ms, p99_ms=p99_ms)
