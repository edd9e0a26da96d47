"""Commands about the proxies of a running process."""

import argparse

from controlplane.cli.ask import show, table_of
from controlplane.cli.client import AdminClient, printable


def proxies(args: argparse.Namespace) -> int:
    """What is wanted of each proxy, and what it has acknowledged; 1 while one of them is not as wanted."""
    answer = AdminClient.of(args).get("/v1/proxies")

    def text() -> None:
        rows = [
            (
                one["name"],
                one["kind"],
                one["condition"],
                len(one["waiting"]),
                one["restarts"],
                one["observed"],
                one["dropped"],
                f"{one['converged']['p99_s'] * 1e3:.1f} ms" if one["converged"]["count"] else "-",
            )
            for one in answer["proxies"]
        ]
        head = ("PROXY", "KIND", "CONDITION", "WAITING", "RESTARTS", "HEARD", "LOST", "IN FORCE AFTER (P99)")
        table_of(head, rows, empty="no proxies")
        for one in answer["proxies"]:
            if one["trouble"]:
                print(printable(f"{one['name']}: {one['trouble']}"))
            for target, seconds in one["waiting"].items():
                print(printable(f"{one['name']}: {target} waits for {seconds:.3f} s"))
            for target, reason in one["refused"].items():
                print(printable(f"{one['name']}: {target} was refused: {reason}"))
            for target, state in one["person"].items():
                print(printable(f"{one['name']}: {target} is {state} by a person's hand, and stays"))

    show(args, answer, text)
    return 0 if all(one["condition"] == "in force" for one in answer["proxies"]) else 1
