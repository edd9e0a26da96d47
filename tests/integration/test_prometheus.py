"""A real Prometheus between us and an exporter: we ask it for the service graph, and it sends us its alerts."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.debian import program
from tests.integration.process import World, wait_for

pytestmark = pytest.mark.integration

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: graph
    static_configs: [{{targets: ["{exporter}"]}}]
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - authorization: {{credentials_file: {token}}}
      file_sd_configs: [{{files: [alertmanagers.json]}}]
"""
RULES = """
groups:
  - name: graph
    rules:
      - alert: CallsFail
        expr: sum by (service) (label_replace(traces_service_graph_request_failed_total, "service", "$1", "server", "(.*)")) > 0
        labels: {severity: page}
        annotations: {summary: "calls to {{ $labels.service }} fail"}
"""  # noqa: E501


class Exporter:
    """The exposition of one edge, which has more calls each time it is read; half of them fail once it is told so."""

    def __init__(self) -> None:
        self.failing = False
        self._requests = self._failed = 0
        exporter = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = exporter.text().encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def text(self) -> str:
        self._requests += 100
        self._failed += 50 if self.failing else 0
        labels = '{client="gateway",server="orders"}'
        return "".join(
            f"traces_service_graph_request_{name}{labels} {value}\n"
            for name, value in (
                ("total", self._requests),
                ("failed_total", self._failed),
                ("client_seconds_sum", self._requests * 0.02),
                ("client_seconds_count", self._requests),
            )
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def prometheus(folder: Path, exporter: Exporter, token: Path) -> Iterator[tuple[str, list[str]]]:
    """A running Prometheus; its URL, and what it says."""
    (folder / "rules.yml").write_text(RULES)
    (folder / "alertmanagers.json").write_text("[]")
    (folder / "prometheus.yml").write_text(CONFIG.format(exporter=exporter.address, token=token))
    command = [program("prometheus"), "--web.listen-address=127.0.0.1:0", "--storage.tsdb.path=data"]
    command.append("--rules.alert.resend-delay=1s")  # what fired before it knew of us would come a minute later
    process = subprocess.Popen(
        [*command, "--config.file=prometheus.yml"],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
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
        yield f"http://{found[1]}", lines
    finally:
        process.terminate()
        process.wait(20)
        reader.join()


def test_a_real_prometheus_tells_of_edges_and_sends_its_alerts(world: World) -> None:
    """Its counters become an edge of the graph, its alert an incident that moves nothing; when it is over, that
    ends."""
    exporter, token = Exporter(), world.folder / "controlplane.token"
    folder = world.folder / "prometheus"
    folder.mkdir()
    try:
        with prometheus(folder, exporter, token) as (url, lines):
            config = world.write("verify_s = 1")
            text = config.read_text()
            config.write_text(
                f'{text}\n[prometheus]\nserver = "{url}"\nevery_s = 0.5\n[alerts]\nendpoint_labels = ["pod"]\n'
            )
            served = world.serve()
            assert served.wait_line("prometheus ") == f"prometheus {url}/api/v1/query"

            def edge() -> dict[str, Any] | None:
                told = served.get("/v1/graph")["edges"]
                return next((one for one in told if one["callee"] == "orders" and one["calls_per_s"]), None)

            told = wait_for("the edge that Prometheus tells of", edge, 40)
            assert (told["caller"], told["source"], told["error_ratio"]) == ("gateway", "metrics", 0)
            assert told["client_latency_s"] == pytest.approx(0.02)

            exporter.failing = True
            target = served.admin_url.removeprefix("http://")
            (folder / "whole").write_text(json.dumps([{"targets": [target]}]))
            (folder / "whole").rename(folder / "alertmanagers.json")  # it looks at once, and must not see half of it

            def incident() -> dict[str, Any] | None:
                return next(iter(served.get("/v1/incidents")["incidents"]), None)

            found = wait_for(f"the incident that its alert opens: {lines}", incident, 40)
            assert (found["origin"], found["cause"]) == ("orders", "alert")
            seen = served.get(f"/v1/incidents/{found['id']}")
            assert seen["evidence"] == ["CallsFail (page): calls to orders fail"]
            assert (seen["commands"], seen["internal"]["containments"]) == ([], [])
            wait_for("failures on the edge", lambda: (edge() or {}).get("error_ratio"))
    finally:
        exporter.close()
