"""Four processes hammer one limit in one mapped file; two of them are killed in the middle."""

import subprocess
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane._native.limiter import KeyedRateLimiter, RateLimiter
from tests.integration import limiting
from tests.integration.limiting import BURST, INTERVAL_NS
from tests.integration.process import wait_for

ROOT = Path(__file__).parent.parent.parent
SECOND = 1_000_000_000


@contextmanager
def hammering(
    folder: Path, *, seconds: float, slots: int = 0, keys: int = 1
) -> Iterator[tuple[list["subprocess.Popen[bytes]"], list[Path]]]:
    """Four processes, and where they note what was admitted; none outlives the block."""
    words = KeyedRateLimiter.words(slots) if slots else RateLimiter.words()
    memory = folder / "words"
    memory.write_bytes(bytes(8 * words))
    limiting.attach(memory, slots)  # laid out by one, as the arena sees to
    notes = [folder / f"notes-{index}" for index in range(4)]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.integration.limiting",
                str(memory),
                str(note),
                str(seconds),
                str(slots),
                str(keys),
            ],
            cwd=ROOT,
        )
        for note in notes
    ]
    try:
        yield processes, notes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def rows(notes: list[Path]) -> dict[int, list[tuple[int, int]]]:
    """Of every key the times (before, after) of the admissions."""
    found = defaultdict(list)
    for note in notes:
        data = note.read_bytes()
        words = array("q", data[: len(data) // 24 * 24])
        for k in range(0, len(words), 3):
            found[words[k + 2]].append((words[k], words[k + 1]))
    return found


def excess(admissions: list[tuple[int, int]], burst: int) -> int:
    """By how many calls the fullest window exceeds its promise; 0 or less when it is kept everywhere.

    A call's own time lies between `before` and `after`: the calls i to j, by `before`, were surely made in the window
    from the first `before` to the last `after`.
    """
    spans = sorted(admissions)
    worst = -burst
    for i, (start, _) in enumerate(spans):
        end = 0
        for count, (_, after) in enumerate(spans[i : i + 300], 1):
            end = max(end, after)
            worst = max(worst, count - burst - (end - start) // INTERVAL_NS)
    return worst


@pytest.mark.alone
@pytest.mark.integration
def test_four_processes_share_one_exact_limit(tmp_path: Path) -> None:
    """A thousand a second and the burst, of which two killed in the middle take nothing with them."""
    with hammering(tmp_path, seconds=2.0) as (processes, notes):
        wait_for("two of them at work", lambda: all(note.exists() and note.stat().st_size for note in notes[:2]))
        for process in processes[:2]:
            process.kill()
        for process in processes[2:]:
            assert process.wait(60) == 0
    admitted = rows(notes)[0]
    assert excess(admitted, BURST) <= 0
    taken_s = (max(after for _, after in admitted) - min(before for before, _ in admitted)) / SECOND
    assert 0.9 * 1_000 * taken_s <= len(admitted) <= 1_000 * taken_s + BURST + 1


@pytest.mark.integration
def test_four_processes_share_the_limit_of_every_key(tmp_path: Path) -> None:
    """Forty keys crowd into a table of sixteen slots, which they claim and lose all the time: no key ever has two.

    With a burst of one, so that a key owes nothing as soon as it may call again."""
    with hammering(tmp_path, seconds=2.0, slots=16, keys=40) as (processes, notes):
        wait_for("two of them at work", lambda: all(note.exists() and note.stat().st_size for note in notes[:2]))
        for process in processes[:2]:
            process.kill()
        for process in processes[2:]:
            assert process.wait(60) == 0
    admitted = rows(notes)
    assert len(admitted) == 40
    assert [key for key, spans in admitted.items() if excess(spans, 1) > 0] == []
    limiter = limiting.attach(tmp_path / "words", 16)
    assert isinstance(limiter, KeyedRateLimiter)
    wait_for("every slot lapsed", lambda: limiter.statistics()["live"] == 0)
    assert limiter.try_acquire(0)
