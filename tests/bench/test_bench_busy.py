"""The response suite beside a busy process: that the load is real, and that what was reached is told."""

import re
from pathlib import Path

import msgspec
import pytest

from controlplane._native.wire import SpanPairs
from controlplane.bench.response import command, measure
from controlplane.bench.response.busy import batches
from controlplane.bench.response.busy.command import _missed
from controlplane.bench.response.busy.sender import Sent
from controlplane.bench.response.busy.site import Load, Reached
from controlplane.bench.response.busy.watcher import Watched
from controlplane.bench.response.measure import Setting, Times
from controlplane.bench.result import Result
from controlplane.cli import main

EDGES = [("web", "cart"), ("web", "mail"), ("cart", "db"), ("mail", "db"), ("db", "disk")]


def test_a_body_that_is_sent_again_tells_of_new_calls(tmp_path: Path) -> None:
    """Both sides of each call meet, every time; the same bytes once more would be repeats, and count as nothing."""
    file = tmp_path / "batches"
    batches.write(file, EDGES, bodies=2)
    (one,) = batches.read(file, 0, 2)
    (other,) = batches.read(file, 1, 2)
    pairs = SpanPairs(waiting_max=1 << 15)
    for number, body in enumerate([one, other, one, other]):
        assert pairs.traces(body.renewed(number), 1) == (2 * batches.CALLS, 0)
    told = {(caller, callee): calls for caller, callee, calls, *_ in pairs.take(-1)}
    assert told.keys() == set(EDGES)
    assert sum(told.values()) == pairs.statistics()["paired"] == 4 * batches.CALLS
    pairs.traces(bytes(one.data), 1)
    assert sum(calls for _, _, calls, *_ in pairs.take(-1)) == 0


def test_a_load_that_was_not_reached_is_a_promise_that_was_missed() -> None:
    """Fewer spans, an event that a stream was not told of: either would make the figure easier than it says."""
    times = Times()
    times.record("effective", "replica", 5_000_000)
    reached = Reached(spans=90, elapsed_ns=10**9, sent=[Sent()], watched=[Watched(streams=1, events=7, missing=2)])
    missed = list(_missed(times, reached, Load(spans_per_s=100)))
    assert missed == [
        "response.busy: 90 spans/s were taken in, 100 were to be",
        "response.busy: 2 events were left out of streams",
    ]
    times.record("effective", "service", 11_000_000)
    assert any("p99" in text for text in _missed(times, reached, Load(spans_per_s=10)))


def test_a_small_run_is_busy_and_answers_every_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plane, its servers, a sender, followers and a scraper, all of them real."""
    monkeypatch.setattr(command, "QUICK", Setting(rounds=1))
    monkeypatch.setattr(Setting, "kinds", [measure.OWN])
    out = tmp_path / "r.json"
    size = ["--services", "30", "--faults", "6", "--spans", "10000", "--streams", "3"]
    assert main(["bench", "response", "--busy", "--quick", *size, "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "were not answered" not in printed
    assert "left out of streams" not in printed
    assert re.search(r"^3 streams at a time, [1-9]\d+ events$", printed, re.MULTILINE)
    assert re.search(r"^[1-9]\d* scrapes of up to [1-9]\d* KiB", printed, re.MULTILINE)
    by_name = {one.name: one for one in msgspec.json.decode(out.read_bytes(), type=list[Result])}
    assert by_name["response.busy"].p99_ms >= by_name["response.busy"].p50_ms > 0  # type: ignore[operator]
    assert by_name["response.busy.spans"].value > 5_000


def test_it_says_where_it_cannot_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The server that is measured does not run on trio."""
    assert main(["bench", "response", "--busy", "--loop", "trio"]) != 0
    assert "uvicorn" in capsys.readouterr().err
