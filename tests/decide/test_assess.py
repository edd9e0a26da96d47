"""What the graph says of an incident: recorded with the figures it rests on, apart from the response, and bounded."""

from pathlib import Path

import msgspec
import pytest

from controlplane.adapters.recording import read_incidents
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.decide.analysis.analyze import analyze
from controlplane.decide.analysis.recorded import window_of
from controlplane.decide.assess import SERVICES_MAX
from controlplane.decide.review.explain import explain
from controlplane.model.record import Assessed, OriginMoved, WindowTaken
from tests.scenarios.transcript import Run, parse

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def played(name: str) -> Run:
    run = Run(parse((SCENARIOS / f"{name}.txt").read_text().partition("\n---")[0]))
    run.play()
    return run


def records(run: Run, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
    return [record for record in run.records if isinstance(record, kind)]


def test_the_record_holds_the_figures_it_rests_on() -> None:
    """Analysing the recorded window again blames the same services, in the same shares."""
    run = played("slowness-is-laid-to-who-is-slow")
    taken, said = records(run, WindowTaken)[0], records(run, Assessed)[0]
    again = analyze(window_of(taken.recording))
    assert [(origin.service, origin.score) for origin in again.origins] == [
        (origin.service, origin.score) for origin in said.analysis.origins
    ]
    assert again.blast == said.analysis.blast


@pytest.mark.anyio
async def test_a_journal_is_analysed_like_a_recording(tmp_path: Path) -> None:
    """`controlplane analyze JOURNAL` finds in the journal what the engine found."""
    run = played("relay-without-a-word-is-not-blamed")
    journal = SqliteJournal(tmp_path / "journal.db")
    await journal.read()
    await journal.append(run.records)
    await journal.aclose()
    [(incident, window)] = read_incidents(tmp_path / "journal.db")
    assert incident == "i1"
    assert analyze(window).origins[0].service == "stock"


def test_a_person_reads_what_the_graph_says() -> None:
    """The explanation names whom the graph blames, with numbers, and what was weighed."""
    run = played("one-bad-replica-is-assessed")
    lines = explain(run.engine.state.incidents["i1"])
    assert any(line.startswith("Graph: 100% of the blame is cart's: fails 30 % of its requests") for line in lines)
    assert any(line.startswith("Spreads to: web (") for line in lines)
    assert any(line.startswith("Weighed: reroute 80 % of cart/cart-1 to cart-2, cart-3") for line in lines)


def test_an_incident_that_moved_is_found_where_it_went() -> None:
    """A later verdict about the relay is evidence of the same incident, not a new one."""
    run = played("spans-come-late-and-move-the-incident")
    assert [record.origin.service for record in records(run, OriginMoved)] == ["stock"]
    assert run.engine.state.open_at("stock") is not None
    assert run.engine.state.open_at("cart") is None


def test_without_figures_nothing_is_said() -> None:
    """Where nobody told of any edge the incident is not assessed: unknown is no ground."""
    assert records(played("one-bad-replica"), Assessed) == []


def test_where_only_relays_are_heard_of_the_graph_says_nothing() -> None:
    """Callers named stock, and nobody told of its calls: the figures know the relay alone, and would blame it."""
    script = """
topology web -> cart(2)
topology cart -> stock(2)
every 1s until 60s  edge web cart 100 0 20ms
every 1s until 66s from 61s  edge web cart 100 60 400ms
at 61.2s  relayed cart stock 30
until 66s
"""
    run = Run(parse(script))
    run.play()
    assert run.engine.state.open_at("stock") is not None
    assert records(run, Assessed) == []


def test_what_our_own_refusals_cause_is_no_evidence_against_the_caller() -> None:
    """stock is held back, so cart fails more than stock's answers account for: cart is not blamed for it."""
    script = """
topology cart -> stock(2)
every 1s until 60s  edge - cart 100 0 20ms
every 1s until 60s  edge cart stock 100 0 10ms
every 1s until 70s from 61s  edge - cart 100 80 5ms
every 1s until 70s from 61s  edge cart stock 10 0 10ms
at 61.2s  trip stock/stock-1 overload 6/10 capped
at 61.3s  trip stock/stock-2 overload 6/10 capped
until 70s
"""
    run = Run(parse(script))
    run.play()
    assert run.engine.state.open_at("stock") is not None
    assert run.engine.state.open_at("stock").containments
    assert all(said.analysis.origins[0].service == "stock" for said in records(run, Assessed))


def test_what_failing_endpoints_share_is_named() -> None:
    """Endpoints of two services fail, all of one version of each: the version is what they share."""
    script = """
topology web -> cart(2@v1,2@v2) other(2)
every 1s until 60s  edge web cart 100 0 20ms
every 1s until 66s from 61s  edge web cart 100 50 20ms
at 61.2s  trip cart/cart-3 errors 5/5 contained
at 61.3s  trip cart/cart-4 errors 5/5 contained
until 63s
"""
    run = Run(parse(script))
    run.play()
    [said, *_] = records(run, Assessed)
    shared = "2 of 2 endpoints of version cart v2 fail, 0 of 5 others"
    assert said.analysis.shared == (shared,)
    assert f"Shared: {shared}." in explain(run.engine.state.incidents["i1"])


def test_a_large_fleet_is_assessed_in_its_neighbourhood() -> None:
    """The window on record holds SERVICES_MAX services at most, the origin among them."""
    callees = " ".join(f"s{at}(2)" for at in range(200))
    told = [f"every 1s until 60s  edge web s{at} 100 0 20ms" for at in range(200)]
    bad = ["every 1s until 64s from 61s  edge web s7 100 60 20ms", "at 61.5s  trip s7/s7-1 errors 5/5 contained"]
    run = Run(parse("\n".join([f"topology web -> {callees}", *told, *bad, "until 64s"])))
    run.play()
    [taken] = records(run, WindowTaken)
    assert len(taken.recording.services) <= SERVICES_MAX
    assert {"web", "s7"} <= set(taken.recording.services)
    assert records(run, Assessed)[0].analysis.origins[0].service == "s7"
