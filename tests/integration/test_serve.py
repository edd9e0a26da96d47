"""`controlplane serve` as its operators meet it: start, refusals at the start, stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.integration.process import DEADLINE_S, World, load, wait_for

pytestmark = pytest.mark.integration


def refused(config: Path, *arguments: str) -> str:
    """What a `serve` that does not start says; it must end with status 2, and without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "controlplane", "serve", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_it_serves_and_stops(world: World, loop: str) -> None:
    """It prints where it listens and where the token is, never the token; SIGTERM ends it with status 0."""
    served = world.serve("--loop", loop)
    assert served.gateway.get("/orders/1").text == "ok"
    assert served.gateway.get("/unknown").status_code == 404
    assert served.admin.get("/readyz").status_code == 200
    token = (world.folder / "controlplane.token").read_text().strip()
    assert (world.folder / "controlplane.token").stat().st_mode & 0o777 == 0o600
    assert any(str(world.folder / "controlplane.token") in line for line in served.lines)
    served.send(signal.SIGTERM)
    assert served.wait_exit() == 0
    assert not any(token in line for line in served.lines)
    assert served.lines[-1] == "stopped"


def test_a_request_in_flight_is_finished(world: World) -> None:
    """SIGTERM stops the listening, not the answering."""
    served = world.serve()
    for backend in (world.good, world.bad):
        backend.released.clear()
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(served.gateway.get("/orders/1").status_code))
    asking.start()
    while not (world.good.arrived.wait(0.02) or world.bad.arrived.is_set()):
        assert asking.is_alive()
    served.send(signal.SIGTERM)
    served.wait_line("stopping")
    for backend in (world.good, world.bad):
        backend.released.set()
    asking.join()
    assert answers == [200]
    assert served.wait_exit() == 0


def test_a_second_signal_does_not_wait(world: World) -> None:
    """A person who asks twice is not kept waiting; the status says that it was not clean."""
    served = world.serve()
    for backend in (world.good, world.bad):
        backend.released.clear()

    answers: list[int] = []

    def ask() -> None:
        with suppress(httpx.TransportError):
            answers.append(served.gateway.get("/orders/1").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    while not (world.good.arrived.wait(0.02) or world.bad.arrived.is_set()):
        assert asking.is_alive()
    served.send(signal.SIGTERM)
    served.wait_line("stopping")
    served.send(signal.SIGINT)
    assert served.wait_exit() == 1
    asking.join()
    assert 200 not in answers


def test_a_follower_does_not_hold_up_the_stop(world: World) -> None:
    """An endless event stream ends when the process is told to."""
    served = world.serve()
    with served.admin.stream("GET", "/v1/events") as stream:
        assert stream.status_code == 200
        served.send(signal.SIGTERM)
        assert served.wait_exit() == 0


def test_one_journal_has_one_process(world: World) -> None:
    """The second process on a journal does not start, and says who holds it."""
    served = world.serve()
    message = refused(world.config)
    assert "controlplane.db" in message
    assert str(served.pid) in message
    assert served.get("/v1/status")["ready"]


def test_a_port_in_use_is_one_clear_line(world: World) -> None:
    """The line names the key and the address; no journal was touched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = world.config.read_text().replace(
            '[admin]\nlisten = "127.0.0.1:0"', f'[admin]\nlisten = "127.0.0.1:{port}"'
        )
        world.config.write_text(text)
        message = refused(world.config)
    assert message == f"controlplane: admin.listen: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not (world.folder / "controlplane.db").exists()


def test_a_bad_configuration_names_every_problem(world: World) -> None:
    """Nothing is started, and each line has file, key, value and what would be right."""
    world.config.write_text("[plane]\nmode = 'fast'\n[policies.default]\nrate_per_s = -1\n")
    lines = refused(world.config).splitlines()
    assert lines[0] == f"controlplane: {world.config}: plane.mode: 'fast' is not one of 'enforce', 'observe'"
    assert "policies.default.rate_per_s: -1 is not a number from 0" in lines[1]


def test_a_token_file_others_may_read_is_refused(world: World) -> None:
    """A token that may have leaked does not guard anything."""
    token = world.folder / "controlplane.token"
    token.write_text("x" * 43)
    token.chmod(0o644)
    assert "chmod 600" in refused(world.config)


def test_a_journal_that_is_none_is_refused(world: World) -> None:
    """A file that is no journal is left as it is."""
    (world.folder / "controlplane.db").write_bytes(b"not a database, but something dear to somebody" * 100)
    before = (world.folder / "controlplane.db").read_bytes()
    assert "controlplane.db" in refused(world.config)
    assert (world.folder / "controlplane.db").read_bytes() == before


def test_no_process_is_left_behind(world: World) -> None:
    """It is one process: when it is gone, nothing of it is left."""
    served = world.serve()
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text()
    assert children == ""
    served.send(signal.SIGINT)
    assert served.wait_exit() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(served.pid, 0)


def test_an_endpoint_without_traffic_is_found_by_its_probes(world: World) -> None:
    """With a `probe_path` and no request from anybody, a dead backend becomes an incident."""
    text = world.write("probe_interval_s = 0.05").read_text()
    world.config.write_text(text.replace('name = "orders"', 'name = "orders"\nprobe_path = "/health"'))
    served = world.serve()
    wait_for("probes", lambda: world.bad.requests > 5)
    assert served.get("/v1/incidents") == {"incidents": []}
    world.bad.failing = True
    incident = wait_for("an incident", lambda: served.get("/v1/incidents")["incidents"])[0]
    assert (incident["origin"], incident["cause"]) == ("orders/bad", "unreachable")


def test_a_running_process_is_asked_by_command(world: World) -> None:
    """status, incidents, explain, freeze and resume find it by address and token file, for people and for programs."""
    served = world.serve()

    where = ["--admin", served.admin_url, "--token-file", str(world.folder / "controlplane.token")]

    def ask(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "controlplane", *arguments, *where]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return done.returncode, done.stdout + done.stderr

    assert ask("incidents") == (0, "no incidents\n")
    assert ask("status")[0] == 0
    assert ask("observe", "--reason", "new policy", "--by", "ana") == (0, "gateway is acting, mode observe\n")
    assert ask("enforce", "--by", "ana") == (0, "gateway is acting, mode enforce\n")
    assert ask("freeze", "--reason", "deploy", "--by", "ana") == (0, "gateway is frozen: deploy\n")
    assert served.get("/v1/status")["frozen_reason"] == "deploy"
    assert ask("resume") == (0, "gateway is acting, mode enforce\n")
    assert ask("hold", "orders/good", "--for", "30m", "--reason", "heap dump", "--by", "ana") == (
        0, "held: orders/good by ana, for 1800 s yet: heap dump\n",
    )  # fmt: skip
    assert ask("release", "orders/good") == (0, "nothing is held, no rule is set aside\n")
    about = ("--target", "orders", "--by", "ana")
    aside = ask("override", "healthy_floor", *about, "--for", "10m", "--reason", "both are gone")
    assert aside == (0, "SET ASIDE: healthy_floor for orders by ana, for 600 s yet: both are gone\n")
    status, text = ask("rules")
    assert (status, text.splitlines()[1].split()[:2]) == (0, ["freeze", "0"])
    assert "SET ASIDE: healthy_floor for orders by ana" in text
    assert ask("revoke", "healthy_floor", *about) == (0, "nothing is held, no rule is set aside\n")
    status, text = ask("override", "lease_expiry", *about, "--for", "10m", "--reason", "x")
    assert (status, "lease_expiry is never set aside" in text) == (2, True)
    assert "roll_back  0 %" in ask("shadow")[1]
    world.bad.failing = True
    with load(served.gateway_url):
        wait_for("an incident", lambda: served.get("/v1/incidents")["incidents"])
    status, text = ask("incidents", "--state", "open", "-o", "json")
    incident = json.loads(text)["incidents"][0]
    assert (status, incident["origin"]) == (0, "orders/bad")
    assert ask("status")[0] == 1
    assert ask("explain", incident["id"])[1].startswith(f"{incident['id']}: orders/bad")
    assert ask("report", incident["id"])[1].startswith(f"# Incident {incident['id']}: orders/bad, ")
    status, text = ask("explain", "none")
    assert (status, "404" in text) == (2, True)
