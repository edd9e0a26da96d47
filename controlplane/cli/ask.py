"""Commands that ask a running process, one function each, named like the command."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from controlplane.cli.client import AdminClient, printable


def status(args: argparse.Namespace) -> int:
    """State of the whole; 1 while it is not ready or an incident is open."""
    answer = AdminClient.of(args).get("/v1/status")
    show(args, answer, lambda: _pairs(answer))
    return 0 if answer["ready"] and not answer["incidents_open"] else 1


def incidents(args: argparse.Namespace) -> int:
    """Incidents, newest first."""
    answer = AdminClient.of(args).get(f"/v1/incidents?state={args.state}&limit={args.limit}")

    def table() -> None:
        rows = [
            (
                one["id"],
                one["origin"],
                one["cause"],
                one["phase"] + (" (masked)" if one["masked"] else "") + (" (observe)" if one["shadow"] else ""),
                one["opened"],
                f"{one['duration_s']:.1f} s",
                _known(one["times"]["to_contain_s"], "{:.3f} s"),
                one["children"],
                one["user_visible"]["failed"],
                one["user_visible"]["slow"],
            )
            for one in answer["incidents"]
        ]
        head = ("ID", "ORIGIN", "CAUSE", "PHASE", "OPENED", "FOR", "CONTAINED", "ALERTS", "FAILED", "SLOW")
        table_of(head, rows, empty="no incidents")

    show(args, answer, table)
    return 0


def services(args: argparse.Namespace) -> int:
    """Services from both sides; 1 where the two differ."""
    answer = AdminClient.of(args).get("/v1/services")

    def table() -> None:
        rows = [
            (one["service"], one["users"], one["inside"], one["inside_reason"], one["differ"], one["incident"])
            for one in answer["services"]
        ]
        table_of(("SERVICE", "USERS SEE", "INSIDE", "WHY", "THEY DIFFER", "INCIDENT"), rows, empty="no services")

    show(args, answer, table)
    return 1 if any(one["differ"] for one in answer["services"]) else 0


def graph(args: argparse.Namespace) -> int:
    """Who calls whom, as declared and as heard."""
    answer = AdminClient.of(args).get("/v1/graph")

    def table() -> None:
        rows = [
            (
                one["caller"] or "(users)",
                one["callee"] + (" (soft)" if one["soft"] else ""),
                one["origin"],
                _known(one["calls_per_s"], "{:.1f}/s"),
                _known(one["error_ratio"], "{:.2%}"),
                _known(one["attempts_per_call"], "{:.2f}"),
                _known(one["client_latency_s"], "{:.4f} s"),
                _known(one["server_latency_s"], "{:.4f} s"),
                _known(one["age_s"], "{:.0f} s ago"),
            )
            for one in answer["edges"]
        ]
        head = ("CALLER", "CALLEE", "KNOWN", "CALLS", "ERRORS", "SENDS", "LATENCY", "AT CALLEE", "HEARD")
        table_of(head, rows, empty="no edges")
        print(f"coverage {_known(answer['coverage'], '{:.1%}')} of calls")
        for one in answer["aliases"]:
            print(printable(f"{one['name']} means {one['service']} ({one['by']})"))
        if unknown := [one["name"] for one in answer["services"] if one["virtual"]]:
            print(printable(f"only ever called, and by themselves silent: {', '.join(unknown)}"))

    show(args, answer, table)
    return 0


def _known(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def freeze(args: argparse.Namespace) -> int:
    """Stop automation."""
    return _order(args, "/v1/freeze")


def resume(args: argparse.Namespace) -> int:
    """Let automation act again."""
    return _order(args, "/v1/resume")


def observe(args: argparse.Namespace) -> int:
    """See and write down everything, interfere with nothing."""
    return _order(args, "/v1/mode", mode="observe")


def enforce(args: argparse.Namespace) -> int:
    """Act on what is seen."""
    return _order(args, "/v1/mode", mode="enforce")


def _order(args: argparse.Namespace, path: str, **more: str) -> int:
    answer = AdminClient.of(args).post(path, {"by": args.by, "reason": args.reason, **more})
    state = f"frozen: {answer['frozen_reason']}" if answer["frozen"] else f"acting, mode {answer['mode']}"
    show(args, answer, lambda: print(printable(f"{answer['name']} is {state}")))
    return 0


def show(args: argparse.Namespace, answer: Any, table: Any) -> None:
    """Print `answer` as `args` want it: JSON for programs, or what `table` prints for people."""
    if args.output == "json":
        print(json.dumps(answer, indent=2))
    else:
        table()


def _pairs(answer: dict[str, Any]) -> None:
    width = max(map(len, answer))
    for key, value in answer.items():
        print(f"{key.replace('_', ' '):<{width}}  {printable(value)}")


def table_of(head: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table, or `empty` where it has no rows."""
    if not rows:
        print(empty)
        return
    cells = [list(head), *([printable(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
