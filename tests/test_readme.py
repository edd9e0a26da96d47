"""The README's embedding example does what it says, as printed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytestmark = pytest.mark.integration

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(language: str) -> str:
    """The first fenced block of that language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md has no {language} block"
    return found[1]


class Orders(BaseHTTPRequestHandler):
    """An orders service with one order."""

    def do_GET(self) -> None:
        """Answer 200 for the order the README asks for, else 404."""
        self.send_response(200 if self.path == "/orders/42" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def orders() -> Iterator[int]:
    """The port of a running orders service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Orders) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_the_embedding_example_runs_as_printed(tmp_path: Path) -> None:
    """The Python block runs unchanged beside the TOML block, whose ports are those of real servers instead."""
    config = block("toml")
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)", config)
    with ExitStack() as stack:
        for port in ports:
            config = config.replace(f":{port}", f":{stack.enter_context(orders())}")
        (tmp_path / "controlplane.toml").write_text(config)
        done = subprocess.run(
            [sys.executable, "-c", block("python")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "200 []\n", "")


def test_the_embedding_example_is_about_ten_lines() -> None:
    """The example stays as short as it promises: adopting the library is a transport, not a rewrite."""
    code = [line for line in block("python").splitlines() if line.strip() and not line.startswith("import ")]
    assert len(code) <= 10


def test_the_readme_answers_on_its_first_screen() -> None:
    """What it is, the two commands and the table of the demo come before anything else."""
    first = README.partition("\n## ")[0]
    assert len(first.splitlines()) <= 60
    assert "\nmake demo\n" in first
    assert "\nmake test\n" in first
