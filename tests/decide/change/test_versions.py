"""When versions are compared, and what follows; what a change is worth as evidence."""

import msgspec
import pytest

from controlplane.decide.change import noted
from controlplane.decide.change.versions import COLD_NS
from controlplane.decide.engine import Engine
from controlplane.model import record as on
from controlplane.model.change import Changed, VersionsCounted
from controlplane.model.command import Eject, RollBack
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import RolledBack
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

START = Nanos(1_000 * SECOND)


class Fleet:
    """An engine, and what it said."""

    def __init__(self, versions: str, *, zones: str = "", mode: str = "enforce", deployer: str = "ci") -> None:
        where = zones.split() or [""] * len(versions.split())
        endpoints = tuple(
            Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}", version=version, zone=zone)
            for n, (version, zone) in enumerate(zip(versions.split(), where, strict=True), 1)
        )
        orders = Service(name="orders", endpoints=endpoints, deployer=deployer)
        self.topology = Topology(services=(Service(name="web", calls=("orders",)), orders), entry="web")
        self.policy = ResponsePolicy(enforcement={"roll_back": 100}, blast_budget_percent=80, mode=mode)
        self.engine = Engine(self.topology, self.policy)
        self.now = START
        self.records: list[Record] = []
        self.outcomes: list[Outcome] = []
        self._keep(self.engine.start(START, boot="b", wall_ns=0))

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.records += outcome.records

    def deploy(self, version: str = "v2", name: str = "d1", endpoints: tuple[str, ...] = ()) -> None:
        signal = Changed(at=self.now, id=name, service="orders", made_at=self.now, version=version, endpoints=endpoints)
        self._keep(self.engine.step(signal, self.now))

    def windows(self, count: int, *rows: tuple[int, int, int]) -> None:
        for _ in range(count):
            self.now = Nanos(self.now + SECOND)
            told = tuple((f"o{n}", *row) for n, row in enumerate(rows, 1))
            self._keep(self.engine.step(VersionsCounted(at=self.now, service="orders", rows=told), self.now))

    def kinds(self, kind: type[Record]) -> list[Record]:
        return [one for one in self.records if isinstance(one, kind)]

    @property
    def commands(self) -> list[object]:
        return [command.intent for outcome in self.outcomes for command in outcome.commands]


WELL, BAD = (100, 0, 0), (100, 8, 0)


def test_a_worse_version_loses_its_traffic_and_is_rolled_back_once() -> None:
    """In the outcome of the deciding window: its endpoints are ejected, and the deployer is asked, once."""
    fleet = Fleet("v1 v1 v1 v2 v2")
    fleet.deploy()
    fleet.windows(20, WELL, WELL, WELL, BAD, BAD)
    (found,) = fleet.kinds(on.VersionFound)
    deciding = next(one for one in fleet.outcomes if found in one.records)
    assert [type(one.intent) for one in deciding.commands] == [Eject, Eject, RollBack]
    assert {one.target.endpoint for one in deciding.commands} == {"o4", "o5", ""}
    assert sum(isinstance(one, RollBack) for one in fleet.commands) == 1
    assert fleet.engine.state.withdrawn["orders"].version == "v2"


def test_a_roll_back_that_fails_is_escalated() -> None:
    """Its deployer says that it failed: a person is called."""
    fleet = Fleet("v1 v1 v1 v2 v2")
    fleet.deploy()
    fleet.windows(20, WELL, WELL, WELL, BAD, BAD)
    command = fleet.engine.state.withdrawn["orders"].command
    fleet._keep(fleet.engine.step(RolledBack(at=fleet.now, command=command, ok=False, reason="exit 1"), fleet.now))
    assert fleet.kinds(on.Escalated)


@pytest.mark.parametrize(
    ("versions", "rows", "why"),
    [
        ("v1 v1 v1 v2 v2", (BAD, BAD, BAD, BAD, BAD), "a common cause cancels"),
        ("v1 v1 v1 v2 v2", (WELL, WELL, BAD, WELL, WELL), "an old one is sick"),
        ("v1 v1 v1 v2 v2", (WELL, WELL, WELL, WELL, (100, 16, 0)), "a replica is no version"),
        ("v1 v2", (WELL, (100, 16, 0)), "one of two"),
        ("v1 v1 v1 v2 v2", ((1000, 1, 0), (1000, 1, 0), (1000, 1, 0), (1000, 8, 0), (1000, 8, 0)), "too little"),
        ("v1 v1 v1 v2 v2", (BAD, BAD, BAD, WELL, WELL), "the new one is the better one"),
    ],
)
def test_what_is_no_bad_version_is_left_alone(versions: str, rows: tuple[tuple[int, int, int], ...], why: str) -> None:
    """Five minutes of it, and nothing is found."""
    fleet = Fleet(versions)
    fleet.deploy()
    fleet.windows(300, *rows)
    assert not fleet.kinds(on.VersionFound), why
    assert not fleet.commands, why


def test_zones_are_compared_apart() -> None:
    """The new version runs in the zone that fails, and nowhere else: nobody can tell, and nothing is done."""
    fleet = Fleet("v1 v1 v2 v2", zones="a a b b")
    fleet.deploy()
    fleet.windows(60, WELL, WELL, BAD, BAD)
    assert not fleet.commands


def test_slowness_counts_when_caches_are_warm() -> None:
    """Not in the first minute; after it, the same slowness is the version's."""
    fleet = Fleet("v1 v1 v1 v2 v2")
    fleet.deploy()
    slow = (100, 0, 20)
    fleet.windows(COLD_NS // SECOND, WELL, WELL, WELL, slow, slow)
    assert not fleet.commands
    fleet.windows(10, WELL, WELL, WELL, slow, slow)
    assert fleet.kinds(on.VersionFound)


def test_without_a_deploy_on_record_nothing_is_compared() -> None:
    """Which of two versions is the new one is not known; and half an hour after a deploy it is over."""
    fleet = Fleet("v1 v1 v1 v2 v2")
    fleet.windows(30, WELL, WELL, WELL, BAD, BAD)
    assert not fleet.commands
    fleet.deploy()
    fleet.now = Nanos(fleet.now + noted.WATCH_NS + SECOND)
    fleet.windows(30, WELL, WELL, WELL, BAD, BAD)
    assert not fleet.commands


def test_nothing_is_done_where_the_plane_only_observes() -> None:
    """It says what it would do."""
    fleet = Fleet("v1 v1 v1 v2 v2", mode="observe")
    fleet.deploy()
    fleet.windows(20, WELL, WELL, WELL, BAD, BAD)
    assert fleet.kinds(on.VersionFound)
    assert not fleet.commands or all(
        command.enforcement == "shadow" for outcome in fleet.outcomes for command in outcome.commands
    )


def test_the_same_change_twice_is_one() -> None:
    """A pipeline that tries again adds nothing; the memory of a service is bounded."""
    fleet = Fleet("v1 v1 v2")
    fleet.deploy()
    fleet.deploy()
    assert len(fleet.kinds(on.ChangeNoted)) == 1
    for number in range(200):
        fleet.deploy(name=f"n{number}")
    assert len(fleet.engine.state.changes["orders"]) == noted.PER_SERVICE_MAX


def test_after_a_promotion_people_are_told_and_nothing_is_done() -> None:
    """Nothing runs beside it: a common cause could look the same."""
    fleet = Fleet("v1 v1 v1 v1")
    fleet.deploy(endpoints=("o3", "o4"))
    fleet.windows(60, WELL, WELL, WELL, WELL)
    fleet.deploy(name="all", endpoints=("o1", "o2", "o3", "o4"))
    fleet.windows(30, WELL, WELL, WELL, WELL)
    assert not fleet.kinds(on.RegressionTold)
    fleet.windows(60, BAD, BAD, BAD, BAD)
    assert len(fleet.kinds(on.RegressionTold)) == 1
    assert not fleet.commands


def test_changes_outlive_a_restart_with_their_age() -> None:
    """Another boot's clock begins elsewhere: what was 10 s ago still is."""
    fleet = Fleet("v1 v1 v2")
    fleet.deploy()
    again = Engine(fleet.topology, fleet.policy)
    again.restore(msgspec.json.decode(msgspec.json.encode(fleet.records), type=list[Record]))
    again.start(Nanos(5 * SECOND), boot="c", wall_ns=10 * SECOND + 0)
    (change,) = again.state.changes["orders"]
    assert Nanos(5 * SECOND) - change.made_at == 10 * SECOND
