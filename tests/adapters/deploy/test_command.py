"""The command deployer, with real processes: no shell, a time-out, the last words kept, nobody left behind."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.deploy.command import CommandDeployer
from controlplane.adapters.deploy.text import filled, tail_of
from tests.adapters.deploy.orders import ROLL_BACK

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PATIENT_S = 60.0


def python(code: str, *words: str, timeout_s: float = PATIENT_S) -> CommandDeployer:
    return CommandDeployer([sys.executable, "-c", code, *words], timeout_s=timeout_s)


async def wait_file(path: Path) -> str:
    """What `path` holds, once it holds a line."""
    with anyio.fail_after(PATIENT_S):
        while True:
            with suppress(FileNotFoundError):
                text = path.read_text()
                if text.endswith("\n"):
                    return text.strip()
            await anyio.sleep(0.01)  # real time: another process writes it


async def wait_gone(pid: int) -> None:
    """Return when no process of that id runs any more; a zombie that nobody collects counts as gone."""
    with anyio.fail_after(PATIENT_S):
        while True:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return
            await anyio.sleep(0.01)  # real time: another process ends


async def test_words_are_filled_in_and_no_shell_reads_them() -> None:
    """What stands in a version is an argument, whatever it looks like."""
    code = "import sys, os; print(sys.argv[1:], os.environ['CONTROLPLANE_VERSION'])"
    deployer = python(code, "roll back {service}", "{version};$(touch x)", "{nobody}")
    ok, reason = await deployer.roll_back(ROLL_BACK)
    assert ok, reason
    assert reason == "exit status 0: ['roll back cart', 'v2;$(touch x)', '{nobody}'] v2"


async def test_what_fails_says_so_with_its_last_words() -> None:
    """The exit status, and the end of both outputs, without what a terminal would obey."""
    code = "import sys; print('first\\n' * 5000); print('\\x1b[31mno such revision'); sys.exit(3)"
    ok, reason = await python(code).roll_back(ROLL_BACK)
    assert not ok
    assert reason.startswith("exit status 3: first | ")
    assert reason.endswith("[31mno such revision")
    assert "\x1b" not in reason
    assert len(reason) < 600


async def test_a_command_that_is_not_there_fails() -> None:
    """An expected outcome, told with the name."""
    ok, reason = await CommandDeployer(["/nowhere/deploy"], timeout_s=PATIENT_S).roll_back(ROLL_BACK)
    assert (ok, reason) == (False, "/nowhere/deploy cannot be started: No such file or directory")


async def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Its group goes, also a child that ignores the polite signal."""
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child = f"import signal; {deaf}; print('up', flush=True); signal.pause()"
    path = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib, signal\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        f"pathlib.Path({str(path)!r}).write_text(f'{{child.pid}}\\n')\n"
        "print('half way', flush=True)\n"
        "signal.pause()\n"
    )
    ok, reason = await python(code, timeout_s=2.0).roll_back(ROLL_BACK)
    assert not ok
    assert reason.startswith("not done within 2 s, ended")
    if path.exists():  # a very busy machine may have ended it before it had a child
        await wait_gone(int(await wait_file(path)))


async def test_a_cancelled_roll_back_leaves_no_process_behind(tmp_path: Path) -> None:
    """As when the control plane stops: the command is ended before it goes."""
    path = tmp_path / "pid"
    code = f"import os, pathlib, signal; pathlib.Path({str(path)!r}).write_text(f'{{os.getpid()}}\\n'); signal.pause()"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(python(code).roll_back, ROLL_BACK)
        pid = int(await wait_file(path))
        assert os.getpgid(pid) == pid != os.getpgid(0)
        tasks.cancel_scope.cancel()
    await wait_gone(pid)


async def test_a_child_that_holds_the_output_open_delays_nothing() -> None:
    """The command has ended: what it left running in the background is its own."""
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE)\n"
        "print('done')\n"
    )
    ok, reason = await python(code).roll_back(ROLL_BACK)
    assert (ok, reason) == (True, "exit status 0: done")


def test_words_are_filled_in_once_and_foreign_braces_stay() -> None:
    """What is filled in is not read again."""
    fields = {"service": "{version}", "version": "v2"}
    assert filled("{service}-{version}-{x}-{", fields) == "{version}-v2-{x}-{"


def test_only_the_last_lines_are_told() -> None:
    """Five of them, of whatever encoding."""
    assert tail_of(b"\n".join(str(at).encode() for at in range(9)) + b"\n\xff\n") == "5 | 6 | 7 | 8 | \ufffd"
