"""A small world for the tests of plans in force: `web` calls `cart`, of which an incident is open."""

from typing import Any

import msgspec

from controlplane.decide.analysis.analyze import Assessment
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.plan.choose import choose
from controlplane.decide.state import State
from controlplane.model import record as on
from controlplane.model.analysis import Analysis
from controlplane.model.command import Command, Intent, Restore
from controlplane.model.incident import Incident
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, EdgeSampled, Sampled, Target
from controlplane.model.situation import Call, Replica, Situation
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

START = Nanos(1000 * SECOND)
CART = Target("cart")
ALL = dict.fromkeys(["reroute", "fail_over", "cap_retries", "shed", "tighten", "roll_back"], 100)
POOL = (
    Replica(name="c1", zone="a", load=50.0, capacity=100.0, failing=0.8),
    Replica(name="c2", zone="b", load=50.0, capacity=100.0, failing=0.0),
    Replica(name="s1", zone="b", load=0.0, capacity=50.0, failing=0.0, priority=1),
)


def topology(versions: str = "v1 v1 v1", **more: Any) -> Topology:
    endpoints = tuple(
        Endpoint(
            name=one.name,
            url="http://h:1",
            zone=one.zone,
            priority=one.priority,
            version=version,
            capacity_per_s=one.capacity,
        )
        for one, version in zip(POOL, versions.split(), strict=True)
    )
    return Topology(
        services=(Service(name="web", calls=("cart",)), Service(name="cart", endpoints=endpoints, **more)), entry="web"
    )


class World:
    """Drafts at a time that moves; what is recorded stays in `state`."""

    def __init__(self, *, over: Topology | None = None, **policy: Any) -> None:
        self.topology = over or topology()
        self.policy = msgspec.convert({"enforcement": ALL} | policy, ResponsePolicy)
        self.state, self.now = State(epoch=1), START
        self.evidence = Evidence(DependencyGraph(self.topology))
        self.evidence.follow({"cart"})
        self.records: list[on.Record] = []
        self.told: list[str] = []
        draft = self.draft()
        name = IncidentId("i1")
        draft.record(
            on.IncidentOpened(
                at=self.now,
                incident=name,
                origin=CART,
                cause=Cause.ERRORS,
                signal_at=self.now,
                shadow=False,
                evidence="5 of 5",
            )
        )
        self.incident: Incident = self.state.incidents[name]

    def draft(self) -> Draft:
        return Draft(self.state, self.topology, self.policy, self.now)

    def take(self, draft: Draft) -> list[Command]:
        """Note what a draft holds; the answer is what it has issued, in shadow or not."""
        outcome = draft.outcome(None)
        self.records += outcome.records
        self.told += [notice.text for notice in outcome.notices]
        return [record.command for record in outcome.records if isinstance(record, on.CommandIssued)]

    def force(self, target: Target, intent: Intent, *, seconds: float = 30) -> Command:
        """Put an order in force as if it had been issued now."""
        draft = self.draft()
        command = Command(
            id=CommandId(f"c{self.state.commands_total + 1}"),
            epoch=Epoch(self.state.epoch),
            incident=self.incident.id,
            target=target,
            intent=intent,
            lease_until=Nanos(self.now + int(seconds * SECOND)),
            undo=Restore(),
        )
        draft.record(on.CommandIssued(at=self.now, command=command))
        return command

    def wait(self, seconds: float) -> None:
        self.now = Nanos(self.now + int(seconds * SECOND))

    def edge(self, calls: int, failures: int, *, ms: int = 20) -> None:
        """What callers told of `cart` over the second that ends now."""
        self.evidence.heard(
            EdgeSampled(
                at=self.now,
                caller="web",
                callee="cart",
                window_ns=SECOND,
                calls=calls,
                failures=failures,
                client_latency_ns=calls * ms * 1_000_000,
                source="spans",
            )
        )

    def calls(self, calls: int, failures: int = 0, endpoint: str = "") -> None:
        self.evidence.sampled(
            Sampled(at=self.now, target=Target("cart", endpoint), calls=calls, failures=failures, slow=0)
        )

    def found(self, *, analysis: Analysis | None = None, **more: Any) -> Assessment:
        """An assessment: one of two replicas fails, and something stands by."""
        given: dict[str, Any] = {
            "origin": "cart",
            "endpoints": ("c1",),
            "requests": {"web": 100.0, "cart": 100.0},
            "calls": (Call(caller="web", callee="cart", traffic=100.0),),
            "entries": ("web",),
            "replicas": POOL,
            "failing": 0.4,
        }
        situation = Situation(**(given | more))
        from controlplane.decide import enact

        choice = choose(situation, forbidden=enact.rule_for(self.draft(), self.incident))
        return Assessment(analysis or Analysis(), situation, choice)
