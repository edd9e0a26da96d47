"""Real receivers fail, stall, refuse and come back, we are killed in between, and nobody is forgotten."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.adapters.stores.reader import read_records
from controlplane.cli import main
from controlplane.model.record import NoticeDelivered, NoticeIssued
from tests.adapters.notify.receiver import Receiver
from tests.integration.debian import command as started
from tests.integration.process import Served, World, load, wait_for

pytestmark = pytest.mark.integration

QUICK = "penalty_s = 1\nramp_percent = [50]\nramp_step_s = 0.2\nramp_calls_min = 2\nverify_s = 0.5"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """Somebody who is told."""
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Somebody else."""
    one = Receiver()
    yield one
    one.close()


def write(world: World, people: str, response: str = QUICK) -> None:
    """The world's configuration, and in it who is told."""
    config = world.write(response)
    config.write_text(config.read_text() + people)


def webhook(name: str, receiver: Receiver, more: str = "") -> str:
    return f'\n[notifiers.{name}]\nkind = "webhook"\nurl = "{receiver.url}"\ngroup_wait_s = 0\n{more}\n'


def ids(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def issued(world: World) -> dict[str, str]:
    """Texts of all notices on record, by id."""
    records = read_records(world.folder / "controlplane.db", lambda text: '"notice_issued"' in text)
    return {record.notice.id: record.notice.text for record in records if isinstance(record, NoticeIssued)}


def delivered(world: World, by: str) -> list[str]:
    records = read_records(world.folder / "controlplane.db", lambda text: '"notice_delivered"' in text)
    return [record.key for record in records if isinstance(record, NoticeDelivered) and record.by == by and record.ok]


def broken(served: Served, world: World) -> str:
    """Break a backend until it is contained; the incident."""
    world.bad.failing = True
    with load(served.gateway_url):
        wait_for("an order in force", lambda: served.get("/v1/commands")["commands"])
        found: list[dict[str, Any]] = wait_for("an incident", lambda: served.get("/v1/incidents")["incidents"])
    return str(found[0]["id"])


def healed(served: Served, world: World, incident: str) -> None:
    """Mend it, and wait until the incident is over."""
    world.bad.failing = False
    with load(served.gateway_url, clients=4):
        path = f"/v1/incidents/{incident}"
        wait_for("the end of the incident", lambda: served.get(path)["phase"] == "closed", deadline_s=40)


def test_kill_9_between_decision_and_delivery_loses_no_notice(world: World, hook: Receiver, other: Receiver) -> None:
    """One receiver stalls, the other listens. Killed and started again, the first hears of everything, under the same
    ids; the second is not told again what it had."""
    write(world, webhook("stalls", hook) + webhook("listens", other))
    hook.stall()
    first = world.serve()
    broken(first, world)
    wait_for("a notice on its way", lambda: hook.requests)
    wait_for("what the other has is on record", lambda: len(delivered(world, "listens")) >= 2)
    before = issued(world)
    assert delivered(world, "stalls") == []
    had = delivered(world, "listens")
    first.kill()

    asked, again = set(ids(hook)), len(other.requests)
    hook.resume()
    hook.requests.clear()
    second = world.serve()
    wait_for("everything of before", lambda: set(before) <= set(ids(hook)))
    assert asked <= set(ids(hook))  # what was under way then came again, under its own id
    wait_for("on record", lambda: len(delivered(world, "stalls")) >= len(before))
    told_again = [key for name, key in Counter(ids(other)[again:]).items() if name in before and before[name] in had]
    assert told_again == []
    second.kill()


def test_receivers_that_fail_refuse_and_come_back_hear_of_everything(
    world: World, hook: Receiver, other: Receiver
) -> None:
    """503, 429 with Retry-After, no answer at all: each notice arrives, late ones under their first id."""
    busy = (429, {"retry-after": "1"}, b"slow down")
    hook.answers = [(503, {}, b""), (0, {}, b""), (500, {}, b""), busy]
    other.usual = (400, {}, b"no such hook")
    write(world, webhook("flaky", hook) + webhook("refuses", other))
    served = world.serve()
    incident = broken(served, world)
    healed(served, world, incident)
    everything = wait_for("the last notice on record", lambda: (one := issued(world)) and "closed" in str(one) and one)
    wait_for("everything", lambda: set(everything) <= set(ids(hook)), deadline_s=40)
    assert Counter(ids(hook)).most_common(1)[0][1] >= 2

    people = served.get(f"/v1/incidents/{incident}")["people"]
    first = people["told"][0]
    had = {one["by"]: one for one in first["delivered"]}
    assert had["flaky"]["ok"]
    assert had["refuses"] | {"after_s": 0} == {
        "by": "refuses",
        "after_s": 0,
        "ok": False,
        "reason": "refuses: 127.0.0.1 answers 400: no such hook",
    }
    said = served.get(f"/v1/incidents/{incident}/explain")["explanation"]
    assert any(line.startswith("Told: ") and "flaky" in line for line in said)
    assert "Not reached: refuses: 127.0.0.1 answers 400: no such hook." in said
    report = served.get(f"/v1/incidents/{incident}/report")["report"]
    assert "## People" in report


def test_a_ladder_is_climbed_until_somebody_acknowledges(
    world: World, hook: Receiver, other: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second rung is called when its time has come; whoever types the command stops it there, for good."""
    ladder = """
[owners.team]
ladder = "shop"
[[ladders.shop.rungs]]
notify = ["chat"]
[[ladders.shop.rungs]]
notify = ["pager"]
after_s = 1
[[ladders.shop.rungs]]
notify = ["lead"]
after_s = 2
"""
    write(world, webhook("chat", hook) + webhook("pager", other) + webhook("lead", other) + ladder, "penalty_s = 60")
    world.config.write_text(world.config.read_text().replace('name = "orders"\n', 'name = "orders"\nowner = "team"\n'))
    served = world.serve()
    incident = broken(served, world)
    wait_for("the first rung is told", lambda: hook.requests)
    assert other.requests == []
    wait_for("the second rung is told", lambda: other.requests)
    assert other.requests[0].json["type"] == "dev.controlplane.notice.rung"
    asking = ["--admin", served.admin_url, "--token-file", str(world.folder / "controlplane.token")]
    assert main(["acknowledge", incident, "--by", "alice", "--reason", "mine", *asking]) == 0
    assert f"{incident} is alice's: orders/bad; ladder shop stops at rung 2" in capsys.readouterr().out
    people = served.get(f"/v1/incidents/{incident}")["people"]
    assert (people["ladder"], people["rung"], people["called"]) == ("shop", 2, ["chat", "pager"])
    assert (people["acknowledged_by"], people["next_s"]) == ("alice", None)
    path = f"/v1/incidents/{incident}/acknowledge"
    assert served.admin.post("/v1/incidents/i99/acknowledge", json={"by": "bob"}).status_code == 404
    assert served.admin.post(path, json={"by": " "}).status_code == 400
    time.sleep(2.5)  # real time: longer than the third rung's
    assert served.get(f"/v1/incidents/{incident}")["people"]["rung"] == 2
    world.bad.failing = False


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """A real one, on a port of the system's choice; its URL."""
    folder.mkdir()
    (folder / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    command = [*started("prometheus-alertmanager"), "--config.file=alertmanager.yml", "--storage.path=data"]
    command += ["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]
    said = (folder / "said").open("w+")
    with said, subprocess.Popen(command, cwd=folder, stderr=said, stdout=said) as process:
        try:
            pattern = re.compile(r'msg="Listening on" address=(\S+)')
            found = wait_for("its address", lambda: pattern.search((folder / "said").read_text()))
            yield f"http://{found[1]}"
        finally:
            process.terminate()
            process.wait(20)


def test_a_real_alertmanager_has_an_alert_as_long_as_the_incident_lasts(world: World) -> None:
    """It appears when the incident opens, outlives its own end by being said again, also by another process, and is
    gone when the incident closes. Until Alertmanager is there at all, we try."""
    with alertmanager(world.folder / "alertmanager") as url:

        def alerts() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").json()
            return found

        write(world, f'\n[notifiers.alerts]\nkind = "alertmanager"\nurl = "{url}"\nrepeat_s = 1\ngroup_wait_s = 0\n')
        served = world.serve()
        incident = broken(served, world)
        alert = wait_for("the alert", alerts)[0]
        assert alert["status"]["state"] == "active"
        assert alert["labels"] | {"incident": ""} == {
            "alertname": "ControlplaneIncident",
            "controlplane": "gateway",
            "incident": "",
            "service": "orders",
            "severity": alert["labels"]["severity"],
        }
        assert "orders/bad" in alert["annotations"]["summary"]
        wait_for("it is on record", lambda: len(delivered(world, "alerts")) >= 2)
        served.kill()
        second = world.serve()
        ends = alert["endsAt"]
        again = wait_for("said again", lambda: next((one for one in alerts() if one["endsAt"] > ends), None))
        assert again["labels"]["incident"] == alert["labels"]["incident"]  # the same alert, by another process
        time.sleep(4.2)  # real time: it would have ended by now, had nobody said it again
        assert alerts()
        healed(second, world, incident)
        wait_for("the alert is gone", lambda: not alerts())


def test_a_test_notice_says_what_came_back(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command, a notice, and the receiver's own words; a name that is not there is told what is."""
    write(world, webhook("chat", hook, 'token_env = "CHAT_SECRET"'))
    monkeypatch.setenv("CHAT_SECRET", "0123456789abcdef")

    def run(name: str = "chat") -> tuple[int, str]:
        status = main(["notify", "test", name, "--config", str(world.config)])
        said = capsys.readouterr()
        return status, said.out + said.err

    assert run() == (0, "chat (webhook): opened: 127.0.0.1 answered 200: ok\n")
    assert "webhook-signature" in hook.requests[0].headers
    hook.usual = (403, {}, b"who are you")
    refused = "chat (webhook): NOT taken: 127.0.0.1 answers 403: who are you (it would not be tried again)\n"
    assert run() == (1, refused)
    status, said = run("chart")
    assert status == 2
    assert "'chart' is not a declared notifier, did you mean 'chat'?; declared: chat" in said
    monkeypatch.delenv("CHAT_SECRET")
    status, said = run()
    assert status == 2
    assert "notifiers.chat.token_env: the environment variable CHAT_SECRET is not set, or empty" in said
