"""Every scenario file reads as what happened and what was done; `pytest --rewrite-scenarios` writes the second half."""

from pathlib import Path

import msgspec
import pytest

from controlplane.model.record import Record
from tests.scenarios.transcript import Run, parse

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))
RULER = "-" * 100


def _halves(path: Path) -> tuple[str, str]:
    script, _, expected = path.read_text().partition(f"{RULER}\n")
    return script, expected.rstrip("\n")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_engine_does_what_the_transcript_says(path: Path, pytestconfig: pytest.Config) -> None:
    """The transcript is the specification, line by line."""
    script, expected = _halves(path)
    done = Run(parse(script)).play()
    if pytestconfig.getoption("--rewrite-scenarios"):
        path.write_text(f"{script}{RULER}\n{done}\n")
        return
    assert done == expected


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_same_signals_give_the_same_outcomes_byte_for_byte(path: Path) -> None:
    """Determinism, shown on the encoded values."""
    script, _ = _halves(path)
    first, second = Run(parse(script)), Run(parse(script))
    first.play()
    second.play()
    assert msgspec.msgpack.encode(first.outcomes) == msgspec.msgpack.encode(second.outcomes)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_folding_the_records_rebuilds_the_state(path: Path) -> None:
    """What a restart would know is what the engine knew."""
    script, _ = _halves(path)
    run = Run(parse(script))
    run.play()
    again = type(run.engine)(run.script.topology, run.policy)
    again.restore(msgspec.json.decode(msgspec.json.encode(run.records), type=list[Record]))
    assert msgspec.json.encode(again.state) == msgspec.json.encode(run.engine.state)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_an_alert_about_everything_changes_nothing_that_is_done(path: Path) -> None:
    """Somebody else's alerts, firing from the first moment to the last, bring no order and prevent none."""
    script, _ = _halves(path)
    alone, beside = Run(parse(script)), Run(parse(script))
    names = [service.name for service in beside.script.topology.services]
    beside.script.events = [(1, ["alert", name, "Burns", f"id={name}"]) for name in names] + beside.script.events
    alone.play()
    beside.play()
    assert _ordered(alone) == _ordered(beside)


def _ordered(run: Run) -> set[tuple[str, str, str]]:
    """What was ordered; not how often, as leases are renewed when somebody looks."""
    commands = (command for outcome in run.outcomes for command in outcome.commands)
    return {(str(one.target), type(one.intent).__name__, one.enforcement) for one in commands}
