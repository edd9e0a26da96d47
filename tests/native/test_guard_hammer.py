"""Threads without an interpreter's lock hammer one guard: nothing is lost, and no limit is exceeded."""

import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "_native"
CC = shlex.split(sysconfig.get_config_var("CC") or "cc")
FLAGS = {
    "optimised": ["-O3"],
    "sanitized": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}


@pytest.mark.parametrize(
    ("flags", "seats", "threads", "calls"),
    [("optimised", 1, 4, 50_000), ("optimised", 4, 2, 100_000), ("sanitized", 4, 2, 20_000)],
)
def test_a_hammered_guard_adds_up(tmp_path: Path, flags: str, seats: int, threads: int, calls: int) -> None:
    """Every admission ends once, nothing stays in flight, no probe slot is lost, the limit holds at every instant."""
    binary = tmp_path / "hammer"
    command = [
        *CC,
        *FLAGS[flags],
        "-pthread",
        f"-I{NATIVE}",
        "-xc",
        str(HERE / "guard_hammer.h"),
        "-o",
        str(binary),
        "-lm",
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if flags == "sanitized" and built.returncode and "asan" in built.stderr:
        pytest.skip("this compiler came without sanitizers")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run(
        [str(binary), str(seats), str(threads), str(calls)], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.stdout.startswith("ok "), ran.stdout + ran.stderr
