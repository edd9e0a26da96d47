"""Commands about the safety rules and guards of a running process, one function each, named like the command."""

import argparse
from typing import Any

from controlplane.cli.ask import show, table_of
from controlplane.cli.client import AdminClient, printable


def rules(args: argparse.Namespace) -> int:
    """The table of rules, and what people hold or have set aside."""
    answer = AdminClient.of(args).get("/v1/rules")

    def text() -> None:
        rows = [(one["name"], one["refused"], one["limits"], one["forbids"]) for one in answer["rules"]]
        table_of(("RULE", "REFUSED", "LIMITS", "FORBIDS"), rows, empty="no rules")
        _standing(answer)

    show(args, answer, text)
    return 0


def posture(args: argparse.Namespace) -> int:
    """Guards, and what is closed or open while one is degraded."""
    answer = AdminClient.of(args).get("/v1/posture")

    def text() -> None:
        rows = [
            (one["service"], one["kind"], "degraded" if one["degraded"] else "well", ", ".join(one["protects"]))
            for one in answer["guards"]
        ]
        table_of(("GUARD", "KIND", "STATE", "PROTECTS"), rows, empty="nobody guards anything")
        for one in answer["findings"]:
            print(printable(f"{one['since']}  {one['id']} in {one['incident']}  {one['guard']}: {one['reason']}"))
            for what in ("closed", "hardened"):
                if one[what]:
                    print(printable(f"  {what}: {', '.join(one[what])}"))
            for open_ in one["exposed"]:
                print(printable(f"  exposed: {open_['service']}, {open_['why']}"))
        if answer["guards"] and not answer["close_percent"]:
            print("nothing is closed: close is in shadow; set response.enforcement.close to 100 where it is to be")

    show(args, answer, text)
    return 0


def shadow(args: argparse.Namespace) -> int:
    """What acts in shadow would have done."""
    answer = AdminClient.of(args).get("/v1/shadow")

    def text() -> None:
        rows = [
            (
                one["kind"],
                f"{one['percent']} %",
                one["orders"],
                ", ".join(one["targets"][:4]) + (" ..." if len(one["targets"]) > 4 else ""),
                "-" if one["avoids_per_s"] is None else f"{one['avoids_per_s']:.3g}/s of {one['avoids_known']}",
                f"{one['incidents_open']} / {one['incidents_closed']}",
            )
            for one in answer["kinds"]
        ]
        head = ("KIND", "APPLIES TO", "WOULD HAVE", "WHERE", "AVOIDS", "OPEN / CLOSED")
        table_of(head, rows, empty="nothing is in shadow")
        for kind in answer["kinds"]:
            for one in kind["latest"]:
                failed = f", {one['users_failed']} requests of users failed" if one["users_failed"] else ""
                print(printable(f"{one['at']}  {one['incident']}  {one['order']}: {one['ended']}{failed}"))
        for guard in answer["guards"]:
            print(
                printable(
                    f"guard {guard['service']} ({guard['policy']}) refuses {guard['percent']} % of what it would; "
                    f"{guard['shadowed']} calls went on"
                )
            )

    show(args, answer, text)
    return 0


def hold(args: argparse.Namespace) -> int:
    """Leave a target as it is."""
    return _order(args, "/v1/hold", target=args.target, for_s=args.for_s)


def release(args: argparse.Namespace) -> int:
    """End a hold."""
    return _order(args, "/v1/release", target=args.target)


def override(args: argparse.Namespace) -> int:
    """Set a rule aside for a while."""
    return _order(args, "/v1/override", target=args.target, rule=args.rule, for_s=args.for_s)


def revoke(args: argparse.Namespace) -> int:
    """End an override."""
    return _order(args, "/v1/revoke", target=args.target, rule=args.rule)


def _order(args: argparse.Namespace, path: str, **what: Any) -> int:
    answer = AdminClient.of(args).post(path, {"by": args.by, "reason": args.reason, **what})

    def text() -> None:
        if not answer["holds"] and not answer["overrides"]:
            print("nothing is held, no rule is set aside")
        _standing(answer)

    show(args, answer, text)
    return 0


def _standing(answer: dict[str, Any]) -> None:
    for one in answer["holds"]:
        left = "until released" if one["left_s"] is None else f"for {one['left_s']:.0f} s yet"
        print(printable(f"held: {one['target']} by {one['by']}, {left}: {one['reason'] or 'no reason given'}"))
    for one in answer["overrides"]:
        about = f"{one['rule']} for {one['target']} by {one['by']}, for {one['left_s']:.0f} s yet"
        print(printable(f"SET ASIDE: {about}: {one['reason']}"))
