"""One detector in memory that several processes map: no result is lost, and a verdict is told once."""

import mmap
import subprocess
import sys
from pathlib import Path

from controlplane._native.detector import FAILING, Detector

ROOT = Path(__file__).parents[2]
WORKERS, CALLS = 4, 3_900  # together less than what is remembered: nothing is forgotten on the way
OBSERVER = """
import mmap, sys
from controlplane._native.detector import Detector

with open(sys.argv[1], "r+b") as file:
    detector = Detector(1, memory=memoryview(mmap.mmap(file.fileno(), 0)).cast("q"))
print("ready", flush=True)
for _ in sys.stdin:
    pass
failed = sys.argv[3] == "fail"
print(sum(detector.observe(0, failed, 1_000_000) > 0 for _ in range(int(sys.argv[2]))))
"""


def observed(path: Path, calls: int, what: str) -> list[int]:
    """How many verdicts each of the processes was told, all of them observing at once."""
    command = [sys.executable, "-c", OBSERVER, str(path), str(calls), what]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(WORKERS)
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in running:
        assert each.stdin is not None
        each.stdin.close()
    told = [int(each.stdout.read()) for each in running if each.stdout is not None]
    assert [each.wait(30) for each in running] == [0] * WORKERS
    return told


def test_processes_share_one_detector(tmp_path: Path) -> None:
    """Every healthy call of every process is learned or in the window; of failures, each verdict has one hearer."""
    path = tmp_path / "detector"
    path.write_bytes(bytes(-(-Detector.words(1) * 8 // mmap.PAGESIZE) * mmap.PAGESIZE))
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    detector = Detector(1, memory=memoryview(mapped).cast("q"))
    assert sum(observed(path, CALLS, "pass")) == 0
    state = detector.describe(0)
    assert state["learned_calls"] + state["window_calls"] == WORKERS * CALLS  # type: ignore[operator]
    detector.clear(0)
    assert sum(observed(path, 300, "fail")) == WORKERS * 300 // 3, "three failures in a row are a verdict"
    assert [detector.observe(0, True, -1) for _ in range(3)] == [0, 0, FAILING + 2]
