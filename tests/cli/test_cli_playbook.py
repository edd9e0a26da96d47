"""`controlplane plan`, `drill`, `playbooks`: what is printed, what is kept, and with which exit status."""

import json
from pathlib import Path

import pytest

from controlplane.cli import main

CONFIG_TESTS = Path(__file__).parents[1] / "config"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a shop in the working directory, where it is found by itself."""
    file = tmp_path / "controlplane.toml"
    file.write_text("\n".join((CONFIG_TESTS / name).read_text() for name in ("shop.toml", "good.toml")))
    monkeypatch.chdir(tmp_path)
    return file


def test_plan_says_what_would_be_done_and_by_whom(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 where more than a trace of it would go on, 0 where nothing would."""
    assert main(["plan", "--what-if", "orders fails in b"]) == 1
    said = capsys.readouterr().out
    assert "failover 30 orders [c2], by playbook zone-b-out" in said
    assert "refused by healthy_floor" in said
    assert main(["plan", "--what-if", "orders orders-1 fails", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["still_failing"] == 0.0


def test_a_supposition_that_is_none_is_refused(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As wrong usage, with the grammar."""
    assert main(["plan", "--what-if", "orders explodes"]) == 2
    assert "SERVICE [ENDPOINT] fails" in capsys.readouterr().err


def test_a_drill_is_kept_and_listed_until_the_topology_changes(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Passed; then an endpoint is gone, and the rehearsal says nothing any more; then the playbook is another one."""
    assert main(["playbooks"]) == 1
    for name in ("zone-b-out", "bad-release", "payments-down"):
        assert main(["drill", name, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["playbooks", "-o", "json"]) == 0
    assert {one["rehearsed"] for one in json.loads(capsys.readouterr().out)["playbooks"]} == {"passed"}
    text = shop.read_text()
    shop.write_text(text.replace("127.0.0.1:9001", "127.0.0.1:9101"))
    assert main(["playbooks"]) == 0, "another port is no other topology"
    shop.write_text(text.replace('name = "orders-1"', 'name = "orders-9"'))
    capsys.readouterr()
    assert main(["playbooks"]) == 1
    assert "zone-b-out: the topology changed since it was rehearsed" in capsys.readouterr().out
    shop.write_text(text.replace("percent = 30", "percent = 20"))
    assert main(["playbooks"]) == 1
    assert "zone-b-out: the playbook changed since it was rehearsed" in capsys.readouterr().out


def test_a_drill_that_does_not_pass_is_kept_as_such(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1, the reason printed and listed."""
    shop.write_text(shop.read_text().replace("percent = 30", "percent = 100"))
    assert main(["drill", "zone-b-out"]) == 1
    assert "was refused: destination_capacity" in capsys.readouterr().out
    assert main(["playbooks"]) == 1
    assert "its last drill did not pass: step 1" in capsys.readouterr().out


def test_a_playbook_that_is_not_there_is_named_with_those_that_are(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage."""
    assert main(["drill", "zone-c-out"]) == 2
    assert "there are: zone-b-out, bad-release, payments-down" in capsys.readouterr().err
