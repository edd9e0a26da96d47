"""Somebody who is told over HTTP, on loopback: answers as the test says, and keeps every request."""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STALL_S = 60.0  # longer than any test waits


@dataclass
class Request:
    """What was posted."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are expected."""


class Receiver:
    """`answers` are given in their order, then `usual` for ever. A status of 0 is none; `stall` holds all back."""

    def __init__(self, usual: tuple[int, dict[str, str], bytes] = (200, {}, b"ok")) -> None:
        self.requests: list[Request] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.usual = usual
        self.listens = threading.Event()
        self.listens.set()
        self._lock = threading.Lock()
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with receiver._lock:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    receiver.requests.append(Request(self.path, headers, body))
                    status, more, answer = receiver.answers.pop(0) if receiver.answers else receiver.usual
                if not receiver.listens.wait(STALL_S) or not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stall(self) -> None:
        """Take requests and answer none until `resume`."""
        self.listens.clear()

    def resume(self) -> None:
        self.listens.set()

    def close(self) -> None:
        self.listens.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
