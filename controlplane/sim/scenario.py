"""From a seed to a mesh, its load and what goes wrong. The same seed is the same world, on every machine."""

from random import Random
from typing import Final

import msgspec

from controlplane.sim.fault import WELL, Change, Fault, What
from controlplane.sim.mesh import Call, Mesh, Node, Replica

SIMPLE: Final = (
    "replica_down", "replica_errors", "replica_slow", "replica_hangs", "bad_version", "zone_out", "third_party_down",
)  # fmt: skip
CASCADING: Final = ("leaf_slow", "retry_storm", "overload_burst", "shared_dependency", "capacity_loss")
HEALTHY: Final = "healthy"
CLASSES: Final = (*CASCADING, *SIMPLE, HEALTHY)

BEGINS_S: Final = 40.0  # by then the guards have learned what is normal
LASTS_S: Final = 30.0
UTILISATION: Final = (0.5, 0.75)  # of the leaves' workers, at the mean load
POOL_FACTOR: Final = (1.6, 3.0)  # callers' workers over what they need when all is well
PAUSES_EVERY_S: Final = 20.0
PAUSE_S: Final = (0.01, 0.06)
SECONDS: Final = 120


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Users: Poisson at `rate_per_s`, with a day of `period_s` and that `amplitude`. They wait `patience_s`; an answer
    that takes `slow_s` is slow."""

    rate_per_s: float
    amplitude: float = 0.2
    period_s: float = 90.0
    patience_s: float = 3.0
    slow_s: float = 1.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A world: `seed` alone makes it."""

    seed: int
    fault_class: str
    mesh: Mesh
    load: Load
    faults: tuple[Fault, ...]
    pauses: tuple[Change, ...]
    seconds: int


def draw(seed: int, fault_class: str | None = None, *, seconds: int = SECONDS) -> Scenario:
    """The world of that seed; its fault class is one of CLASSES in turn, or the one asked for."""
    chosen = fault_class or CLASSES[seed % len(CLASSES)]
    if chosen not in CLASSES:
        raise ValueError(f"no fault class {chosen!r}; known: {', '.join(CLASSES)}")
    draws = Random(seed)
    load = Load(rate_per_s=draws.uniform(200, 450), amplitude=draws.uniform(0.0, 0.3))
    mesh = _mesh(draws, load)
    faults = () if chosen == HEALTHY else (_fault(draws, chosen, mesh),)
    return Scenario(
        seed=seed,
        fault_class=chosen,
        mesh=mesh,
        load=load,
        faults=faults,
        pauses=tuple(_pauses(draws, mesh, seconds)),
        seconds=seconds,
    )


def _mesh(draws: Random, load: Load) -> Mesh:
    """A gateway, services that each serve some of its routes, leaves that several of them share, one of them soft, and
    a third party."""
    middles = [f"m{number}" for number in range(1, draws.randint(3, 5))]
    leaves = [f"l{number}" for number in range(1, draws.randint(3, 4))]
    zones = ("a", "b", "c")
    shares = _shares(draws, len(middles))
    rate = load.rate_per_s * (1 + load.amplitude)
    wants: dict[str, list[str]] = {name: draws.sample(leaves, draws.randint(1, 2)) for name in middles}
    for leaf in leaves:  # everybody is called by somebody
        if not any(leaf in asked for asked in wants.values()):
            wants[draws.choice(middles)].append(leaf)
    soft = draws.choice(leaves) if draws.random() < 0.5 else ""
    nodes: list[Node] = []
    called = {
        leaf: sum(share for name, share in zip(middles, shares, strict=True) if leaf in wants[name]) for leaf in leaves
    }
    work = {leaf: draws.uniform(0.008, 0.03) for leaf in leaves}
    for leaf in leaves:
        busy = rate * called[leaf] * work[leaf]
        nodes.append(_node(draws, leaf, work[leaf], busy / draws.uniform(*UTILISATION), zones, draws.randint(3, 6)))
    party_s = draws.uniform(0.03, 0.06)
    nodes.append(msgspec.structs.replace(_node(draws, "party", party_s, rate * party_s * 4, zones, 2), external=True))
    for name, share in zip(middles, shares, strict=True):
        own = draws.uniform(0.003, 0.008)
        calls = tuple(Call(callee=leaf, soft=leaf == soft) for leaf in wants[name])
        calls += (Call(callee="party", soft=True),) if name == middles[0] else ()
        held = own + sum(work[leaf] for leaf in wants[name]) + (party_s if name == middles[0] else 0.0)
        node = _node(draws, name, own, rate * share * held * draws.uniform(*POOL_FACTOR), zones, draws.randint(3, 4))
        nodes.append(msgspec.structs.replace(node, calls=calls))
    edges = []
    low = 0.0
    for name, share in zip(middles, shares, strict=True):
        edges.append(Call(callee=name, low=low, high=low + share, timeout_s=2.0))
        low += share
    held = 0.12
    gateway = _node(draws, "gateway", 0.001, rate * held * draws.uniform(*POOL_FACTOR), zones, 3)
    return Mesh(nodes=(msgspec.structs.replace(gateway, calls=tuple(edges)), *reversed(nodes)), entry="gateway")


def _shares(draws: Random, count: int) -> list[float]:
    weights = [draws.uniform(0.5, 1.5) for _ in range(count)]
    return [weight / sum(weights) for weight in weights]


def _node(draws: Random, name: str, work_s: float, workers: float, zones: tuple[str, ...], replicas: int) -> Node:
    each = max(2, round(workers / replicas + 0.5))
    newer = draws.randint(1, max(1, replicas // 3))  # run what was rolled out last
    return Node(
        name=name,
        work_s=work_s,
        sigma=draws.uniform(0.3, 0.8),
        errors=draws.choice([0.0, 0.0005, 0.001, 0.002]),
        replicas=tuple(
            Replica(
                name=f"{name}-{number + 1}",
                workers=each,
                queue_max=10 * each,
                zone=zones[number % len(zones)],
                version="v2" if number < newer else "v1",
            )
            for number in range(replicas)
        ),
    )


def _fault(draws: Random, name: str, mesh: Mesh) -> Fault:
    leaves = [node for node in mesh.nodes if not node.calls and not node.external]
    others = [node for node in mesh.nodes if node.name != mesh.entry and not node.external]
    leaf, node = draws.choice(leaves), draws.choice(others)
    begins = BEGINS_S + draws.uniform(0, 5)
    ends = begins + LASTS_S
    origin, changes, text = node.name, [], ""

    def during(service: str, replicas: range | list[int], what: What, value: float) -> list[Change]:
        well = WELL.get(what)
        return [
            Change(
                at_s=at_s,
                what=what,
                value=value if at_s == begins else _well(mesh, service, replica, well),
                service=service,
                replica=replica,
            )
            for replica in replicas
            for at_s in (begins, ends)
        ]

    everywhere = range(len(leaf.replicas))
    match name:
        case "replica_down":
            changes = during(origin, [draws.randrange(len(node.replicas))], "down", 1)
        case "replica_errors":
            changes = during(origin, [draws.randrange(len(node.replicas))], "errors", draws.choice([0.5, 1.0]))
        case "replica_slow":
            changes = during(origin, [draws.randrange(len(node.replicas))], "slow", draws.uniform(10, 40))
        case "replica_hangs":
            changes = during(origin, [draws.randrange(len(node.replicas))], "hangs", 1)
        case "bad_version":
            newer = [at for at, one in enumerate(node.replicas) if one.version == "v2"]
            changes = during(origin, newer, "errors", draws.uniform(0.3, 1.0))
        case "zone_out":
            zone, origin = draws.choice("abc"), f"zone {draws.random():.0e}"
            origin = f"zone {zone}"
            unreachable: What = draws.choice(("down", "hangs"))
            for each in others:
                at = [number for number, one in enumerate(each.replicas) if one.zone == zone]
                changes += during(each.name, at, unreachable, 1)
        case "third_party_down":
            origin = "party"
            changes = during(origin, range(2), *draws.choice((("errors", 1.0), ("hangs", 1.0), ("slow", 30.0))))
        case "leaf_slow":
            origin = leaf.name
            changes = during(origin, everywhere, "slow", draws.uniform(15, 60))
        case "retry_storm":
            origin, ends = leaf.name, begins + draws.uniform(5, 12)
            changes = during(origin, everywhere, "workers", 1)
            changes += during(origin, everywhere, "slow", 2.0)
        case "overload_burst":
            origin, ends = mesh.entry, begins + draws.uniform(10, 20)
            changes = [
                Change(at_s=begins, what="load", value=draws.uniform(2.0, 3.5)),
                Change(at_s=ends, what="load", value=1.0),
            ]
        case "shared_dependency":
            origin = max(leaves, key=lambda one: sum(call.callee == one.name for _, call in mesh.edges())).name
            how: tuple[What, float] = draws.choice(
                (("hangs", 1.0), ("shard", draws.uniform(0.5, 1.0)), ("slow", 100.0))
            )
            changes = during(origin, range(len(mesh.node(origin).replicas)), *how)
        case "capacity_loss":
            origin = leaf.name
            lost = max(1, round(len(leaf.replicas) * draws.uniform(0.5, 0.7)))
            changes = during(origin, range(min(lost, len(leaf.replicas) - 1)), "down", 1)
    seen = sorted({f"{one.what} {one.value:.3g}" for one in changes if one.at_s == begins})
    touched = len({(one.service, one.replica) for one in changes})
    text = f"{origin}: {', '.join(seen)} at {touched} replica{'s' * (touched != 1)}"
    return Fault(name=name, origin=origin, begins_s=begins, ends_s=ends, changes=tuple(changes), text=text)


def _well(mesh: Mesh, service: str, replica: int, well: float | None) -> float:
    return float(mesh.node(service).replicas[replica].workers) if well is None else well


def _pauses(draws: Random, mesh: Mesh, seconds: int) -> list[Change]:
    """Every process stops for a moment now and then."""
    found = []
    for node in mesh.nodes:
        for replica in range(len(node.replicas)):
            at_s = draws.expovariate(1 / PAUSES_EVERY_S)
            while at_s < seconds:
                value = draws.uniform(*PAUSE_S) * 1e9
                found.append(Change(at_s=at_s, what="pause", value=value, service=node.name, replica=replica))
                at_s += draws.expovariate(1 / PAUSES_EVERY_S)
    return found
