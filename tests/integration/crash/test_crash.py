"""kill -9 at every point between decision, journal, act, acknowledgement and notice: nothing lost, nothing twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.cli import main
from tests.integration.crash.evidence import check_always, check_finished, left_in
from tests.integration.crash.life import FINISHED, POINTS, Birth, born

ROOT = Path(__file__).parent.parent.parent.parent
PASSAGES_MAX = 4  # of each point: the first two, the middle one, the last one
LIVES_MAX = 4


class Nursery:
    """The process that forks lives."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.integration.crash.life"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def live(self, birth: Birth) -> bool:
        """Whether that life was killed; False: it came to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(born(birth))
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.WEXITSTATUS(status) == 0, "a life ended with an error; it is on standard error"
        return False

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.end()


@pytest.fixture(scope="module")
def passages(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How often a life that nobody disturbs passes each point."""
    directory = tmp_path_factory.mktemp("undisturbed")
    assert not nursery.live(Birth(str(directory)))
    check_finished(left_in(directory))
    passed: dict[str, int] = json.loads((directory / FINISHED).read_text())
    return passed


def run(nursery: Nursery, directory: Path, *kills: tuple[str, int]) -> int:
    """Live until the story is told, killed once at each of `kills`; the answer is how many of them happened.

    Every file is looked at after every death, and at the end.
    """
    killed = 0
    for point, passage in (*kills, *[("", 0)] * LIVES_MAX):
        killed += nursery.live(Birth(str(directory), point, passage))
        left = left_in(directory)
        check_always(left)
        if (directory / FINISHED).exists():
            check_finished(left)
            assert main(["replay", str(directory / "journal.db")]) == 0
            return killed
    raise AssertionError("the story is never told")


def chosen(count: int) -> list[int]:
    """Passages of a point that is passed `count` times."""
    return sorted({1, min(2, count), (count + 1) // 2, count})[:PASSAGES_MAX]


def test_an_undisturbed_life_passes_every_point(passages: dict[str, int]) -> None:
    """A point that nobody reaches would test nothing."""
    assert sorted(passages) == sorted(POINTS)
    assert passages["between acts"] >= 2


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(point: str, nursery: Nursery, passages: dict[str, int], tmp_path: Path) -> None:
    """Killed there, early and late in the story: the next life finishes what was begun."""
    killed = 0
    for passage in chosen(passages[point]):
        directory = tmp_path / str(passage)
        directory.mkdir()
        killed += run(nursery, directory, (point, passage))
    assert killed >= len(chosen(passages[point])) - 1  # two tasks may make the last passage one fewer


@pytest.mark.parametrize("point", POINTS)
def test_killed_again_at_restart(point: str, nursery: Nursery, passages: dict[str, int], tmp_path: Path) -> None:
    """Killed in the middle of several acts, and again at the first passages of this point in the life after, twice."""
    middle = ("between acts", max(1, passages["between acts"] // 3))
    for passage in (1, 2):
        directory = tmp_path / str(passage)
        directory.mkdir()
        assert run(nursery, directory, middle, (point, passage), (point, passage)) == 3
