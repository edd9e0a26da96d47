"""Standing orders of people, as they are typed: hold and release, override and revoke."""

import argparse
import os
from collections.abc import Callable


def add_standing(add: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Standing orders of people: hold and release, override and revoke."""
    about = "a service, SERVICE/ENDPOINT, or '*' for everything"
    you = os.environ.get("USER", "") or "operator"
    hold = add(
        "hold",
        "Keep automation's hands off a target: nothing new, nothing given back",
        '  controlplane hold orders/orders-1 --for 30m --reason "debugging it"\n  controlplane hold orders\n',
    )
    hold.add_argument("--for", dest="for_s", type=seconds, default=0.0, metavar="TIME", help="as 90s, 30m, 2h, 1d")
    release = add("release", "End a hold", "  controlplane release orders/orders-1\n")
    for parser in (hold, release):
        parser.add_argument("target", metavar="TARGET", help=about)
    override = add(
        "override",
        "Break glass: set one safety rule aside for a while, on record and told to everybody",
        '  controlplane override healthy_floor --target orders --for 10m --reason "a and b are gone for good"\n',
    )
    override.add_argument("--for", dest="for_s", type=seconds, required=True, metavar="TIME", help="at most 1h")
    revoke = add("revoke", "End an override before its time", "  controlplane revoke healthy_floor --target orders\n")
    for parser in (override, revoke):
        parser.add_argument("rule", metavar="RULE", help="as listed by: controlplane rules")
        parser.add_argument("--target", required=True, metavar="TARGET", help=about)
    for parser in (hold, release, override, revoke):
        parser.add_argument("--reason", default="", required=parser is override, help="goes on record")
        parser.add_argument("--by", default=you, help="who orders it (default: you)")


def seconds(text: str) -> float:
    """A time as people write it, in seconds: 90s, 30m, 2h, 1d, or a bare number of seconds."""
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(text[-1:], 0)
    number = text[:-1] if unit else text
    if not number.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write it as 90s, 30m, 2h or 1d")
    return float(number) * (unit or 1)
