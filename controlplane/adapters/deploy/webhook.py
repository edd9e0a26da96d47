"""Rolls back by a webhook: one POST with an idempotency key, and then its status, asked until it ends.

    POST url           {"service", "version", "to", "command", "incident", "reason"}
      200 201 204      done, unless the body says otherwise
      202              accepted: "status_url" in the body, or Location, says where to ask
      429 5xx, no answer    the same again with the same key, a few times
      anything else    failed
    GET status_url     {"state": "running" | "succeeded" | "failed", "reason": "..."}

The key is the command's id and a word that belongs to this process: ids begin anew with a new journal, and a roll-back
is never started again by another process.
"""

import secrets
from urllib.parse import urljoin, urlsplit

import anyio
import httpx
import msgspec

from controlplane.adapters.deploy.text import fields_of, tail_of
from controlplane.model.command import Command

POSTS_MAX = 5  # of the same roll-back, with the same key
REQUEST_S = 10.0  # for one request; what takes longer answers 202
BODY_MAX = 65_536  # bytes of an answer


class Status(msgspec.Struct, frozen=True):
    """What a deployer says of a roll-back. Fields that we do not know are its own."""

    state: str = ""
    reason: str = ""
    status_url: str = ""


class WebhookDeployer:
    """A `ports.Deployer` that asks `url`. Redirects are not followed: a token must not travel."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout_s: float,
        poll_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url, self._timeout_s, self._poll_s, self._transport = url, timeout_s, poll_s, transport
        self._headers = {"user-agent": "controlplane"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._word = secrets.token_hex(8)

    async def roll_back(self, command: Command) -> tuple[bool, str]:
        """Ask for it; ok when the deployer says so in time."""
        with anyio.move_on_after(self._timeout_s):
            async with httpx.AsyncClient(
                timeout=REQUEST_S, headers=self._headers, trust_env=False, transport=self._transport
            ) as client:
                return await self._asked(client, command)
        return False, f"{self._url} has not said within {self._timeout_s:g} s how it ended"

    async def _asked(self, client: httpx.AsyncClient, command: Command) -> tuple[bool, str]:
        key = {"idempotency-key": f"{command.id}-{self._word}"}
        last = ""
        for attempt in range(POSTS_MAX):
            if attempt:
                await anyio.sleep(self._poll_s * 2 ** (attempt - 1))
            try:
                code, location, body = await _ask(client, "POST", self._url, headers=key, json=fields_of(command))
            except httpx.HTTPError as error:
                last = f"{self._url} does not answer: {type(error).__name__} {error}".rstrip()
                continue
            if code == 429 or code >= 500:
                last = f"{self._url} answers {code}: {tail_of(body)}"
                continue
            return await self._answered(client, code, location, body)
        return False, f"{last}; asked {POSTS_MAX} times"

    async def _answered(self, client: httpx.AsyncClient, code: int, location: str, body: bytes) -> tuple[bool, str]:
        status = _status(body)
        if code not in (200, 201, 202, 204):
            return False, f"{self._url} answers {code}: {tail_of(body)}"
        if status is not None and status.state in ("succeeded", "failed"):
            return status.state == "succeeded", status.reason or status.state
        if code != 202 and (status is None or status.state != "running"):
            return True, f"{self._url} answers {code}"
        where = urljoin(self._url, (status.status_url if status is not None else "") or location)
        if where == self._url:
            return False, f"{self._url} has accepted it, and does not say where to ask how it ends (status_url)"
        if _origin(where) != _origin(self._url):
            return False, f"its status is said to be at {where}: another place than {self._url}, and not asked"
        return await self._polled(client, where)

    async def _polled(self, client: httpx.AsyncClient, where: str) -> tuple[bool, str]:
        """Ask until it ends; who asks bounds the time. An answer that fails to come says nothing."""
        while True:
            await anyio.sleep(self._poll_s)
            try:
                code, _, body = await _ask(client, "GET", where)
            except httpx.HTTPError:
                continue
            if code == 429 or code >= 500:
                continue
            status = _status(body)
            if code != 200 or status is None or status.state not in ("running", "succeeded", "failed"):
                return False, f"{where} answers {code} and no state that is known: {tail_of(body)}"
            if status.state != "running":
                return status.state == "succeeded", status.reason or status.state


async def _ask(client: httpx.AsyncClient, method: str, url: str, **more: object) -> tuple[int, str, bytes]:
    """(status, Location, at most BODY_MAX bytes of the body)."""
    body = bytearray()
    async with client.stream(method, url, **more) as response:  # type: ignore[arg-type]
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= BODY_MAX:
                break
        return response.status_code, response.headers.get("location", ""), bytes(body[:BODY_MAX])


def _status(body: bytes) -> Status | None:
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
