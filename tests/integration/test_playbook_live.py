"""Playbooks of a real process: asked without anything being done, used when a real backend fails, told by whom."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.process import DEADLINE_S, Served, World, load, wait_for

pytestmark = pytest.mark.integration

PLAYBOOKS = """
[owners.team]
ladder = "page"
[ladders.page]
rungs = [{ notify = ["log"] }]

[[playbooks]]
name = "bad-replica"
owner = "team"
enforce = true
match = { service = "orders", endpoint = "bad" }
preconditions = [{ need = "floor", endpoints = 1 }]
steps = [
    { do = "cap_retries", percent = 5 },
    { do = "by_hand", text = "look at the disk of bad" },
]
"""


def asked(world: World, served: Served, *words: str) -> tuple[int, Any]:
    """The exit status and the answer of a command that asks the running process."""
    command = [sys.executable, "-m", "controlplane", *words, "--live", "-o", "json"]
    where = ["--config", str(world.config), "--admin", str(served.admin.base_url)]
    done = subprocess.run([*command, *where], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_process_is_asked_drilled_and_then_does_what_it_said(world: World) -> None:
    """What was foreseen is what happens when a backend really fails, and nothing happened before it did."""
    world.config.write_text(world.config.read_text() + PLAYBOOKS)
    served = world.serve()
    with load(str(served.gateway.base_url)):
        wait_for("traffic", lambda: world.bad.requests > 20 and world.good.requests > 20)
        status, told = asked(world, served, "plan", "--what-if", "orders bad fails")
        assert status == 0
        assert told["playbooks"][0]["name"] == "bad-replica"
        assert [one["by"] for one in told["orders"] if one["what"].startswith("capretries")] == ["playbook bad-replica"]
        status, drilled = asked(world, served, "drill", "bad-replica")
        assert (status, drilled["failed"], drilled["how"]) == (0, [], "live")
        assert served.admin.get("/v1/status").json()["commands_total"] == 0
        status, listed = asked(world, served, "playbooks")
        assert status == 0
        assert listed["playbooks"][0]["rehearsed"] == "passed"
        world.bad.failing = True
        one = wait_for("an incident", lambda: served.admin.get("/v1/incidents").json()["incidents"])[0]
        path = f"/v1/incidents/{one['id']}/explain"
        said = wait_for(
            "the explanation",
            lambda: next(
                (line for line in served.admin.get(path).json()["explanation"] if line.startswith("Playbook")), ""
            ),
        )
        assert said == "Playbook bad-replica (owner: team): step 1 was ordered, step 2 was left to people."
    assert (Path(world.folder) / "controlplane.drills.jsonl").exists()
