"""Commands about changes: tell of a deploy or of a configuration change, and list those that are known."""

import argparse
from typing import Any

from controlplane.cli.ask import show, table_of
from controlplane.cli.client import AdminClient, printable


def change(args: argparse.Namespace) -> int:
    """Tell of a change."""
    told: dict[str, Any] = {"kind": args.kind, "service": args.service, "by": args.by, "summary": args.summary}
    told |= {key: value for key, value in (("id", args.id), ("version", args.version), ("at", args.at)) if value}
    if args.endpoint:
        told["endpoints"] = args.endpoint
    answer = AdminClient.of(args).post("/v1/changes", told)
    known = " (known before)" if answer["known"] else ""
    show(args, answer, lambda: print(printable(f"{args.kind} of {args.service} is known as {answer['ids'][0]}{known}")))
    return 0


def changes(args: argparse.Namespace) -> int:
    """Those on record."""
    answer = AdminClient.of(args).get("/v1/changes")

    def text() -> None:
        rows = [
            (one["at"], one["service"], one["kind"], one["version"] or "-", one["by"] or "-", one["id"], one["summary"])
            for one in answer["changes"]
        ]
        table_of(("AT", "SERVICE", "KIND", "VERSION", "BY", "ID", "SUMMARY"), rows, empty="no changes are known")

    show(args, answer, text)
    return 0
