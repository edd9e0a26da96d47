"""A small mesh, and one question to its safety rules."""

from controlplane.decide.kind import kind_of
from controlplane.decide.safety import Seen, charge, judge, question
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, Intent
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

NOW = Nanos(10_000 * SECOND)
LOOSE = ResponsePolicy(  # every rule but the one in question is as wide as it goes
    healthy_floor_percent=1,
    ejected_percent_max=100,
    stretch_percent_max=1000,
    blast_budget_percent=100,
    commands_per_minute_max=1_000_000,
    service_commands_per_minute_max=1_000_000,
)


def service(name: str, *endpoints: dict[str, object], calls: tuple[str, ...] = ()) -> Service:
    """A service whose endpoints are e0, e1, ... with the fields given."""
    made = tuple(Endpoint(name=f"e{n}", url=f"http://h:{n + 1}", **fields) for n, fields in enumerate(endpoints))
    return Service(name=name, endpoints=made, calls=calls)


def plain(name: str, count: int, calls: tuple[str, ...] = ()) -> Service:
    """A service of `count` endpoints that are all alike."""
    return service(name, *({} for _ in range(count)), calls=calls)


def command(target: Target, intent: Intent, known: Topology, *, kind: ActKind | None = None) -> Command:
    """An order in force."""
    act = kind or kind_of(intent)
    return Command(
        id=CommandId(f"c-{target}"),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=Nanos(NOW + SECOND),
        charge=charge(intent, known, target=target, kind=act),
        kind=act,
    )


def holding(known: Topology, *orders: tuple[Target, Intent], **more: object) -> State:
    """A state in which these orders are in force."""
    return State(in_force={str(target): command(target, intent, known) for target, intent in orders}, **more)


def refused(
    target: Target,
    intent: Intent,
    known: Topology,
    policy: ResponsePolicy = LOOSE,
    *,
    state: State | None = None,
    kind: ActKind | None = None,
    seen: Seen | None = None,
    now: Nanos = NOW,
) -> tuple[str, str]:
    """The rule that forbids the act and its reason; two empty words where none does."""
    ask = question(
        target,
        intent,
        state=state or State(),
        topology=known,
        policy=policy,
        now=now,
        kind=kind,
        seen=seen,
    )
    return judge(ask).refused or ("", "")


def out(*names: str, of: str = "s") -> list[tuple[Target, Intent]]:
    """Ejections of the endpoints so named."""
    return [(Target(of, name), Eject()) for name in names]
