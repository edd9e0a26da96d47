"""Whoever is told by name: `[notifiers]` of a configuration as channels of the control loop."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from controlplane.config.quiet import quiet_hours
from controlplane.config.token import read_token
from controlplane.decide.state import State
from controlplane.model.config import Config
from controlplane.model.errors import ConfigError
from controlplane.model.escalation import Acknowledged, NotifierSection
from controlplane.model.incident import Phase
from controlplane.model.notice import Notice
from controlplane.model.unit import IncidentId, Nanos
from controlplane.ports import Clock, GroupNotifier
from controlplane.runtime.channel import Channel

if TYPE_CHECKING:  # an HTTP client, for whoever tells somebody
    from controlplane.adapters.notify.post import Poster

SEVERITIES = ("info", "warning", "critical")


def channels_of(config: Config, clock: Clock) -> list[Channel]:
    """One for each notifier. Raises ConfigError where a secret cannot be read."""
    return [_channel(name, section, config.plane.name, clock) for name, section in config.notifiers.items()]


def named_notifier(
    name: str, section: NotifierSection, *, source: str, clock: Clock, environ: Mapping[str, str] = os.environ
) -> "tuple[GroupNotifier, Poster]":
    """The notifier of that name, and what it posts with. Raises ConfigError where its secret is not to be had."""
    from controlplane.adapters.notify.build import notifier_of

    key = f"notifiers.{name}.{'token_env' if section.token_env else 'token_file'}"
    secret = ""
    if section.token_env:
        secret = environ.get(section.token_env, "").strip()
        if not secret:
            raise ConfigError(f"the environment variable {section.token_env} is not set, or empty", key=key)
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            raise ConfigError(f"the environment variable {section.token_env} holds more than one word", key=key)
    elif section.token_file:
        try:
            secret = read_token(section.token_file)
        except ConfigError as error:
            raise ConfigError(error.reason, key=key) from error
    try:
        return notifier_of(section, secret=secret, source=source, clock=clock)
    except ValueError as error:
        raise ConfigError(f"the secret {error}", key=key) from None


def standing_of(state: Callable[[], State]) -> Callable[[str], Sequence[Notice]]:
    """What a notifier has heard of every incident that is still open: the worst of it, and the newest."""

    def standing(name: str) -> list[Notice]:
        found: list[Notice] = []
        for incident in state().open_incidents():
            had = [one.notice for one in incident.told if any(each.by == name and each.ok for each in one.delivered)]
            if had:
                worst = max(had, key=lambda notice: SEVERITIES.index(notice.severity))
                found += [worst] if worst is had[-1] else [worst, had[-1]]
        return found

    return standing


def acknowledgement(state: State, incident: IncidentId, *, by: str, reason: str, now: Nanos) -> Acknowledged:
    """What the engine is told. Raises KeyError for an incident that is not known, ValueError for one that is over."""
    known = state.incidents[incident]
    if known.phase is Phase.CLOSED:
        raise ValueError(f"{incident} is part of {known.merged_into}" if known.merged_into else f"{incident} is over")
    return Acknowledged(at=now, incident=incident, by=by, reason=reason)


def _channel(name: str, section: NotifierSection, source: str, clock: Clock) -> Channel:
    notifier, _ = named_notifier(name, section, source=source, clock=clock)
    return Channel(
        name=name,
        notifier=notifier,
        timeout_s=section.timeout_s,
        group_wait_s=section.group_wait_s,
        repeat_s=section.repeat_s if section.kind == "alertmanager" else 0.0,
        least=SEVERITIES[SEVERITIES.index(section.least) :],
        quiet_left_s=quiet_hours(section.quiet, section.timezone),
    )
