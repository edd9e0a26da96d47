"""One POST to whoever is told, and what its answer means: taken, later again, or never."""

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from controlplane.model.errors import NotifyError

ANSWER_MAX = 65_536  # bytes of an answer that are read
SHOWN_MAX = 200  # characters of it that a reason quotes
LATER = (408, 425, 429)  # and all of 5xx: the same request may succeed later; of others it never will


class Poster:
    """Posts to one notifier. Redirects are not followed: a secret must not travel.

    Each POST has a client of its own, as notices are rare and a connection that has idled for a night is no good. What
    is costly, the certificates of the system, is loaded once, before anything runs.
    """

    def __init__(self, *, timeout_s: float, proxy: str = "", transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._timeout_s, self._proxy, self._transport = timeout_s, proxy, transport
        self._trusted = ssl.create_default_context()
        self.answer = ""  # the last one, for who asks by hand

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> bytes:
        """The answer's body. Raises NotifyError; its reason names the host and no more of `url`: it may be secret."""
        host = httpx.URL(url).host
        try:
            async with (
                httpx.AsyncClient(
                    timeout=self._timeout_s,
                    verify=self._trusted,
                    trust_env=False,
                    proxy=self._proxy or None,
                    transport=self._transport,
                ) as client,
                client.stream("POST", url, content=body, headers={"user-agent": "controlplane", **headers}) as response,
            ):
                answer = bytearray()
                async for chunk in response.aiter_bytes():
                    answer += chunk
                    if len(answer) >= ANSWER_MAX:
                        break
        except httpx.HTTPError as error:
            said = str(error).replace(url, host)
            raise NotifyError(
                f"{host} does not answer: {type(error).__name__} {said}".rstrip(), retryable=True
            ) from None
        text = shown(bytes(answer))
        self.answer = f"{host} answered {response.status_code}{f': {text}' if text else ''}"
        if response.is_success:
            return bytes(answer)
        raise NotifyError(
            f"{host} answers {response.status_code}{f': {text}' if text else ''}",
            retryable=response.status_code in LATER or response.status_code >= 500,
            retry_after_s=retry_after_s(response.headers.get("retry-after", "")),
        )


def retry_after_s(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0: none, or nothing that is understood."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


def shown(answer: bytes) -> str:
    """The beginning of an answer, on one line, for a reason."""
    text = " ".join(answer[: 4 * SHOWN_MAX].decode("utf-8", "replace").split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)[:SHOWN_MAX]


def iso(wall_ns: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
