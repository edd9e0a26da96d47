"""Where Alertmanager and Prometheus leave their alerts: each becomes a signal to the engine, under the admin's
token."""

from collections.abc import Sequence

import anyio
import msgspec

from controlplane.adapters.ingest.alert import ALERTS_MAX, AlertReader, PostableAlert, WebhookMessage
from controlplane.admin.problem import Problem
from controlplane.assembly import Plane
from controlplane.model.signal import Alerted

BODY_BYTES_MAX = 1 << 20  # a thousand alerts with their annotations


class AlertsTaken(msgspec.Struct, frozen=True):
    """How many alerts were taken in, and how many were left out because they name no declared service."""

    accepted: int
    ignored: int


def take_message(plane: Plane, message: WebhookMessage) -> AlertsTaken:
    """Hand the alerts of a webhook's message to the engine. Raises Problem."""
    _bounded(message.alerts)
    return _submit(plane, _reader(plane).message(message), len(message.alerts))


def take_postable(plane: Plane, alerts: list[PostableAlert]) -> AlertsTaken:
    """The same of what Prometheus posts to an Alertmanager."""
    _bounded(alerts)
    return _submit(plane, _reader(plane).postable(alerts), len(alerts))


def _reader(plane: Plane) -> AlertReader:
    return AlertReader(plane.config.alerts, plane.topology, plane.clock)


def _bounded(alerts: Sequence[object]) -> None:
    if len(alerts) > ALERTS_MAX:
        right = "set max_alerts of the webhook, or alertmanager_config's batch, lower"
        raise Problem(400, f"{len(alerts)} alerts in one request; at most {ALERTS_MAX} are taken: {right}")


def _submit(plane: Plane, signals: list[Alerted], told: int) -> AlertsTaken:
    for signal in signals:
        try:
            plane.submit_nowait(signal)
        except (anyio.WouldBlock, RuntimeError) as error:  # senders try again, and the same alert twice is one
            reason = "the inbox is full" if isinstance(error, anyio.WouldBlock) else str(error)
            raise Problem(503, f"{reason}; send them again", headers={"retry-after": "1"}) from error
    return AlertsTaken(accepted=len(signals), ignored=told - len(signals))
