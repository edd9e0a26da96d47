"""An engine whose inputs and records go into a real journal file, and random histories for it."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from controlplane.adapters.stores.table import RecordTable
from controlplane.decide.engine import Engine
from controlplane.decide.schema import schema_id
from controlplane.model import signal as sig
from controlplane.model.escalation import People
from controlplane.model.input import Began, Input, InputBatch, Setup, Stepped, Ticked
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Playbook
from controlplane.model.policy import GraphPolicy, ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Epoch, Nanos


def setup_of(
    topology: Topology,
    policy: ResponsePolicy,
    graph: GraphPolicy | None = None,
    *,
    playbooks: tuple[Playbook, ...] = (),
    people: People | None = None,
) -> Setup:
    """As the assembly makes it."""
    return Setup(
        program="test",
        schema=schema_id(),
        topology=topology,
        policy=policy,
        graph=graph or GraphPolicy(),
        playbooks=playbooks,
        people=people or People(),
    )


class TapedEngine(Engine):
    """An engine that writes what it was told and what it answered to `table` at once."""

    def __init__(
        self,
        table: RecordTable,
        topology: Topology,
        policy: ResponsePolicy,
        *,
        playbooks: tuple[Playbook, ...] = (),
        people: People | None = None,
    ) -> None:
        super().__init__(topology, policy, playbooks=playbooks, people=people)
        self._table, self._given = table, 1
        self._setup = setup_of(topology, policy, playbooks=playbooks, people=people)

    def start(self, now: Nanos, *, boot: str, wall_ns: int) -> Outcome:
        outcome = super().start(now, boot=boot, wall_ns=wall_ns)
        return self._taped(Began(at=now, boot=boot, wall_ns=wall_ns, setup=self._setup), outcome)

    def step(self, signal: Signal, now: Nanos) -> Outcome:
        return self._taped(Stepped(at=now, signal=signal), super().step(signal, now))

    def tick(self, now: Nanos) -> Outcome:
        return self._taped(Ticked(at=now), super().tick(now))

    def _taped(self, given: Input, outcome: Outcome) -> Outcome:
        batch = InputBatch(epoch=Epoch(self.state.epoch), first=self._given, inputs=(given,))
        self._given += 1
        self._table.append([msgspec.json.encode(record).decode() for record in outcome.records], [batch])
        return outcome


def table_at(path: Path) -> RecordTable:
    """The open table of a journal, without syncs."""
    table = RecordTable(path)
    table.open()
    table.connection.execute("PRAGMA synchronous=OFF")
    return table


MESH = Topology(
    entry="web",
    services=(
        Service(name="web", calls=("cart", "search")),
        Service(
            name="cart",
            calls=("stock", "mail"),
            endpoints=tuple(Endpoint(name=f"cart-{n}", url="http://h:1", version=f"v{n % 2}") for n in range(6)),
        ),
        Service(
            name="search", calls=("stock",), endpoints=tuple(Endpoint(name=f"s{n}", url="http://h:1") for n in "ab")
        ),
        Service(name="stock", endpoints=tuple(Endpoint(name=f"stock-{n}", url="http://h:1") for n in range(4))),
        Service(name="mail", endpoints=(Endpoint(name="mail", url="http://h:1"),), external=True, fallback=True),
    ),
)
POLICY = ResponsePolicy(penalty_s=0.3, ramp_step_s=0.3, verify_s=0.5, lease_s=3, blast_budget_percent=100)


def signals(seed: int, count: int, *, begin: Nanos) -> Iterable[Signal]:
    """`count` signals of every kind, a few milliseconds apart: trouble comes in spells, so that incidents also end."""
    dice = random.Random(seed)
    targets = [Target(service.name, each.name) for service in MESH.services for each in service.endpoints]
    now = begin
    for number in range(count):
        now = Nanos(now + dice.choice((1_000, 400_000, 9_000_000, 90_000_000)))
        yield _signal(dice, dice.choice(targets), now, spell=number % 400 < 120)


def _signal(dice: random.Random, target: Target, at: Nanos, *, spell: bool) -> Signal:
    calls = dice.randrange(1, 40)
    bad = dice.randrange(calls + 1) if spell else 0
    service = target.service
    kinds: list[Any] = [
        lambda: sig.Sampled(at=at, target=target, calls=calls, failures=bad // 2, slow=bad // 3),
        lambda: sig.CallsFinished(at=at, target=target, calls=calls, failures=bad, slow=0),
        lambda: sig.EntrySampled(at=at, requests=calls, failed=bad // 2, slow=bad // 3),
        lambda: sig.Heartbeat(at=at, target=target, every_ns=dice.choice((0, 100_000_000, 10**9))),
        lambda: sig.Alerted(
            at=at,
            target=target,
            fingerprint=dice.choice("abc"),
            name="Burns",
            firing=dice.random() < 0.7,
            for_ns=dice.choice((0, 10**9)),
        ),
        lambda: sig.EdgeSampled(
            at=at,
            caller=dice.choice(("web", "cart", "search")),
            callee=service,
            window_ns=10**9,
            calls=calls,
            failures=bad,
            attempts=calls + bad,
            client_latency_ns=dice.randrange(10**6, 10**9),
            source=dice.choice(("gateway", "spans", "metrics")),
        ),
        lambda: sig.Probed(at=at, target=target, passed=not bad),
        lambda: sig.ProbeFinished(at=at, target=target, ok=not bad),
    ]
    if spell:
        cause = dice.choice((Cause.ERRORS, Cause.STALLED, Cause.SLOW, Cause.OVERLOAD))
        kinds += [
            lambda: sig.Tripped(at=at, target=target, cause=cause, calls=calls, failures=bad, contained=bad > 3),
            lambda: sig.Relayed(at=at, caller="cart", callee=service, count=bad),
            lambda: sig.FellBack(at=at, service="mail", count=bad),
            lambda: sig.Drifted(at=at, target=target, factor=1 + dice.random(), calls=calls, alone=False),
            lambda: sig.Effective(at=at, target=target, signal_at=Nanos(at - 1000)),
            lambda: sig.Unwritten(at=at, records=bad // 20, reason="" if bad < 20 else "disk full"),
        ]
    elif dice.random() < 0.01:
        order: Any = dice.choice(("freeze", "resume", "resume", "enforce"))
        return sig.Ordered(at=at, order=order, by="alice", reason="drill")
    made: Signal = dice.choice(kinds)()
    return made


def written(table: RecordTable) -> list[Record]:
    """What is on record."""
    return [record for _, record in table.read_after(0)]
