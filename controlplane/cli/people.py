"""Commands about people: take an incident, and try whether a notifier reaches anybody."""

import argparse
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from controlplane.cli.ask import show
from controlplane.cli.client import AdminClient, printable
from controlplane.model.errors import ConfigError, NotifyError

if TYPE_CHECKING:
    from controlplane.model.notice import Notice

TRIED_S = 30.0


def acknowledge(args: argparse.Namespace) -> int:
    """Say who has an incident."""
    client = AdminClient.of(args)
    answer = client.post(f"/v1/incidents/{quote(args.id, safe='')}/acknowledge", {"by": args.by, "reason": args.reason})

    def text() -> None:
        people = answer["people"]
        ladder = f"; ladder {people['ladder']} stops at rung {people['rung']}" if people["ladder"] else ""
        print(printable(f"{answer['id']} is {people['acknowledged_by']}'s: {answer['origin']}{ladder}"))

    show(args, answer, text)
    return 0


def notify_test(config_file: str, name: str, *, output: str) -> int:
    """Send a test notice by one notifier, at once and once, and say what came back; 1 where it was not taken."""
    import anyio

    from controlplane.adapters.clock import SystemClock
    from controlplane.assembly.people import named_notifier
    from controlplane.config import load_config
    from controlplane.config.convert import did_you_mean

    config = load_config(config_file)
    section = config.notifiers.get(name)
    if section is None:
        known = f"declared: {', '.join(config.notifiers)}" if config.notifiers else "[notifiers] declares none"
        hint = did_you_mean(name, config.notifiers)
        raise ConfigError(f"{name!r} is not a declared notifier{hint}; {known}", key="NAME", source=config_file)
    notifier, poster = named_notifier(name, section, source=config.plane.name, clock=SystemClock())
    answers: list[str] = []
    failure = ""

    async def send() -> None:
        nonlocal failure
        try:
            with anyio.fail_after(TRIED_S):
                for notice in _notices(section.kind):
                    await notifier.notify_group([notice])
                    answers.append(f"{notice.kind}: {poster.answer}")
        except NotifyError as error:
            failure = f"{error} ({'it would be tried again' if error.retryable else 'it would not be tried again'})"
        except TimeoutError:
            failure = f"no answer within {TRIED_S:g} s"

    anyio.run(send)
    if output == "json":
        print(
            json.dumps(
                {"notifier": name, "kind": section.kind, "ok": not failure, "answers": answers, "failure": failure}
            )
        )
        return 1 if failure else 0
    for line in answers:
        print(printable(f"{name} ({section.kind}): {line}"))
    if failure:
        print(printable(f"{name} ({section.kind}): NOT taken: {failure}"))
    return 1 if failure else 0


def _notices(kind: str) -> list["Notice"]:
    from controlplane.model.notice import Notice
    from controlplane.model.unit import IncidentId, Nanos

    now_ns = time.time_ns()

    def one(number: int, what: str, text: str) -> Notice:
        return Notice(
            f"test:{what}",
            IncidentId("test"),
            "info",
            text,
            Nanos(0),
            id=f"{now_ns:x}-{number}",
            wall_ns=now_ns,
            since_wall_ns=now_ns,
        )

    told = [one(1, "opened", "a test of this notifier: nothing has happened")]
    if kind in ("pagerduty", "alertmanager"):  # what opens something there closes it
        told.append(one(2, "closed", "the test is over"))
    return told
