"""Alerts of others by HTTP: Alertmanager's webhook and what Prometheus posts, up to the incident that they open and
end."""

from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import pytest

from controlplane.adapters.ingest.alert import AlertReader, fingerprint_of
from controlplane.admin import alert as module
from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.config import AlertsSection
from controlplane.model.errors import ConfigError
from controlplane.model.signal import Cause, Target
from controlplane.testing import MemoryJournal
from tests.admin.test_app import CONFIG, admin

pytestmark = pytest.mark.anyio

LABELS = {"alertname": "HighErrorRate", "severity": "page", "service": "orders"}
NEVER = "0001-01-01T00:00:00Z"


def stamp(after_s: float) -> str:
    """A time beside now, as Go writes it."""
    at = datetime.now(UTC).timestamp() + after_s
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def message(status: str = "firing", **changes: Any) -> dict[str, Any]:
    """What Alertmanager posts to a webhook, with every field that it has."""
    one = {
        "status": status,
        "labels": LABELS,
        "annotations": {"summary": "orders burns its budget"},
        "startsAt": stamp(-60),
        "endsAt": NEVER if status == "firing" else stamp(0),
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": fingerprint_of(LABELS),
    } | changes
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HighErrorRate"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "plane",
        "groupLabels": {},
        "commonLabels": LABELS,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": [one],
    }


def posted(ends_s: float = 240.0, **labels: str) -> list[dict[str, Any]]:
    """What Prometheus posts to an Alertmanager."""
    return [
        {
            "labels": LABELS | labels,
            "annotations": {"description": "half of them fail"},
            "startsAt": stamp(-30),
            "endsAt": stamp(ends_s),
            "generatorURL": "http://prometheus:9090/graph",
        }
    ]


async def said(client: httpx.AsyncClient, path: str, body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def decided(plane: Plane) -> None:
    """Whatever was said before is decided when this returns."""
    with anyio.fail_after(5):
        await plane.order("resume", by="test")


async def test_an_alert_opens_an_incident_and_moves_nothing() -> None:
    """By the webhook; the same alert from Prometheus itself is the same one, and either ends it."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal()) as plane, admin(plane) as client:
        assert await said(client, "/v1/alerts", message()) == {"accepted": 1, "ignored": 0}
        await decided(plane)
        (incident,) = plane.state.incidents.values()
        assert (incident.origin, incident.cause) == (Target("orders"), Cause.ALERT)
        assert incident.first.by == "alertmanager plane"
        assert incident.evidence == ["HighErrorRate (page): orders burns its budget"]
        assert incident.began_at is not None
        assert 59 < (incident.signal_at - incident.began_at) / 1e9 < 70
        assert "an alert alone moves no traffic" in incident.refused[0]
        assert plane.state.in_force == {}
        assert await said(client, "/api/v2/alerts", posted()) == {"accepted": 1, "ignored": 0}
        await decided(plane)
        assert len(incident.evidence) == 1
        await said(client, "/api/v2/alerts", posted(ends_s=-1.0))
        await decided(plane)
        assert incident.evidence[-1].endswith("alert HighErrorRate is resolved")


async def test_alerts_about_nobody_are_left_out_and_counted() -> None:
    """An Alertmanager sends what is routed to it: that is no mistake, and no signal."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal()) as plane, admin(plane) as client:
        nobody = posted(service="mars", job="node") + posted(service="", job="orders")
        assert await said(client, "/api/v2/alerts", nobody) == {"accepted": 1, "ignored": 1}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/alerts", message() | {"version": "3"}, "$.version"),
        ("/v1/alerts", message(status="smouldering"), "$.alerts[0].status"),
        ("/v1/alerts", message(startsAt="yesterday"), "$.alerts[0].startsAt"),
        ("/v1/alerts", message(startsAt="2026-01-01T00:00:00"), "$.alerts[0].startsAt"),
        ("/v1/alerts", message(labels={"service": 7}), "$.alerts[0].labels"),
        ("/api/v2/alerts", {"alerts": []}, "array"),
        ("/api/v2/alerts", posted() * 1001, "1001 alerts"),
    ],
)
async def test_what_is_no_alert_is_refused_by_its_place(path: str, body: Any, words: str) -> None:
    """400 and a position; nothing of it is taken."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal()) as plane, admin(plane) as client:
        answer = await client.post(path, json=body)
        assert answer.status_code == 400
        assert words in answer.json()["detail"]
        await decided(plane)
        assert not plane.state.incidents


async def test_a_message_too_large_and_one_too_early_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """413 beyond the bound; 503 with Retry-After while nobody listens, and Alertmanager sends it again."""
    plane = Plane(CONFIG, seed=1, journal=MemoryJournal())
    async with admin(plane) as client:
        early = await client.post("/v1/alerts", json=message())
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        large = message(annotations={"summary": "x" * module.BODY_BYTES_MAX})
        assert (await client.post("/v1/alerts", json=large)).status_code == 413


def test_a_fingerprint_is_that_of_alertmanager() -> None:
    """As the test of prometheus/common has it, so that both ways name an alert alike."""
    assert int(fingerprint_of({"name": "garland, briggs", "fear": "love is not enough"}), 16) == 5799056148416392346
    assert fingerprint_of({}) == "cbf29ce484222325"


def test_labels_say_whom_an_alert_is_about() -> None:
    """The first label that names a declared service, by name or alias; an endpoint by name or address."""
    config = parse_config("""
[alerts]
service_labels = ["app", "service"]
[[services]]
name = "orders"
aliases = ["orders-lb"]
endpoints = [{ name = "a", url = "http://10.0.0.7:8080" }]
[[services]]
name = "mail"
""")
    plane = Plane(config, seed=1)
    reader = AlertReader(config.alerts, config.topology(), plane.clock)
    assert reader.target({"service": "mail", "app": "orders"}) == Target("orders")
    assert reader.target({"app": "kubelet", "service": "mail"}) == Target("mail")
    assert reader.target({"service": "orders-lb", "instance": "10.0.0.7:8080"}) == Target("orders", "a")
    assert reader.target({"service": "orders", "pod": "a"}) == Target("orders", "a")
    assert reader.target({"service": "mail", "pod": "a"}) == Target("mail")
    assert reader.target({"job": "orders"}) is None
    assert AlertReader(AlertsSection(), config.topology(), plane.clock).target({"job": "orders"}) == Target("orders")
    with pytest.raises(ConfigError, match=r"alerts.service_labels.*is empty"):
        parse_config("alerts.service_labels = []")
