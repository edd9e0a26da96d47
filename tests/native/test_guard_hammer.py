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


def built(folder: Path, source: str, flags: str) -> str:
    """The C program, compiled."""
    binary = folder / "program"
    command = [*CC, *FLAGS[flags], "-pthread", f"-I{NATIVE}", "-xc", str(HERE / source), "-o", str(binary), "-lm"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if flags == "sanitized" and made.returncode and "asan" in made.stderr:
        pytest.skip("this compiler came without sanitizers")
    assert made.returncode == 0, made.stderr
    return str(binary)


@pytest.mark.parametrize(
    ("flags", "seats", "threads", "calls"),
    [("optimised", 1, 4, 50_000), ("optimised", 4, 2, 100_000), ("sanitized", 4, 2, 20_000)],
)
def test_a_hammered_guard_adds_up(tmp_path: Path, flags: str, seats: int, threads: int, calls: int) -> None:
    """Every admission ends once, nothing stays in flight, no probe slot is lost, the limit holds at every instant."""
    binary = built(tmp_path, "guard_hammer.h", flags)
    ran = subprocess.run(
        [binary, str(seats), str(threads), str(calls)], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.stdout.startswith("ok "), ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("flags", "seats", "threads", "calls"),
    [("optimised", 4, 1, 50_000), ("optimised", 2, 4, 50_000), ("sanitized", 4, 2, 10_000)],
)
def test_hammered_side_orders_are_kept(tmp_path: Path, flags: str, seats: int, threads: int, calls: int) -> None:
    """So many are shed, retries stay within the cap, and of changes to different fields of a policy none is lost."""
    ran = subprocess.run(
        [built(tmp_path, "sides_hammer.h", flags), str(seats), str(threads), str(calls)],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert ran.stdout.startswith("ok "), ran.stdout + ran.stderr


@pytest.mark.parametrize("flags", FLAGS)
def test_what_another_process_changes_in_between_is_seen(tmp_path: Path, flags: str) -> None:
    """Else a worker would go on calling an endpoint that is out, or undo a change of a policy that was not its own."""
    ran = subprocess.run(
        [built(tmp_path, "torn_table.h", flags)], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.stdout == "ok\n", ran.stdout + ran.stderr
