"""`controlplane bench`: the arguments, and the runs from the first figure to the exit status."""

import argparse
import sys
from pathlib import Path

from controlplane.model.errors import ControlPlaneError

EXIT_MISSED = 1


class UnknownFigure(ControlPlaneError):
    """`--only` names nothing that is measured."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the suites and their flags. Imports nothing that is slow: every `--help` passes here."""
    suites = parser.add_subparsers(title="suites", metavar="SUITE", required=True)
    guard = suites.add_parser("guard", help="what every part of a guarded call costs, beside its rivals")
    guard.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    guard.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a glance, not a measurement")
    guard.add_argument("--only", metavar="PATTERN", default="*", help="figures whose name matches, as in 'limit.*'")
    guard.add_argument("--no-peers", action="store_true", help="leave other libraries out")
    guard.add_argument("--check", action="store_true", help="exit status 1 when a promised ratio is missed")
    guard.set_defaults(suite=_guard)
    propagation = suites.add_parser("propagation", help="what blame and blast over a call graph cost, beside numpy")
    propagation.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    propagation.add_argument("--quick", action="store_true", help="fewer rounds: a glance, not a measurement")
    propagation.add_argument("--check", action="store_true", help="exit status 1 when a promise is missed")
    propagation.set_defaults(suite=_propagation)
    delay = suites.add_parser("detection", help="how many calls it takes to find a change, beside the bound and rivals")
    delay.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    delay.add_argument("--quick", action="store_true", help="fewer trials: a glance, not a measurement")
    delay.add_argument("--plot", type=Path, metavar="FILE", help="draw the delays into an SVG file")
    delay.add_argument("--seed", type=int, default=1, help="of the traffic (default: 1)")
    delay.add_argument("--check", action="store_true", help="exit status 1 when a promise is missed")
    delay.set_defaults(suite=_detection)
    response = suites.add_parser("response", help="from the deciding signal to the first effect, with the journal on")
    response.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    response.add_argument("--quick", action="store_true", help="three rounds: a glance, not a measurement")
    response.add_argument("--services", type=int, default=1000, help="in the topology (default: 1000)")
    response.add_argument("--faults", type=int, default=50, help="that begin at one instant (default: 50)")
    response.add_argument("--loop", choices=("uvloop", "asyncio", "trio"), default="uvloop", help="(default: uvloop)")
    response.add_argument("--hgrm", type=Path, metavar="FILE", help="write the percentile table, in milliseconds")
    response.add_argument("--plot", type=Path, metavar="FILE", help="draw the distributions into an SVG file")
    response.add_argument("--busy", action="store_true", help="while spans come, streams are followed, metrics scraped")
    response.add_argument("--spans", type=float, default=300_000, help="a second, with --busy (default: 300000)")
    response.add_argument("--streams", type=int, default=50, help="of events, with --busy (default: 50)")
    response.add_argument("--check", action="store_true", help="exit status 1 when a promise is missed")
    response.set_defaults(suite=_response)
    plane = suites.add_parser("dataplane", help="from the decision until a real proxy has acknowledged and obeys")
    plane.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    plane.add_argument("--quick", action="store_true", help="a few orders: a glance, not a measurement")
    plane.add_argument("--faults", action="store_true", help="what users meet, beside the proxies' own protection")
    plane.add_argument(
        "--data-plane",
        choices=("haproxy", "envoy"),
        help="with --faults: this one only (default: all that are here)",
    )
    plane.add_argument(
        "--table", type=Path, metavar="FILE", help="with --faults and --json: put the table between the marks in FILE"
    )
    plane.add_argument("--services", type=int, default=1, help="loaded, of four endpoints each (default: 1)")
    plane.add_argument("--loop", choices=("uvloop", "asyncio", "trio"), default="uvloop", help="(default: uvloop)")
    plane.add_argument("--check", action="store_true", help="exit status 1 when a promise is missed")
    plane.set_defaults(suite=_dataplane)
    ingest = suites.add_parser("ingest", help="what a span costs, decoded and folded, beside the generated reader")
    ingest.add_argument("--json", type=Path, metavar="FILE", help="join the figures to that file's, by name")
    ingest.add_argument("--quick", action="store_true", help="fewer rounds: a glance, not a measurement")
    ingest.add_argument("--check", action="store_true", help="exit status 1 when a promise is missed")
    ingest.set_defaults(suite=_ingest)
    peers = suites.add_parser("peers", help="how breakers and limiters behave where it matters, ours and others'")
    peers.add_argument("--markdown", action="store_true", help="as the page docs/reference/peers.md")
    peers.set_defaults(suite=_peers)


def run(args: argparse.Namespace) -> int:
    """0: measured. 1: `--check` found a broken promise, or our own guard failed a probe."""
    status: int = args.suite(args)
    return status


def _guard(args: argparse.Namespace) -> int:
    from controlplane.bench import report, result, suite
    from controlplane.bench.measure import QUICK, Pace

    if args.json:
        result.read(args.json)  # a file that cannot be joined is better known before the minutes than after them
    chosen = list(suite.figures(QUICK if args.quick else Pace(), peers=not args.no_peers, only=args.only))
    if not chosen:
        raise UnknownFigure(f"--only: {args.only!r} matches no figure; docs/benchmarks.md lists them")
    rows = []
    for number, (name, measure) in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {name}", file=sys.stderr, flush=True)
        rows += measure()
    print(report.table(rows))
    if args.json:
        result.join(args.json, [row.result() for row in rows if not row.why])
    return EXIT_MISSED if args.check and any(row.missed for row in rows) else 0


def _propagation(args: argparse.Namespace) -> int:
    from controlplane.bench.propagation import command

    return EXIT_MISSED if command.run(args.json, quick=args.quick) and args.check else 0


def _detection(args: argparse.Namespace) -> int:
    from controlplane.bench import detection_report

    return detection_report.run(args)


def _response(args: argparse.Namespace) -> int:
    from controlplane.bench.response import command

    return command.run(args)


def _dataplane(args: argparse.Namespace) -> int:
    from controlplane.bench.dataplane import command

    return command.run(args)


def _ingest(args: argparse.Namespace) -> int:
    from controlplane.bench.ingest import command

    return EXIT_MISSED if command.run(args.json, quick=args.quick) and args.check else 0


def _peers(args: argparse.Namespace) -> int:
    from controlplane.bench.conformance import page

    findings = page.probe_all(lambda library: print(library, file=sys.stderr, flush=True))
    print(page.markdown(findings) if args.markdown else page.table(findings))
    return 0 if page.ours_pass(findings) else EXIT_MISSED
