"""The page about playbooks: its files are checked, planned with, drilled and listed as printed."""

import re
from pathlib import Path

import pytest

from controlplane.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "playbooks.md").read_text()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page, in the working directory."""
    for name, text in re.findall(r"<!-- FILE: (.*?) -->\n```toml\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown() -> list[list[str]]:
    """The commands of the page, without the program's name."""
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()
    lines = [line for line in lines if line]
    return [[word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)][1:] for line in lines]


def test_every_command_of_the_page_does_what_the_page_says(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, each with status 0: checked, asked, rehearsed, listed as passed."""
    commands = shown()
    assert [command[0] for command in commands] == ["check", "plan", "drill", "playbooks"]
    said = {}
    for command in commands:
        assert main(command) == 0, command
        answer = capsys.readouterr()
        assert answer.err == ""
        said[command[0]] = answer.out
    assert "by playbook eu-1b-out" in said["plan"]
    assert "eu-1b-out passed in simulation" in said["drill"]
    assert re.search(r"eu-1b-out +shadow +shop-team +passed", said["playbooks"])
    assert (shop / "controlplane.drills.jsonl").exists()


def test_a_moved_endpoint_makes_the_rehearsal_old(shop: Path) -> None:
    """As the page says, with status 1."""
    assert main(["drill", "eu-1b-out", "--quiet"]) == 0
    assert main(["playbooks"]) == 0
    file = shop / "controlplane.toml"
    file.write_text(file.read_text().replace('"eu-1c"', '"eu-1d"'))
    assert main(["playbooks"]) == 1
