"""Talking to a running process's admin API, with what the standard library has: this must start at once."""

import argparse
import http.client
import json
import os
from typing import Any
from urllib.parse import urlsplit

from controlplane.model.errors import ConfigError, ControlPlaneError

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class AdminError(ControlPlaneError):
    """The process did not answer, or refused."""


class AdminClient:
    """One process's admin API."""

    def __init__(self, url: str, token_file: str) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} is not a URL ({error})", key="--admin") from error
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(f"{url!r} is not an http or https URL, as in http://127.0.0.1:9911", key="--admin")
        self._secure, self._host, self._port, self._prefix = parts.scheme == "https", host, port, parts.path.rstrip("/")
        self._url, self._token_file = url, token_file

    @classmethod
    def of(cls, args: argparse.Namespace) -> "AdminClient":
        """The process that `args` name; the environment and `--config` fill in what they leave open."""
        listen = os.environ.get("CONTROLPLANE_ADMIN_LISTEN", "127.0.0.1:9911")
        token_file = os.environ.get("CONTROLPLANE_ADMIN_TOKEN_FILE", "controlplane.token")
        if args.config:
            from controlplane.config import load_config

            admin = load_config(args.config).admin
            listen, token_file = admin.listen, admin.token_file
        return cls(args.admin or listen, args.token_file or token_file)

    def get(self, path: str) -> Any:
        """The answer to GET `path`, decoded. Raises AdminError."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any] | list[dict[str, Any]]) -> Any:
        """The answer to POST `path`, decoded. Raises AdminError."""
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        from controlplane.config.token import read_token

        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        headers = {"authorization": f"Bearer {read_token(self._token_file)}", "accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        connection = kind(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, self._prefix + path, body, headers)
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"no answer from {self._url}: {error or type(error).__name__}; is it running?") from error
        finally:
            connection.close()
        try:
            answer = json.loads(raw)
        except ValueError as error:
            raise AdminError(f"{self._url}{path} answered {response.status}, and not in JSON") from error
        if response.status >= 400:
            detail = answer.get("detail") if isinstance(answer, dict) else None
            detail = detail or "not as the admin API does; is this the address that `serve` prints after `admin`?"
            raise AdminError(f"{self._url}{path} answered {response.status}: {printable(detail)}")
        return answer


def printable(value: object) -> str:
    """`value` without characters that would steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))
