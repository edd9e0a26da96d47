"""The page about Prometheus and Alertmanager: our sections are read, theirs pass their own tools, and both find us."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from controlplane.admin.table import TABLE
from controlplane.config import parse_config
from controlplane.model.config import AdminSection, AlertsSection
from tests.integration.debian import command, program
from tests.integration.process import World, wait_for

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "prometheus.md").read_text()
TOML = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
ALERTMANAGER, PROMETHEUS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_our_sections_are_good() -> None:
    """As printed; and the labels that the page names are those that are looked at."""
    asked = [parse_config(text).prometheus for text in TOML]
    assert [(bool(one.server), len(one.scrape)) for one in asked if one is not None] == [(True, 0), (False, 1)]
    for label in (*AlertsSection().service_labels, *AlertsSection().endpoint_labels):
        assert f"`{label}`" in PAGE


def test_theirs_pass_their_own_tools_and_lead_to_us(tmp_path: Path) -> None:
    """promtool and amtool, of the real packages; the port is the admin listener's, the paths are routes."""
    token = tmp_path / "token"
    token.write_text("a-token-of-sufficient-length")
    for text, check in (
        (PROMETHEUS, [program("prometheus", "promtool"), "check", "config"]),
        (ALERTMANAGER, [program("prometheus-alertmanager", "amtool"), "check-config"]),
    ):
        file = tmp_path / "config.yml"
        file.write_text(re.sub(r"credentials_file: \S+", f"credentials_file: {token}", text))
        done = subprocess.run([*check, str(file)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done
    posts = {operation.path for operation in TABLE if operation.method == "POST"}
    (receiver,) = yaml.safe_load(ALERTMANAGER)["receivers"]
    (hook,) = receiver["webhook_configs"]
    (target,) = yaml.safe_load(PROMETHEUS)["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert hook["url"].removeprefix(f"http://{AdminSection().listen}") in posts
    assert target == AdminSection().listen
    assert "/api/v2/alerts" in posts


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two backends and a configuration; everything that was started is gone afterwards."""
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        world.write()
        yield world


def test_a_real_alertmanager_posts_its_alerts(world: World) -> None:
    """By the configuration as printed, with our port and token: firing opens an incident, resolved is on record."""
    served = world.serve()
    text = ALERTMANAGER.replace(f"http://{AdminSection().listen}", served.admin_url)
    text = re.sub(r"credentials_file: \S+", f"credentials_file: {world.folder / 'controlplane.token'}", text)
    text = text.replace("group_wait: 1s", "group_wait: 1s\n  group_interval: 1s")
    (world.folder / "alertmanager.yml").write_text(text)
    start = [*command("prometheus-alertmanager"), "--config.file=alertmanager.yml", "--storage.path=alertmanager"]
    process = subprocess.Popen(
        [*start, "--web.listen-address=127.0.0.1:0", "--cluster.listen-address="],
        cwd=world.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        with process.stderr as output:
            lines.extend(output)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        pattern = re.compile(r'msg="Listening on" address=(\S+)')
        found = wait_for(f"its address in {lines}", lambda: next(filter(None, map(pattern.search, lines)), None))
        api = f"http://{found[1]}/api/v2/alerts"

        def raise_alert(ends_s: float) -> None:
            labels = {"alertname": "HighErrorRate", "service": "orders", "instance": "somewhere:1"}
            ends = datetime.fromtimestamp(time.time() + ends_s, UTC).isoformat()
            assert httpx.post(api, json=[{"labels": labels, "endsAt": ends}]).status_code == 200

        def incident() -> dict[str, Any] | None:
            return next(iter(served.get("/v1/incidents")["incidents"]), None)

        raise_alert(300.0)
        opened = wait_for(f"the incident; {lines}", incident)
        assert (opened["origin"], opened["cause"]) == ("orders", "alert")
        raise_alert(-1.0)

        def resolved() -> bool:
            return any("is resolved" in one for one in served.get(f"/v1/incidents/{opened['id']}")["evidence"])

        wait_for(f"its resolution; {lines}", resolved)
    finally:
        process.terminate()
        process.wait(20)
        reader.join()
