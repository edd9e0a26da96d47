"""What can be typed about changes and about configuration drift."""

import argparse
import os
from collections.abc import Callable


def add_changes(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Deploys and configuration changes."""
    add("changes", "List the changes that are known, the latest first", "  controlplane changes\n")
    parser = add(
        "change",
        "Tell of a deploy or a configuration change, so that it is watched and remembered when something breaks",
        "  controlplane change deploy orders --version v2 --by $USER\n"
        "  controlplane change config orders --summary 'pool 32 -> 64' --at 2026-11-27T12:00:00Z\n",
    )
    parser.add_argument("kind", choices=("deploy", "config", "other"))
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--version", default="", help="what a deploy brings")
    parser.add_argument(
        "--endpoint", action="append", metavar="NAME", help="where it runs, for a deploy in place; again"
    )
    parser.add_argument(
        "--at", default="", metavar="TIME", help="when it was made, as 2026-11-27T12:00:00Z (default: now)"
    )
    parser.add_argument("--id", default="", help="the same id twice is one change (default: a new one)")
    parser.add_argument("--summary", default="", help="a sentence for people")
    parser.add_argument("--by", default=os.environ.get("USER", "") or "operator", help="who made it (default: you)")


def add_drift(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Configuration drift, and how it comes to be known."""
    add("drift", "Show who is not configured as wanted; exit status 1 while somebody differs", "  controlplane drift\n")
    parser = add(
        "fingerprint",
        "Tell what an endpoint is configured with, to be compared with its siblings",
        "  controlplane fingerprint orders/orders-1 $(sha256sum < /etc/orders.toml | cut -c1-16) payments_v2=on\n",
    )
    parser.add_argument("endpoint", metavar="SERVICE/ENDPOINT")
    parser.add_argument("value", metavar="FINGERPRINT", help="any text: equal where the configuration is equal")
    parser.add_argument("parts", metavar="NAME=VALUE", nargs="*", help="what went into it, so that it can be named")
    parser.add_argument("--environment", default="", help="only endpoints of the same one are compared")
