"""`controlplane explain` and `report` with `--journal`: a file is enough, and nothing in it steers a terminal."""

import json
import re
import sqlite3
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.cli import main
from controlplane.decide.review.report import report
from tests.decide.review.cases import case_of, records_of


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """The journal of a scenario with three incidents, and of one that tells much."""
    path = tmp_path / "controlplane.journal"

    async def write() -> None:
        store = SqliteJournal(path)
        await store.append(records_of("reviewed-afterwards"))
        await store.aclose()

    anyio.run(write)
    return str(path)


def test_a_person_reads_sentences_and_a_timeline(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Seen, taken for, done, refused, saved, waited for; then every line with its second."""
    assert main(["explain", "i1", "--journal", journal]) == 0
    said = capsys.readouterr().out
    for part in (
        "i1: cart is closed",
        "How surely: ",
        "Done: eject cart/cart-1",
        "Refused by freeze: ",
        "Saved: Estimated: ",
    ):
        assert part in said
    assert re.search(r"^ +28\.750  closed: every containment is verified$", said, re.MULTILINE)


def test_a_program_reads_the_admin_api_s_answer(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its keys, and times of both clocks."""
    assert main(["explain", "i1", "--journal", journal, "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"id", "explanation", "timeline"}
    assert answer["timeline"][0] == {
        "at": "2023-11-14T22:14:20.500Z", "after_s": 0.0, "what": "detected: cart/cart-1 errors: 5 of 5 calls failed",
    }  # fmt: skip


def test_the_report_is_printed_or_written_with_its_picture_beside_it(
    journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same text either way, but for the picture it shows."""
    assert main(["report", "i1", "--journal", journal]) == 0
    assert capsys.readouterr().out == report(case_of("reviewed-afterwards"))
    file = tmp_path / "a review.md"
    assert main(["report", "i1", "--journal", journal, "-o", str(file), "--plot"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text() == report(case_of("reviewed-afterwards"), picture="a%20review.svg")
    assert (tmp_path / "a review.svg").read_text().startswith("<svg ")


def test_a_journal_is_read_beside_its_owner(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The lock is the writer's alone; what it has appended a moment ago is read from its log."""

    async def beside() -> None:
        owner = SqliteJournal(journal)
        await owner.append(records_of("one-bad-replica")[1:2])
        assert main(["explain", "i1", "--journal", journal]) == 0
        await owner.aclose()

    anyio.run(beside)
    assert "i1: " in capsys.readouterr().out


def test_who_asks_for_nobody_is_told_who_there_is(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, one line, and what would be right."""
    assert main(["report", "i\x1b[31m9", "--journal", journal]) == 2
    assert capsys.readouterr().err.endswith(
        'INCIDENT: has no incident "i\N{REPLACEMENT CHARACTER}[31m9"; the newest of 1: i1\n'
    )


@pytest.mark.parametrize("content", [None, b"", b"not a database", b"SQLite format 3\x00 but no more"])
def test_a_file_that_is_no_journal_is_named(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and nothing is created."""
    path = tmp_path / "some.journal"
    if content is not None:
        path.write_bytes(content)
    assert main(["explain", "i1", "--journal", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
    assert path.exists() is (content is not None)


def test_a_record_that_nobody_understands_is_named(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By its number: a damaged journal tells no half story."""
    with sqlite3.connect(journal) as connection:
        connection.execute('UPDATE records SET record = \'{"incident":"i1"}\' WHERE number = 3')
    assert main(["explain", "i1", "--journal", journal]) == 2
    assert "record 3 cannot be read" in capsys.readouterr().err


def test_a_picture_needs_a_file_beside_which_it_lies(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, the option and what would be right."""
    assert main(["report", "i1", "--journal", journal, "--plot"]) == 2
    assert "--plot: needs -o FILE.md" in capsys.readouterr().err


def test_what_cannot_be_written_is_said(journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and the reason."""
    assert main(["report", "i1", "--journal", journal, "-o", str(tmp_path / "no" / "i1.md")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
