"""Results of drills in their file: none is lost but the one that a crash tore."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from controlplane.adapters.drills import DrillLog
from controlplane.model.drill import Drill, Line
from controlplane.model.errors import JournalError


def drill(name: str, at: str = "2026-01-01T00:00:00.000Z") -> Drill:
    return Drill(playbook=name, how="simulation", at=at, topology="t", content="c", program="0")


def test_the_newest_of_each_playbook_is_found(tmp_path: Path) -> None:
    """Without a file there is none; later lines replace earlier ones."""
    log = DrillLog(str(tmp_path / "drills.jsonl"))
    assert log.latest() == {}
    for at in ("2026-01-01", "2026-01-02"):
        log.append(drill("a", at))
    log.append(drill("b"))
    assert {name: one.at[:10] for name, one in log.latest().items()} == {"a": "2026-01-02", "b": "2026-01-01"}


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    """Power went in the middle of a line: the next drill begins on a line of its own."""
    file = tmp_path / "drills.jsonl"
    log = DrillLog(str(file))
    log.append(drill("a"))
    file.write_bytes(file.read_bytes() + b'{"playbook":"tor')
    log.append(drill("b"))
    assert set(log.latest()) == {"a", "b"}


@pytest.mark.parametrize("rubbish", [b"\xff\xfe\n", b"[]\n", b"null\n", b'{"playbook": 3}\n', b"\n\n", b"{" * 5000])
def test_rubbish_is_passed_over(tmp_path: Path, rubbish: bytes) -> None:
    """Whatever somebody wrote there."""
    file = tmp_path / "drills.jsonl"
    file.write_bytes(rubbish)
    log = DrillLog(str(file))
    log.append(drill("a"))
    assert set(log.latest()) == {"a"}


def test_drills_side_by_side_do_not_mix(tmp_path: Path) -> None:
    """Sixteen at a time, with long timelines."""
    file = str(tmp_path / "drills.jsonl")
    lines = tuple(Line(after_s=float(n), who="x", text="y" * 100) for n in range(200))

    def write(number: int) -> None:
        DrillLog(file).append(msgspec.structs.replace(drill(f"p{number}"), timeline=lines))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(64)))
    assert len(DrillLog(file).latest()) == 64


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Also one that is a file, or may not be written."""
    with pytest.raises(JournalError, match="could not be kept"):
        DrillLog(str(tmp_path / "none" / "drills.jsonl")).append(drill("a"))
    with pytest.raises(JournalError, match="cannot be read"):
        DrillLog(str(tmp_path)).latest()
