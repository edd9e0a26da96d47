"""`controlplane demo`: its flags, and its run from the first process to the exit status."""

import argparse
from pathlib import Path

RATE_PER_S = 200
SEED = 7
HEALTHY_S = 20.0
DATA_PLANES = ("in-process", "haproxy", "envoy")
FAULT_NAMES = (
    "replica_errors",
    "replica_slow",
    "replica_hangs",
    "shared_dependency_overload",
    "bad_version",
    "third_party_dies",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags. Imports nothing that is slow: every `--help` passes here."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as JSON, too")
    parser.add_argument("--keep", action="store_true", help="leave the mesh running after the table, until Ctrl-C")
    parser.add_argument(
        "--seed", type=int, default=SEED, metavar="N", help="of traffic and choices (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=_rate, default=RATE_PER_S, metavar="N", help="user requests per second (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=FAULT_NAMES,
        metavar="FAULT",
        help=f"run this fault only; repeatable: {', '.join(FAULT_NAMES)}",
    )
    parser.add_argument(
        "--healthy-s",
        type=_seconds,
        default=HEALTHY_S,
        metavar="S",
        help="length of the healthy phase (default: %(default)s)",
    )
    parser.add_argument(
        "--data-plane",
        choices=DATA_PLANES,
        default=DATA_PLANES[0],
        help="what makes the gateway's calls: the gateway with the library in it, or a real proxy that the control "
        "plane steers by its log and counters; faults that no call of the proxy meets are then left out, by name "
        "(default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """0: every fault was contained. 1: one was not, or healthy traffic raised an alarm, or a process died.

    Raises NoProxy where the data plane is not on this machine, or meets none of the faults that were asked for.
    """
    from controlplane.demo.course import course
    from controlplane.demo.front import check

    check(args.data_plane, args.only or FAULT_NAMES)
    return course(args)


def _rate(text: str) -> int:
    rate = int(text)
    if not 20 <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"{rate} is not between 20 and 1000")
    return rate


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 3600")
    return seconds
