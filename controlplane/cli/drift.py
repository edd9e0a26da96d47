"""Commands about configuration drift of a running process."""

import argparse
from typing import Any

from controlplane.cli.ask import show, table_of
from controlplane.cli.client import AdminClient, printable
from controlplane.model.errors import ConfigError


def drift(args: argparse.Namespace) -> int:
    """Who is not configured as wanted; 1 while there is somebody, or nobody can say who."""
    answer = AdminClient.of(args).get("/v1/drift")

    def text() -> None:
        rows = [
            (one["who"], f"{one['for_s']:.0f} s", one["against"], ", ".join(one["differs"]))
            for one in answer["drifted"]
        ]
        table_of(("WHO", "FOR", "NOT AS", "WHAT DIFFERS"), rows, empty="nobody is known to differ")
        for one in answer["unclear"]:
            print(printable(f"unclear: {one}"))
        print(f"{answer['fingerprints']} of {answer['endpoints']} endpoints have told a fingerprint")

    show(args, answer, text)
    return 1 if answer["drifted"] or answer["unclear"] else 0


def fingerprint(args: argparse.Namespace) -> int:
    """Tell the fingerprint of one endpoint."""
    service, _, endpoint = args.endpoint.partition("/")
    parts: dict[str, str] = {}
    for word in args.parts:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"{word!r} is not NAME=VALUE, as in payments_v2=on", key="PART")
        parts[name] = value
    told: dict[str, Any] = {"service": service, "endpoint": endpoint, "fingerprint": args.value, "parts": parts}
    answer = AdminClient.of(args).post("/v1/fingerprints", [{**told, "environment": args.environment}])
    show(args, answer, lambda: print(printable(f"the fingerprint of {args.endpoint} is known")))
    return 0
