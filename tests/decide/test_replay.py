"""Every history, once more: the same inputs give the same records, byte for byte, from a real file."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from controlplane.adapters.stores.history import History
from controlplane.adapters.stores.table import RecordTable
from controlplane.cli import main
from controlplane.model.command import Command
from controlplane.model.signal import Acted, Told
from controlplane.model.unit import Nanos
from tests.scenarios import transcript
from tests.taped import MESH, POLICY, TapedEngine, signals, table_at, written

SCENARIOS = sorted(Path(transcript.__file__).parent.glob("*.txt"))
BEGIN = Nanos(10**12)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_replays(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a transcript shows happens again, restarts and reboots among it."""
    table = table_at(tmp_path / "journal.db")
    monkeypatch.setattr(transcript, "Engine", lambda *made: TapedEngine(table, *made))
    script = transcript.parse(path.read_text().partition("-" * 100)[0])
    run = transcript.Run(script)
    run.play()
    assert written(table) == run.records
    table.close()
    assert main(["replay", str(tmp_path / "journal.db")]) == 0


def random_life(table: RecordTable, *, seed: int, count: int, begin: Nanos, boot: str) -> Nanos:
    """One epoch of random signals and ticks; a data plane that sometimes refuses. The answer is when it ended."""
    engine = TapedEngine(table, MESH, POLICY)
    engine.restore(written(table))
    waiting: list[Command] = []
    told: list[str] = []
    outcome = engine.start(begin, boot=boot, wall_ns=1_700_000_000 * 10**9 + begin)
    now = begin
    for number, signal in enumerate(signals(seed, count, begin=begin)):
        now = signal.at
        while outcome.wake_at is not None and outcome.wake_at <= now:
            outcome = engine.tick(outcome.wake_at)
            waiting += outcome.commands
            told += [notice.key for notice in outcome.notices]
        outcome = engine.step(signal, now)
        waiting += outcome.commands
        told += [notice.key for notice in outcome.notices]
        if number % 3 == 0:  # answers come later than the next signals
            while waiting:
                command = waiting.pop(0)
                ok = hash_free(command.id) % 7 > 0
                outcome = engine.step(Acted(at=now, command=command.id, ok=ok, reason="" if ok else "no"), now)
                waiting += outcome.commands
                told += [notice.key for notice in outcome.notices]
            while told:
                outcome = engine.step(Told(at=now, key=told.pop(0), by="log"), now)
    return now


def hash_free(text: str) -> int:
    """A number that is the same in every process."""
    return sum(text.encode())


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs of thousands of signals, with a restart and a reboot between them."""
    path = tmp_path_factory.mktemp("replay") / "journal.db"
    table = table_at(path)
    ended = random_life(table, seed=1, count=2_000, begin=BEGIN, boot="a")
    random_life(table, seed=2, count=2_000, begin=Nanos(ended + 7 * 10**8), boot="a")
    random_life(table, seed=3, count=1_000, begin=Nanos(5 * 10**9), boot="b")
    table.close()
    return path


def cli(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "controlplane", "replay", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )


def test_thousands_of_random_signals_replay_in_another_process(journal: Path) -> None:
    """Whatever the order of its sets, another process comes to the same records."""
    for hash_seed in ("1", "77"):
        done = cli(str(journal), "--json", hash_seed=hash_seed)
        assert done.returncode == 0, done.stdout + done.stderr
        epochs = msgspec.json.decode(done.stdout)["epochs"]
        assert [one["epoch"] for one in epochs] == [1, 2, 3]
        assert sum(one["inputs"] for one in epochs) > 5_000
        assert sum(one["records"] for one in epochs) > 2_000
        assert all(not one["stopped"] and one["difference"] is None for one in epochs)


def copy_of(journal: Path, tmp_path: Path, *statements: str) -> Path:
    """A copy in which somebody has changed something."""
    path = tmp_path / "copy.db"
    path.write_bytes(journal.read_bytes())
    table = table_at(path)
    for statement in statements:
        table.connection.execute(statement)
    table.close()
    return path


def test_a_tampered_record_is_named(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One changed value in one record: its number, what stands there and what came out."""
    with History(journal) as history:
        texts = history.texts(history.epochs()[1])
    number = next(number for number, text in texts.items() if '"relapses":0' in text and number > min(texts) + 50)
    path = copy_of(
        journal,
        tmp_path,
        f"UPDATE records SET record = replace(record, '\"relapses\":0', '\"relapses\":1') WHERE number = {number}",
    )
    assert main(["replay", str(path), "--json"]) == 1
    found = msgspec.json.decode(capsys.readouterr().out)["epochs"]
    assert [one["epoch"] for one in found] == [1, 2]
    assert found[-1]["difference"]["record"] == number
    assert found[-1]["difference"]["recorded"] == texts[number].replace('"relapses":0', '"relapses":1')
    assert found[-1]["difference"]["came_out"] == texts[number]
    assert main(["replay", str(path), "--epoch", "1"]) == 0
    capsys.readouterr()
    assert main(["replay", str(path)]) == 1
    assert f"DIFFERS  record {number}: the record came out otherwise" in capsys.readouterr().out


def test_an_invented_record_is_found(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that nothing caused is one that somebody else wrote."""
    with History(journal) as history:
        last = history.epochs()[2].last
    path = copy_of(
        journal,
        tmp_path,
        f"UPDATE inputs SET after = after + 1 WHERE after + records = {last} AND records > 0",
        f"INSERT INTO records SELECT {last + 1}, {last + 1}, record FROM records WHERE number = {last}",
    )
    assert main(["replay", str(path), "--json"]) == 1
    found = msgspec.json.decode(capsys.readouterr().out)["epochs"][-1]["difference"]
    assert found["reason"] == "it is on record, and nothing that the engine was told caused it"


def test_missing_inputs_bound_what_is_covered(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay says where it stops, and does not call a difference what it could not see."""
    path = copy_of(
        journal, tmp_path, "DELETE FROM inputs WHERE epoch = 2 AND first = 500", "DELETE FROM inputs WHERE epoch = 1"
    )
    assert main(["replay", str(path), "--json"]) == 0
    first, second, third = msgspec.json.decode(capsys.readouterr().out)["epochs"]
    assert (first["inputs"], first["stopped"]) == (0, "its inputs are not on record")
    assert (second["inputs"], second["stopped"]) == (499, "inputs 500 to 500 are missing")
    assert second["records"] > 0
    assert second["records_left"] > 0
    assert third["stopped"] == ""


def test_a_journal_of_another_version_says_so_first(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before what was found stands who wrote it, with which shape of values."""
    assert main(["replay", str(journal), "--epoch", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "epoch 3"
    assert lines[2].startswith("  beware   it was written by version test, this is ")


def test_what_cannot_be_replayed_is_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file, no journal, no such epoch, no inputs."""
    other = tmp_path / "text"
    other.write_text("not a database, and long enough to be looked at")
    assert main(["replay", str(tmp_path / "absent.db")]) == 2
    assert main(["replay", str(other)]) == 2
    empty = table_at(tmp_path / "empty.db")
    empty.close()
    assert main(["replay", str(tmp_path / "empty.db")]) == 2
    assert "there is no such file" in capsys.readouterr().err
