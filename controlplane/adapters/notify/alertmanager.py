"""Incidents as alerts in Alertmanager, by its API v2: said when they open, said again while they last, ended when they
close.

An alert is its labels: saying it twice is saying it once, and who changes a label of it makes another one. Where the
service or the severity of an incident changes, the alert of before is ended in the same request. `endsAt` is always
given: should we die, the alert ends by itself after `LASTS` repetitions that did not come. Source: Alertmanager's
OpenAPI document (api/v2), postableAlert.
"""

from collections.abc import Sequence

import msgspec

from controlplane.adapters.notify.post import Poster, iso
from controlplane.model.notice import Notice
from controlplane.ports import Clock

LASTS = 4  # repetitions
PLANE_LASTS_S = 300.0  # what is told of the plane itself has no end of its own; so long is Alertmanager's default
RANK = {"info": 0, "warning": 1, "critical": 2}

Alert = dict[str, object]


class AlertmanagerNotifier:
    """Alerts for the server at `url`, as http://alertmanager:9093."""

    def __init__(self, url: str, *, token: str, source: str, repeat_s: float, poster: Poster, clock: Clock) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._source, self._repeat_s, self._poster, self._clock = source, repeat_s, poster, clock
        self._labels: dict[str, dict[str, str]] = {}  # of what stands, by group

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        """Say how things stand by them. Raises NotifyError."""
        by_group: dict[str, list[Notice]] = {}
        for notice in notices:
            by_group.setdefault(notice.group, []).append(notice)
        alerts: list[Alert] = []
        after = dict(self._labels)
        for group, told in by_group.items():
            alerts += self._alerts(group, told, after)
        await self._poster.post(self._url, msgspec.json.encode(alerts), self._headers)
        self._labels = after

    def _alerts(self, group: str, told: Sequence[Notice], after: dict[str, dict[str, str]]) -> list[Alert]:
        now, last = self._clock.wall_ns(), told[-1]
        before = after.get(group)
        severity = max((one.severity for one in told), key=lambda one: RANK.get(one, 0))
        if before is not None:
            severity = max((severity, before["severity"]), key=lambda one: RANK.get(one, 0))
        over = any(notice.ends for notice in told)
        labels = {
            "alertname": "ControlplaneIncident" if last.incident else "ControlplaneNotice",
            "controlplane": self._source,
            "incident": group,
            "service": last.service or self._source,
            "severity": severity,
        }
        if over:
            after.pop(group, None)
            return [_alert(each, told, now) for each in _unlike(before or labels, labels)]
        lasts_s = LASTS * self._repeat_s if last.incident else PLANE_LASTS_S
        alerts = [_alert(labels, told, now + int(lasts_s * 1e9))]
        if before is not None and before != labels:
            alerts.append(_alert(before, told, now))
        if last.incident:
            after[group] = labels
        return alerts


def _unlike(first: dict[str, str], second: dict[str, str]) -> list[dict[str, str]]:
    return [first] if first == second else [first, second]


def _alert(labels: dict[str, str], told: Sequence[Notice], ends_ns: int) -> Alert:
    last = told[-1]
    annotations = {
        "summary": next((one.text for one in told if one.severity == labels["severity"]), last.text),
        "latest": last.text,
        "ids": ", ".join(one.id for one in told[-20:]),
    }
    if last.cause:
        annotations["cause"] = last.cause
    return {
        "labels": labels,
        "annotations": annotations,
        "startsAt": iso(min(last.since_wall_ns or last.wall_ns, ends_ns)),
        "endsAt": iso(ends_ns),
    }
