"""Checks of `[notifiers]`, `[ladders]` and `[owners]`: whoever is to be told can be told, and every name leads on."""

from collections.abc import Collection

from controlplane.config.convert import Problems, did_you_mean
from controlplane.config.quiet import quiet_hours
from controlplane.config.url import wrong_url
from controlplane.model.config import Config
from controlplane.model.escalation import LOG, NotifierSection

INSTEAD = "a secret into token_file or token_env"
NEEDS_URL = ("webhook", "alertmanager")
NEEDS_SECRET = {
    "slack": "a bot's token, or the URL of an incoming webhook",
    "pagerduty": "an integration's routing key",
}


def check_notifiers(config: Config, problems: Problems) -> None:
    """Note what is wrong with who is told, when and in which order."""
    for name, section in config.notifiers.items():
        if name == LOG:
            problems.add(f"notifiers.{name}", "is the name of this process's own log in ladders; choose another")
        _check_notifier(f"notifiers.{name}", section, problems)
    for name, ladder in config.ladders.items():
        key = f"ladders.{name}"
        if not ladder.rungs:
            problems.add(f"{key}.rungs", 'is empty; name at least one, as [{ notify = ["chat"] }]')
        for number, rung in enumerate(ladder.rungs, 1):
            if not rung.notify:
                problems.add(f"{key}.rungs", f"rung {number} names nobody; notify = [names of notifiers]")
            for notifier in rung.notify:
                if notifier not in config.notifiers and notifier != LOG:
                    _unknown(f"{key}.rungs", notifier, "notifier", config.notifiers, problems)
        if ladder.then and ladder.then not in config.ladders:
            _unknown(f"{key}.then", ladder.then, "ladder", config.ladders, problems)
        elif ladder.then and ladder.repeat_s:
            problems.add(
                f"{key}.repeat_s", f"is never reached: after the last rung {ladder.then!r} goes on; leave one out"
            )
    for name, owner in config.owners.items():
        if owner.ladder not in config.ladders:
            _unknown(f"owners.{name}.ladder", owner.ladder, "ladder", config.ladders, problems)
    for service in config.services:
        if service.owner and service.owner not in config.owners:
            _unknown(f"services.{service.name}.owner", service.owner, "owner", config.owners, problems)


def _unknown(key: str, name: str, what: str, known: Collection[str], problems: Problems) -> None:
    declared = f"declared: {', '.join(known)}" if known else f"[{what}s] declares none"
    problems.add(key, f"{name!r} is not a declared {what}{did_you_mean(name, known)}; {declared}")


def _check_notifier(key: str, section: NotifierSection, problems: Problems) -> None:
    kind = section.kind
    secrets = [name for name in ("token_file", "token_env") if getattr(section, name)]
    if len(secrets) == 2:
        problems.add(f"{key}.token_env", "and token_file name two secrets; keep one of them")
    if not secrets and kind in NEEDS_SECRET:
        problems.add(f"{key}.token_file", f"is missing, and so is token_env; {kind} needs {NEEDS_SECRET[kind]}")
    if not section.url and kind in NEEDS_URL:
        example = "http://alertmanager:9093" if kind == "alertmanager" else "https://hooks.example.com/controlplane"
        problems.add(f"{key}.url", f"is missing; a {kind} needs it, as {example!r}")
    if section.url and kind == "slack" and not section.channel:
        problems.add(
            f"{key}.url", "means nothing without a channel: an incoming webhook's URL is a secret (token_file)"
        )
    if section.channel and kind != "slack":
        problems.add(f"{key}.channel", f"means nothing for {kind}; only slack has channels")
    for field in ("url", "proxy"):
        if (url := getattr(section, field)) and (reason := wrong_url(url, instead=INSTEAD)):
            problems.add(f"{key}.{field}", f"{url!r} {reason}")
    if section.quiet and section.kind == "alertmanager":
        problems.add(f"{key}.quiet", "means nothing here: Alertmanager has time intervals of its own")
    try:
        quiet_hours((), section.timezone)
    except (ValueError, KeyError, OSError):
        problems.add(f"{key}.timezone", f"{section.timezone!r} is no time zone of this machine, as 'Europe/Berlin'")
        return
    for span in section.quiet:
        try:
            quiet_hours((span,), section.timezone)
        except ValueError as error:
            problems.add(f"{key}.quiet", f"{span!r} {error}")
