"""`controlplane bench response --busy`: the table, what was reached of the load, the file."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import anyio
import msgspec

from controlplane._native.histogram import Histogram
from controlplane.adapters.histogram import percentile_table
from controlplane.bench import result
from controlplane.bench.response import table
from controlplane.bench.response.busy import batches
from controlplane.bench.response.busy.sender import CONNECTIONS
from controlplane.bench.response.busy.site import Busy, Load, Reached
from controlplane.bench.response.measure import Setting, Times, measure
from controlplane.bench.response.mesh import OWN, config
from controlplane.bench.result import Result
from controlplane.model.config import OtlpSection
from controlplane.model.errors import ControlPlaneError

P99_MAX_MS: Final = 10.0  # promised of `response.busy`
SHARE_MIN: Final = 0.97  # of the spans that were to be sent; a slower load is an easier one


class NoServer(ControlPlaneError):
    """What is to be measured cannot run there."""


def run(args: argparse.Namespace, setting: Setting, progress: Callable[[int], None]) -> int:
    """Measure, print, write; 1 when `--check` found a broken promise."""
    if args.loop == "trio":
        raise NoServer("--busy serves by uvicorn, as `controlplane serve` does, which does not run on trio")
    load = Load(spans_per_s=args.spans, streams=args.streams)
    setting = msgspec.structs.replace(setting, otlp=OtlpSection())
    with tempfile.TemporaryDirectory(prefix="controlplane-busy-") as folder:
        file = Path(folder) / "batches"
        batches.write(file, _edges(setting), bodies=max(CONNECTIONS, setting.faults))
        busy = Busy(load, file)
        options = {"use_uvloop": args.loop == "uvloop"}
        times = anyio.run(measure, setting, progress, busy.around, backend="asyncio", backend_options=options)
    figures = list(_figures(times))
    print("\n".join([table.HEAD, *(table.line(name, histogram) for name, histogram in figures), *_told(busy.reached)]))
    missed = list(_missed(times, busy.reached, load))
    print("\n" + table.verdict(missed))
    if args.json:
        rate = Result("response.busy.spans", busy.reached.spans_per_s, "spans/s")
        result.join(args.json, [*(table.result(name, histogram) for name, histogram in figures), rate])
    if args.hgrm:
        args.hgrm.write_text(percentile_table(times.of["effective", ""], unit=1_000_000))
    return 1 if args.check and missed else 0


def _edges(setting: Setting) -> list[tuple[str, str]]:
    """Who calls whom, as declared, team by team: so the spans tell."""
    services = config(setting.services, setting.faults, Path()).services
    return [(service.name, callee) for service in services for callee in service.calls]


def _figures(times: Times) -> Iterator[tuple[str, Histogram]]:
    yield "response.busy", times.of["effective", ""]
    for kind in OWN:
        yield f"response.busy.{kind}", times.of["effective", kind]
    yield "response.busy.ordered", times.of["ordered", ""]
    yield "response.busy.first_request", times.of["first", ""]
    if ("effective", "reported") in times.of:
        yield "response.busy.reported", times.of["effective", "reported"]


def _told(reached: Reached) -> Iterator[str]:
    sent, watched = reached.sent, reached.watched
    yield ""
    yield (
        f"meanwhile {reached.spans_per_s:,.0f} spans/s taken in; {sum(one.taken for one in sent)} requests taken, "
        f"{sum(one.refused for one in sent)} refused, {sum(one.broken for one in sent)} broken, the slowest took "
        f"{max(one.slowest_ms for one in sent):.0f} ms"
    )
    yield (
        f"the loop's thread ran {reached.ran:.0%} of the time, and waited {reached.waited:.0%} of it for a processor "
        "that others had: all other times are longer by that"
    )
    yield f"{watched[0].streams} streams at a time, {sum(one.events for one in watched)} events"
    yield (
        f"{sum(one.scrapes for one in watched)} scrapes of up to {max(one.scrape_bytes for one in watched) >> 10} KiB, "
        f"the slowest took {max(one.slowest_scrape_ms for one in watched):.0f} ms"
    )


def _missed(times: Times, reached: Reached, load: Load) -> Iterator[str]:
    p99_ms = times.of["effective", ""].quantile(990) / 1e6
    if p99_ms > P99_MAX_MS:
        yield f"response.busy: p99 {p99_ms:.3f} ms, promised {P99_MAX_MS:g} ms"
    if reached.spans_per_s < SHARE_MIN * load.spans_per_s:
        yield f"response.busy: {reached.spans_per_s:,.0f} spans/s were taken in, {load.spans_per_s:,.0f} were to be"
    if missing := sum(one.missing for one in reached.watched):
        yield f"response.busy: {missing} events were left out of streams"
    if not all(one.events for one in reached.watched):
        yield "response.busy: the streams were told nothing"
    if times.missed:
        yield f"{times.missed} faults were not answered in time"
