"""Threads without an interpreter's lock, as on a free-threaded build, record into one histogram and take from it."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CC = shlex.split(sysconfig.get_config_var("CC") or "cc")
FLAGS = {
    "optimised": ["-O3"],
    "undefined": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "races": ["-O1", "-g", "-fsanitize=thread"],
}


@pytest.mark.parametrize(("flags", "calls"), [("optimised", 1_000_000), ("undefined", 100_000), ("races", 20_000)])
def test_no_count_is_lost_and_none_is_doubled(tmp_path: Path, flags: str, calls: int) -> None:
    """Three record, two take all the while, and the sanitizers see neither a race nor undefined behaviour."""
    source, binary = HERE / "recorder_hammer.h", tmp_path / "hammer"
    include = f"-I{HERE.parents[1] / '_native'}"
    command = [*CC, *FLAGS[flags], "-pthread", include, "-x", "c", str(source), "-o", str(binary)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode and ("asan" in built.stderr or "tsan" in built.stderr):
        pytest.skip("this compiler came without sanitizers")
    assert built.returncode == 0, built.stderr
    alone = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # `make sanitize` has one
    ran = subprocess.run([binary, str(calls)], capture_output=True, text=True, check=False, timeout=100, env=alone)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("this kernel's address layout is too random for the thread sanitizer")
    assert ran.stdout.startswith("ok "), ran.stdout + ran.stderr
    assert ran.returncode == 0, ran.stderr
