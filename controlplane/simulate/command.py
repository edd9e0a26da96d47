"""`controlplane simulate`: its flags, and one seed replayed."""

import argparse
from pathlib import Path

SEED_MAX = 2**62
SECONDS_MAX = 3_600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    from controlplane.sim.scenario import CLASSES, SECONDS
    from controlplane.simulate.peer import NAMES

    parser.add_argument("--seed", type=_whole(0, SEED_MAX), required=True, metavar="S", help="of the world")
    parser.add_argument(
        "--fault", choices=CLASSES, metavar="CLASS", help=f"instead of what the seed draws: {', '.join(CLASSES)}"
    )
    parser.add_argument(
        "--policy",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"who protects it; repeatable (default: plain and ours): {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--seconds",
        type=_whole(1, SECONDS_MAX),
        default=SECONDS,
        metavar="N",
        help="simulated seconds (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write scenario, figures and timelines there, too")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the failed requests of each second")


def run(args: argparse.Namespace) -> int:
    """Replay, print, write; 1 when an invariant broke."""
    import msgspec

    from controlplane.sim.scenario import draw
    from controlplane.simulate import show
    from controlplane.simulate.replay import replay

    scenario = draw(args.seed, args.fault, seconds=args.seconds)
    replays = [replay(scenario, policy) for policy in dict.fromkeys(args.policy or ("plain", "ours"))]
    print(show.text(scenario, replays))
    if args.json:
        found = {"scenario": scenario, "runs": replays}
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(found, order="deterministic"), indent=1) + b"\n")
    if args.plot:
        args.plot.write_text(show.svg(scenario, replays))
    return 1 if any(told.violations for told in replays) else 0


def _whole(low: int, high: int) -> "type[int]":
    def whole(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be between {low} and {high}, not {text}")
        return number

    whole.__name__ = "number"
    return whole  # type: ignore[return-value]
