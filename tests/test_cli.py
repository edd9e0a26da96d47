"""The command line: quick to answer, exact about what is wrong, harmless to the terminal it writes on."""

import argparse
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from controlplane import __version__
from controlplane.cli import main
from controlplane.cli.client import printable
from controlplane.cli.listen import bind, url
from controlplane.cli.parse_standing import seconds
from controlplane.model.errors import ConfigError

GOOD = (
    '[plane]\nname = "shop"\n[[services]]\nname = "orders"\nendpoints = [{ name = "a", url = "http://127.0.0.1:1" }]\n'
)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    return path


def test_check_says_what_a_good_file_holds(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0 and a summary, for people and for programs."""
    assert main(["check", str(good)]) == 0
    assert "good" in capsys.readouterr().out
    assert main(["check", str(good), "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["problems"], said["services"], said["edges"]) == (True, [], 1, 1)


def test_check_says_everything_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1 and one line per problem: file, key, value, what would be right."""
    path = tmp_path / "bad.toml"
    path.write_text("[plane]\nmode = 'x'\n[admin]\nlisten = 'y'\n")
    assert main(["check", str(path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{path}: plane.mode: 'x' is not one of 'enforce', 'observe'"
    assert lines[1].startswith(f"{path}: admin.listen: 'y' needs a port")
    assert lines[2].startswith("2 problems")
    assert main(["check", str(path), "-o", "json"]) == 1
    assert [one["key"] for one in json.loads(capsys.readouterr().out)["problems"]] == ["plane.mode", "admin.listen"]


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, one line."""
    assert main(["check", str(tmp_path / "no.toml")]) == 2
    assert capsys.readouterr().err == f"controlplane: {tmp_path / 'no.toml'}: is not a file\n"


@pytest.mark.parametrize("command", ["status", "incidents", "freeze", "resume", "observe", "enforce"])
def test_asking_nobody_is_one_clear_line(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, the address and a hint; a missing or unsafe token file is named."""
    token = tmp_path / "token"
    with bind("127.0.0.1:0", "test") as bound:  # bound and not listening: nobody answers there
        arguments = [command, "--admin", url(bound), "--token-file", str(token)]
        assert main(arguments) == 2
        assert str(token) in capsys.readouterr().err
        token.write_text("x" * 40)
        token.chmod(0o644)
        assert main(arguments) == 2
        assert "chmod 600" in capsys.readouterr().err
        token.chmod(0o600)
        assert main(arguments) == 2
        said = capsys.readouterr().err
    assert "no answer from http://127.0.0.1:" in said
    assert "is it running?" in said


@pytest.mark.parametrize("address", ["http://[::1", "127.0.0.1:x", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused_by_name(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 and one line that names --admin, whatever the parser of URLs makes of it."""
    assert main(["status", "--admin", address]) == 2
    said = capsys.readouterr().err
    assert said.startswith("controlplane: --admin: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sreve"],
        ["check"],
        ["serve"],
        ["explain"],
        ["report"],
        ["check", "x", "-o", "xml"],
        ["hold"],
        ["hold", "orders", "--for", "soon"],
        ["override", "freeze", "--target", "orders", "--reason", "no time"],
        ["override", "freeze", "--target", "orders", "--for", "10m"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own status and message."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: controlplane" in capsys.readouterr().err


ORDERS = ("freeze", "resume", "observe", "enforce", "hold", "release", "override", "revoke")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "serve",
        "check",
        "demo",
        "bench",
        "status",
        "incidents",
        "explain",
        "report",
        "rules",
        "shadow",
        "proxies",
        "script",
        *ORDERS,
    ],
)
def test_help_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every help page ends in commands that can be typed as they are."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "examples:\n" in said
    assert f"controlplane {command}".strip() in said.partition("examples:")[2]


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("1d", 86_400)]
)
def test_times_are_written_as_people_write_them(text: str, value: float) -> None:
    """A number with its unit, seconds without one."""
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-5m", "1e9s", "nan", "inf", "30 m", "30min", "1.2.3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With what would be right."""
    with pytest.raises(argparse.ArgumentTypeError, match="90s, 30m, 2h or 1d"):
        seconds(text)


def test_check_lists_what_is_in_shadow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """New kinds of acts until a person lets them work, kinds and guards that act in part, and all in observe mode."""
    path = tmp_path / "shadow.toml"
    path.write_text(
        "[response]\nenforcement = { shed = 100, eject = 50, fail_over = 100, tighten = 100, roll_back = 100 }\n"
        "[policies.new]\nenforced_percent = 20\n"
    )
    assert main(["check", str(path), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["shadow"]
    assert told == "reroute, close, harden; eject but for 50 % of calls; policy new but for 20 % of calls"
    path.write_text("[plane]\nmode = 'observe'\n")
    assert main(["check", str(path), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["shadow"]
    assert told == "eject, isolate, limit, reroute, fail_over, cap_retries, shed, tighten, roll_back, close, harden"
    path.write_text("[response]\nenforcement = { limit = 30 }\n")
    assert main(["check", str(path)]) == 1
    assert "response.enforcement.limit: 30: such an act applies to all calls or to none" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """One version, told by the package and by the command."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"controlplane {__version__}\n"
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert pyproject["project"]["version"] == __version__


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    """Control characters become visible replacements."""
    assert printable("\x1b[2Jdone\n\u202e") == "\ufffd[2Jdone\ufffd\ufffd"


@pytest.mark.parametrize(("listen", "begins"), [("127.0.0.1:0", "http://127.0.0.1:"), ("[::1]:0", "http://[::1]:")])
def test_a_free_port_is_told(listen: str, begins: str) -> None:
    """Port 0 becomes the number that was chosen, in a form that can be pasted."""
    try:
        bound = bind(listen, "test")
    except ConfigError:
        pytest.skip("this machine has no IPv6 loopback")
    with bound:
        assert url(bound).startswith(begins)
        assert not url(bound).endswith(":0")


HEAVY = ("numpy", "httpx", "anyio", "starlette", "uvicorn", "trio", "asyncio", "sqlite3")


@pytest.mark.alone
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["check", "FILE"], ["demo", "--help"], ["bench", "--help"]]
)
def test_quick_commands_import_little_and_answer_at_once(good: Path, arguments: list[str]) -> None:
    """None of the heavy libraries is loaded; the whole process takes a fraction of a second."""
    arguments = [str(good) if argument == "FILE" else argument for argument in arguments]
    code = f"""
import sys
sys.argv = ["controlplane", *{arguments!r}]
from controlplane.cli import main
try:
    main()
finally:
    print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    took = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        took.append(time.monotonic() - began)
        assert (done.returncode, done.stderr) == (0, "[]\n")
    assert min(took) < 1.0  # 0.03 to 0.1 s here; the margin is for a machine that is busy with other tests
