"""Notices as CloudEvents 1.0 in structured JSON, signed as Standard Webhooks 1.0 has it.

    webhook-id         the event's id: the same for every delivery of the same notice
    webhook-timestamp  Unix seconds of this delivery
    webhook-signature  v1,base64(HMAC-SHA256(secret, "{id}.{timestamp}.{body}"))

Both are in the signed text, so that neither can be changed and an old delivery cannot be passed off as a new one. A
secret that begins with `whsec_` is base64 after that, as the standard has it; any other is taken as it stands. Sources:
CloudEvents 1.0.2 (JSON event format, HTTP structured mode); Standard Webhooks 1.0.0. How to check:
how-to/tell-people.md.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from controlplane.adapters.notify.post import Poster, iso
from controlplane.model.notice import Notice
from controlplane.ports import Clock

TYPE = "dev.controlplane.notice"
TAKEN_MAX = 1000


class WebhookNotifier:
    """One POST for each notice, to `url`."""

    def __init__(self, url: str, *, secret: str, source: str, poster: Poster, clock: Clock) -> None:
        self._url, self._secret, self._source = url, key_of(secret) if secret else b"", source
        self._poster, self._clock = poster, clock
        self._taken: set[str] = set()

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        """Deliver each; those that were taken before one failed are not sent again. Raises NotifyError."""
        for notice in notices:
            if notice.id in self._taken:
                continue
            body = msgspec.json.encode(event_of(notice, self._source))
            headers = {"content-type": "application/cloudevents+json; charset=utf-8", "webhook-id": notice.id}
            moment = str(self._clock.wall_ns() // 1_000_000_000)
            headers["webhook-timestamp"] = moment
            if self._secret:
                headers["webhook-signature"] = signature(self._secret, notice.id, moment, body)
            await self._poster.post(self._url, body, headers)
            if len(self._taken) >= TAKEN_MAX:  # of what was given up
                self._taken.clear()
            self._taken.add(notice.id)
        self._taken.difference_update(notice.id for notice in notices)


def event_of(notice: Notice, source: str) -> dict[str, object]:
    """The CloudEvent of a notice."""
    return {
        "specversion": "1.0",
        "id": notice.id,
        "source": f"/controlplane/{source}",
        "type": f"{TYPE}.{notice.kind}",
        "subject": notice.incident or "plane",
        "time": iso(notice.wall_ns),
        "datacontenttype": "application/json",
        "data": {
            "incident": notice.incident,
            "group": notice.group,
            "severity": notice.severity,
            "text": notice.text,
            "service": notice.service,
            "cause": notice.cause,
            "since": iso(notice.since_wall_ns) if notice.incident else None,
            "closed": notice.ends,
        },
    }


def signature(secret: bytes, name: str, moment: str, body: bytes) -> str:
    """What `webhook-signature` says of a delivery."""
    mac = hmac.new(secret, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}"


def key_of(secret: str) -> bytes:
    """The bytes that sign. Raises ValueError for `whsec_` and no base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("begins with whsec_, and what follows is not base64") from error
