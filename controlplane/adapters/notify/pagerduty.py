"""Notices as PagerDuty events: an incident of ours is one alert there, triggered, acknowledged and resolved by one key.

Duplicates and updates fall into the alert of their `dedup_key`. What is told of the plane itself is an alert of its
own, which nobody resolves but a person. Source: Events API v2, alert events; 202 is success, 400 will never be, 429 and
5xx may be later.
"""

from collections.abc import Sequence

import msgspec

from controlplane.adapters.notify.post import Poster, iso
from controlplane.model.notice import Notice

API = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_MAX, KEY_MAX = 1024, 255  # characters that the API takes


class PagerDutyNotifier:
    """Events for the integration whose routing key is `token`."""

    def __init__(self, *, token: str, source: str, poster: Poster, url: str = "") -> None:
        self._token, self._source, self._poster = token, source, poster
        self._url = url or API

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        """Deliver what they come to. Raises NotifyError."""
        for event in events_of(notices, self._source):
            body = msgspec.json.encode({"routing_key": self._token, **event})
            await self._poster.post(self._url, body, {"content-type": "application/json"})


def events_of(notices: Sequence[Notice], source: str) -> list[dict[str, object]]:
    """One event, or two: a trigger with everything that is news, unless it is over, and what was done about it."""
    last = notices[-1]
    key = f"controlplane/{source}/{last.group}"[-KEY_MAX:]
    if any(notice.ends for notice in notices):
        return [{"event_action": "resolve", "dedup_key": key}]
    events: list[dict[str, object]] = []
    if news := [notice for notice in notices if notice.kind != "acknowledged"]:
        events.append({"event_action": "trigger", "dedup_key": key, "payload": _payload(news, source)})
    if len(news) < len(notices):
        events.append({"event_action": "acknowledge", "dedup_key": key})
    return events


def _payload(notices: Sequence[Notice], source: str) -> dict[str, object]:
    worst = min(notices, key=lambda notice: ("critical", "warning", "info").index(notice.severity))
    return {
        "summary": worst.text[:SUMMARY_MAX],
        "source": source,
        "severity": worst.severity,
        "timestamp": iso(worst.wall_ns),
        "component": worst.service or source,
        "group": source,
        "class": worst.cause or "plane",
        "custom_details": {"incident": worst.incident, "notices": [f"{one.id}: {one.text}" for one in notices][-50:]},
    }
