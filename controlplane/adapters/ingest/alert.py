"""Alerts as Prometheus and Alertmanager send them: the webhook's message (version 4), and the alerts of its own API
(v2).

Both speak of the same alerts by the same fingerprint: of Alertmanager's own kind, over the labels, computed where it
is not told. Whom an alert is about its labels say, the first one that names a declared service. One that names none
is left out.

Source  https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, Alertmanager's api/v2/openapi.yaml,
        prometheus/common, model/fnv.go and model/signature.go
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from controlplane.model.config import AlertsSection
from controlplane.model.signal import Alerted, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from controlplane.ports import Clock

ALERTS_MAX: Final = 1000  # of one request
BEGAN_MAX_NS: Final = 7 * 86_400 * SECOND  # longer ago it says nothing about how soon it was found
STANDS_MAX_NS: Final = 86_400 * SECOND
SUMMARY_CHARS_MAX: Final = 300
NAME_CHARS_MAX: Final = 200

Labels = Annotated[dict[str, str], msgspec.Meta(max_length=200)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class WebhookAlert(msgspec.Struct, rename="camel", frozen=True):
    """One alert of a webhook's message."""

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = {}
    starts_at: Moment | None = None
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)] = ""


class WebhookMessage(msgspec.Struct, rename="camel", frozen=True):
    """What Alertmanager posts to a webhook."""

    version: Literal["4"]
    alerts: list[WebhookAlert]
    receiver: str = ""
    external_url: str = msgspec.field(default="", name="externalURL")


class PostableAlert(msgspec.Struct, rename="camel", frozen=True):
    """One alert as Prometheus posts it to an Alertmanager: it fires until `ends_at`, and is over where that is past."""

    labels: Labels
    annotations: Labels = {}
    starts_at: Moment | None = None
    ends_at: Moment | None = None


class AlertReader:
    """Alerts of others, as signals about the services of `topology`."""

    def __init__(self, section: AlertsSection, topology: Topology, clock: Clock) -> None:
        self._section, self._clock = section, clock
        self._service = {alias: one.name for one in topology.services for alias in one.aliases}
        self._service |= {one.name: one.name for one in topology.services}
        self._endpoint = {
            (one.name, name): each.name
            for one in topology.services
            for each in one.endpoints
            for name in (each.name, urlsplit(each.url).netloc)
        }

    def message(self, message: WebhookMessage) -> list[Alerted]:
        """Those of a webhook's message that are about a declared service."""
        by = f"alertmanager {message.receiver}".strip()
        found = (
            self._signal(one.labels, one.annotations, one.starts_at, None, one.status == "firing", one.fingerprint, by)
            for one in message.alerts
        )
        return [one for one in found if one is not None]

    def postable(self, alerts: Iterable[PostableAlert]) -> list[Alerted]:
        """The same of what Prometheus posts."""
        wall_ns = self._clock.wall_ns()
        found = []
        for one in alerts:
            ends_ns = _unix_ns(one.ends_at)
            firing = ends_ns is None or ends_ns > wall_ns
            until_ns = ends_ns if firing else None
            found.append(self._signal(one.labels, one.annotations, one.starts_at, until_ns, firing, "", "prometheus"))
        return [one for one in found if one is not None]

    def _signal(
        self,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        starts_at: datetime | None,
        until_ns: int | None,
        firing: bool,
        fingerprint: str,
        by: str,
    ) -> Alerted | None:
        target = self.target(labels)
        if target is None:
            return None
        now, wall_ns = self._clock.now(), self._clock.wall_ns()
        starts_ns = _unix_ns(starts_at)
        age_ns = None if starts_ns is None else wall_ns - starts_ns
        known = age_ns is not None and 0 <= age_ns <= BEGAN_MAX_NS
        return Alerted(
            at=now,
            target=target,
            fingerprint=fingerprint or fingerprint_of(labels),
            name=labels.get("alertname", "without a name")[:NAME_CHARS_MAX],
            firing=firing,
            severity=labels.get("severity", "")[:NAME_CHARS_MAX],
            summary=(annotations.get("summary") or annotations.get("description", ""))[:SUMMARY_CHARS_MAX],
            began_at=Nanos(now - age_ns) if known and age_ns is not None else None,
            for_ns=0 if until_ns is None else min(until_ns - wall_ns, STANDS_MAX_NS),
            by=by[:NAME_CHARS_MAX],
        )

    def target(self, labels: Mapping[str, str]) -> Target | None:
        """Whom an alert with these labels is about: a declared service, or an endpoint of it; None: nobody declared."""
        named = (self._service.get(labels.get(label, "")) for label in self._section.service_labels)
        service = next((name for name in named if name is not None), None)
        if service is None:
            return None
        endpoints = (self._endpoint.get((service, labels.get(label, ""))) for label in self._section.endpoint_labels)
        return Target(service, next((name for name in endpoints if name is not None), ""))


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Alertmanager's fingerprint of a set of labels: FNV-1a, in hexadecimal."""
    value = 0xCBF29CE484222325
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            value = (value ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return f"{value:016x}"


def _unix_ns(at: datetime | None) -> int | None:
    """Unix nanoseconds; None: not told, which Go writes as the year 1."""
    if at is None or at.year < 1970:
        return None
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6) * 1000
