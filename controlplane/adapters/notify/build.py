"""Notifiers out of their configuration."""

import httpx

from controlplane.adapters.notify.alertmanager import AlertmanagerNotifier
from controlplane.adapters.notify.pagerduty import PagerDutyNotifier
from controlplane.adapters.notify.post import Poster
from controlplane.adapters.notify.slack import SlackNotifier
from controlplane.adapters.notify.webhook import WebhookNotifier
from controlplane.model.escalation import NotifierSection
from controlplane.ports import Clock, GroupNotifier


def notifier_of(
    section: NotifierSection,
    *,
    secret: str,
    source: str,
    clock: Clock,
    transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[GroupNotifier, Poster]:
    """The notifier, and what it posts with. `source`: the plane's name. Raises ValueError for a secret that is none."""
    poster = Poster(timeout_s=section.timeout_s, proxy=section.proxy, transport=transport)
    match section.kind:
        case "webhook":
            return WebhookNotifier(section.url, secret=secret, source=source, poster=poster, clock=clock), poster
        case "slack":
            if not section.channel and not secret.startswith(("https://", "http://")):
                raise ValueError("is no URL; without a channel, slack needs the URL of an incoming webhook")
            channel = section.channel
            return SlackNotifier(token=secret, channel=channel, source=source, poster=poster, url=section.url), poster
        case "pagerduty":
            return PagerDutyNotifier(token=secret, source=source, poster=poster, url=section.url), poster
        case "alertmanager":
            made = AlertmanagerNotifier(
                section.url, token=secret, source=source, repeat_s=section.repeat_s, poster=poster, clock=clock
            )
            return made, poster
