"""How often the true origin is among the first, on recorded incidents or on made-up fleets.

    python -m bench.incidents FOLDER                     recordings and truth.json: by fault, and healthy windows
    python -m bench.incidents --fleet 200                made-up fleets of 40 to 50 services (bench/fleet.py)
    python -m bench.incidents FOLDER --without edge      take a signal away: edge, entry, self_time_s, saturation, ...
    python -m bench.incidents FOLDER --merge 5           five buckets into one
    python -m bench.incidents FOLDER --lose-calls 0.1    a tenth of the call graph is not known; --skew: nor the counts
    python -m bench.incidents FOLDER --sweep             every parameter times 0.5 to 2
    python -m bench.incidents FOLDER --json results.json join the figures to that file's

`truth.json` maps a recording's name to its `fault` and `root_cause`, a list. Equal scores count as the chance that the
true one comes first; a service that is not accused has a score of zero. `listed` counts the true ones that are accused.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np

from bench.fleet import FAULTS, case
from bench.scoring import healthy, hit, incomplete, merged, skewed, without
from controlplane.adapters.recording import read_incidents
from controlplane.bench.result import Result, join
from controlplane.decide.analysis import baseline, excess, local, origin
from controlplane.decide.analysis.analyze import analyze
from controlplane.decide.analysis.window import Window

PARAMETERS: tuple[tuple[ModuleType, str], ...] = (
    (baseline, "BOUND_SPREADS"),
    (excess, "LATENCY_FLOOR"),
    (excess, "ERROR_FLOOR"),
    (excess, "COUNT_SPREADS"),
    (excess, "SMALL_SAMPLE"),
    (local, "NETWORK_FLOOR"),
    (local, "SATURATION_FLOOR"),
    (local, "CALLS_FLOOR"),
    (origin, "ACCUSE"),
    (origin, "UNSEEN"),
    (origin, "FEW"),
    (origin, "MATERIAL"),
    (origin, "BREACHED"),
    (origin, "ALIAS_CALLS"),
    (origin, "ALIAS_TIME"),
)
FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
FIRST = (1, 3, 5)
SWEEP_EVERY = 5  # healthy windows: so many times fewer, in a sweep
HEALTHY_SEED = 1_000_000


class Incident(msgspec.Struct, frozen=True):
    """A window whose origin is known; no truth: it is healthy."""

    window: Window
    fault: str
    truth: tuple[str, ...]


class Score(msgspec.Struct, frozen=True):
    """Of some incidents: how many, their mean hits by FIRST, and how many of the true origins are accused at all."""

    incidents: int
    top: tuple[float, ...]
    listed: float


Change = Callable[[Window], Window]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--fleet", type=int, default=0, metavar="N", help="so many made-up incidents, as many healthy")
    parser.add_argument("--without", action="append", default=[], metavar="SIGNAL")
    parser.add_argument("--merge", type=int, default=1, metavar="N")
    parser.add_argument("--skew", action="store_true", help="count each service's requests at a rate of its own")
    parser.add_argument("--lose-calls", type=float, default=0.0, metavar="SHARE", help="of the call graph")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    if (asked.folder is None) == (asked.fleet == 0):
        parser.error("name a folder of recordings, or --fleet N")

    def change(window: Window) -> Window:
        for part in asked.without:
            window = without(window, part)
        if asked.skew:
            window = skewed(window)
        if asked.lose_calls:
            window = incomplete(window, asked.lose_calls)
        return merged(window, asked.merge) if asked.merge > 1 else window

    results: list[Result] = []
    sets = {"": recorded(asked.folder)} if asked.folder else fleets(asked.fleet)
    for name, (incidents, calm) in sets.items():
        if asked.sweep:
            print(sweep(incidents, calm[::SWEEP_EVERY], change))
            continue
        scores = measure(incidents, change)
        empty = share_empty(calm, change)
        print(table(name, scores, empty, len(calm)))
        prefix = f"attribution.{name.replace(' ', '_')}." if name else "attribution."
        top = scores["all"].top
        results += [Result(f"{prefix}top{k}", round(value, 4), "share") for k, value in zip(FIRST, top, strict=True)]
        results.append(Result(f"{prefix}healthy_empty", round(empty, 4), "share"))
    if asked.json and results:
        join(asked.json, results)


def recorded(folder: Path) -> tuple[list[Incident], list[Window]]:
    """(incidents, healthy windows) of a folder."""
    truth = json.loads((folder / "truth.json").read_text())
    found: dict[str, Window] = {}
    for path in sorted(folder.glob("*.json*")):
        if path.name != "truth.json":
            found.update(read_incidents(path))
    times = [w.time_s[w.incident_at :] for w in found.values() if w.time_s is not None]
    incidents_s = np.unique(np.concatenate(times)) if times else np.empty(0)
    incidents, calm = [], []
    for name, window in found.items():
        causes = tuple(truth.get(name, {}).get("root_cause") or ())
        incidents += [Incident(window, truth[name]["fault"], causes)] if causes else []
        calm += list(healthy(window, incidents_s)) if causes else [window]
    return incidents, calm


def fleets(count: int) -> dict[str, tuple[list[Incident], list[Window]]]:
    """Made-up incidents: with every signal, and with requests, errors and latency of services only."""
    sets = {}
    for name, rich in (("fleet", True), ("fleet services only", False)):
        faults = [fault for fault in FAULTS if rich or fault != "network"]  # nothing of a service shows that one
        incidents = []
        for seed in range(count):
            made = case(seed, rich=rich, fault=faults[seed % len(faults)])
            names = () if made.truth is None else (made.window.services[made.truth],)
            incidents.append(Incident(made.window, made.fault, names))
        calm = [case(HEALTHY_SEED + seed, rich=rich, fault=None).window for seed in range(count)]
        sets[name] = (incidents, calm)
    return sets


def measure(incidents: Sequence[Incident], change: Change) -> dict[str, Score]:
    """Scores by kind of fault, and of "all"."""
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for incident in incidents:
        answer = analyze(change(incident.window))
        services = incident.window.services
        accused = any(found.service in incident.truth for found in answer.origins)
        row = (*(hit(answer, services, incident.truth, first) for first in FIRST), float(accused))
        rows[incident.fault].append(row)
        rows["all"].append(row)
    means = {fault: np.mean(found, axis=0).tolist() for fault, found in rows.items()}
    return {fault: Score(len(rows[fault]), tuple(mean[:-1]), mean[-1]) for fault, mean in means.items()}


def share_empty(calm: Sequence[Window], change: Change) -> float:
    """The share of healthy windows in which nothing is accused."""
    return float(np.mean([not analyze(change(window)).origins for window in calm])) if calm else float("nan")


def table(name: str, scores: dict[str, Score], empty: float, calm: int) -> str:
    """Scores as text."""
    head = (
        f"{name or 'recordings':<22}{'incidents':>10}" + "".join(f"{f'top-{k}':>8}" for k in FIRST) + f"{'listed':>8}"
    )
    order = sorted(scores, key=lambda fault: (fault == "all", fault))
    rows = [
        f"{fault:<22}{score.incidents:>10}" + "".join(f"{v:>8.3f}" for v in score.top) + f"{score.listed:>8.3f}"
        for fault, score in ((fault, scores[fault]) for fault in order)
    ]
    return "\n".join([head, *rows, f"{'healthy, empty':<22}{calm:>10}{empty:>8.3f}", ""])


def sweep(incidents: Sequence[Incident], calm: Sequence[Window], change: Change) -> str:
    """Top-1 and the share of empty healthy windows with each parameter alone times each factor, as Markdown."""
    lines = [
        "| parameter | value | " + " | ".join(f"x{factor:g}" for factor in FACTORS) + " |",
        "|---" * (2 + len(FACTORS)) + "|",
    ]
    for module, name in PARAMETERS:
        value: float = getattr(module, name)
        cells = []
        for found in _each(name, value):
            top = measure(incidents, change)["all"].top[0]
            cells.append(f"{top:.3f} / {share_empty(calm, change):.3f}" if found else "")
        lines.append(f"| `{name}` | {value:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _each(name: str, value: float) -> Iterator[float]:
    try:
        for factor in FACTORS:
            _set(name, value * factor)
            yield factor
    finally:
        _set(name, value)


def _set(name: str, value: float) -> None:
    for module in {module for module, _ in PARAMETERS}:  # wherever the name was imported to
        if hasattr(module, name):
            setattr(module, name, value)


if __name__ == "__main__":
    main()
