"""Who is called, how often at most, and what a restart knows of it."""

import msgspec
import pytest

from controlplane.decide.engine import Engine
from controlplane.decide.escalation import PAUSE_NS, due_in_ns, repeat_ns, rungs
from controlplane.model.escalation import Acknowledged, Ladder, Owner, People, Rung
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import IncidentAcknowledged, NoticeDelivered, NoticeIssued, Record, RungClimbed
from controlplane.model.signal import Acted, Cause, Probed, Signal, Target, Told, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, IncidentId, Nanos

TOPOLOGY = Topology(
    entry="web",
    services=(
        Service(name="web", calls=("orders", "stock")),
        Service(
            name="orders", owner="team", endpoints=tuple(Endpoint(name=f"o{n}", url="http://h:1") for n in range(1, 9))
        ),
        Service(name="stock", endpoints=tuple(Endpoint(name=f"s{n}", url="http://h:2") for n in range(1, 5))),
    ),
)
SHOP = Ladder(
    rungs=(
        Rung(notify=("chat",)),
        Rung(notify=("pager",), after_s=300.0),
        Rung(notify=("lead", "chat"), after_s=300.0),
    ),
)
PEOPLE = People(ladders={"shop": SHOP}, owners={"team": Owner(ladder="shop")})
I1 = IncidentId("i1")


class Lives:
    """Engines one after the other over the same records; every order is taken, and notices are delivered on demand."""

    def __init__(self, people: People = PEOPLE, policy: ResponsePolicy | None = None) -> None:
        self.policy = policy or ResponsePolicy(penalty_s=3600.0, penalty_max_s=7200.0, lease_s=7200.0)
        self.records: list[Record] = []
        self.notices: list[Notice] = []
        self.now = Nanos(10**12)
        self.begin(people)

    def begin(self, people: People = PEOPLE) -> Outcome:
        self.engine = Engine(TOPOLOGY, self.policy, people=people)
        self.engine.restore(msgspec.json.decode(msgspec.json.encode(self.records), type=list[Record]))
        return self.kept(self.engine.start(self.now, boot="a", wall_ns=1_700_000_000 * SECOND + self.now))

    def tell(self, signal: Signal) -> Outcome:
        return self.kept(self.engine.step(signal, self.now))

    def trip(self, target: str = "orders/o1") -> Outcome:
        service, _, endpoint = target.partition("/")
        return self.tell(
            Tripped(
                at=self.now,
                target=Target(service, endpoint),
                cause=Cause.ERRORS,
                calls=5,
                failures=5,
                contained=True,
            )
        )

    def acknowledge(self, by: str = "alice", incident: str = "i1") -> Outcome:
        return self.tell(Acknowledged(at=self.now, incident=IncidentId(incident), by=by))

    def wait(self, seconds: float) -> list[Notice]:
        """Look as often as the engine wants; what people are told meanwhile."""
        until, before = Nanos(self.now + int(seconds * SECOND)), len(self.notices)
        while self.now < until:
            self.now = Nanos(min(self.now + SECOND, until))
            self.kept(self.engine.tick(self.now))
        return self.notices[before:]

    def kept(self, outcome: Outcome) -> Outcome:
        self.records += outcome.records
        self.notices += outcome.notices
        for command in outcome.commands:
            self.kept(self.engine.step(Acted(at=self.now, command=command.id, ok=True), self.now))
        return outcome

    def rungs(self) -> list[int]:
        return [record.rung for record in self.records if isinstance(record, RungClimbed)]


def test_without_an_owner_everybody_is_told() -> None:
    """A service that nobody owns is nobody's secret; and no ladder at all is as it was."""
    lives = Lives()
    lives.trip("stock/s1")
    assert {notice.to for notice in lives.notices} == {None}
    assert lives.rungs() == []
    plain = Lives(People())
    plain.trip()
    assert {notice.to for notice in plain.notices} == {None}


def test_each_notice_has_an_id_of_its_own_which_a_restart_keeps() -> None:
    """Told again it is the same one, whatever the clock says by then; a new journal has other ids."""
    lives = Lives()
    lives.trip()
    first = [notice.id for notice in lives.notices]
    assert len(set(first)) == len(first) >= 2
    lives.now = Nanos(lives.now + 5 * SECOND)
    again = lives.begin().notices
    assert [notice.id for notice in again] == first
    lives.wait(301)
    assert len({notice.id for notice in lives.notices}) == len(first) + 1
    other = Lives()
    other.now = Nanos(other.now + 1)
    other.begin()
    other.records.clear()
    other.begin()
    other.trip()
    assert not {notice.id for notice in other.notices} & set(first)


def test_who_has_a_notice_is_not_told_again_after_a_restart() -> None:
    """By name, as far as it is on record; the others are."""
    lives = Lives()
    lives.trip()
    key = lives.notices[0].key
    lives.tell(Told(at=lives.now, key=key, by="chat", last=False))
    assert isinstance(lives.records[-1], NoticeDelivered)
    again = {notice.key: notice.had for notice in lives.begin().notices}
    assert again[key] == ("chat",)
    lives.tell(Told(at=lives.now, key=key, by="pager"))
    assert key not in {notice.key for notice in lives.begin().notices}
    told = {telling.notice.key: telling for telling in lives.engine.state.incidents[I1].told}
    assert [(one.by, one.ok) for one in told[key].delivered] == [("chat", True), ("pager", True)]


def test_the_ladder_ends_where_it_ends() -> None:
    """After the last rung nobody is called again, unless the ladder repeats."""
    lives = Lives()
    lives.trip()
    lives.wait(3 * 3600)
    assert lives.rungs() == [0, 1, 2]
    repeating = Lives(People(ladders={"shop": msgspec.structs.replace(SHOP, repeat_s=1200.0)}, owners=PEOPLE.owners))
    repeating.trip()
    repeating.wait(3000 + 5)
    assert repeating.rungs() == [0, 1, 2, 2, 2]


def test_acknowledging_is_on_record_once_and_holds_over_a_restart() -> None:
    """The same person twice is no news, another one is; of what is over or unknown there is nothing to take."""
    lives = Lives()
    lives.trip()
    lives.wait(100)
    assert [type(record) for record in lives.acknowledge().records] == [IncidentAcknowledged, NoticeIssued]
    assert lives.acknowledge().records == ()
    assert lives.acknowledge("bob").notices[0].text == "i1 acknowledged by bob"
    assert lives.acknowledge(incident="i9").records == ()
    lives.begin()
    lives.wait(3600)
    assert lives.rungs() == [0]
    assert lives.engine.state.incidents[I1].climb.acknowledged_by == "bob"
    assert due_in_ns(PEOPLE, lives.engine.state.incidents[I1], lives.now) is None


def test_a_relapse_undoes_an_acknowledgement() -> None:
    """What alice took was contained; what is not is somebody else's, too."""
    lives = Lives()
    lives.trip()
    lives.acknowledge()
    lives.wait(4000)
    assert lives.rungs() == [0]
    before = len(lives.notices)
    lives.tell(Probed(at=lives.now, target=Target("orders", "o1"), passed=False))
    called = [notice for notice in lives.notices[before:] if notice.kind == "rung"]
    assert [(notice.to, notice.severity) for notice in called] == [(("pager",), "critical")]
    assert lives.engine.state.incidents[I1].climb.acknowledged_by == ""


def test_a_storm_of_refusals_is_one_call() -> None:
    """Eight verdicts in one second, most of them refused: nobody beyond the first rung is called before the pause is
    over, and then one rung is, not all."""
    lives = Lives()
    for number in range(1, 9):
        lives.trip(f"orders/o{number}")
        lives.now = Nanos(lives.now + SECOND // 10)
    incident = lives.engine.state.incidents[I1]
    assert incident.refused
    lives.wait(PAUSE_NS / SECOND - 2)
    assert max(lives.rungs()) <= 1
    assert len(lives.rungs()) == len(set(lives.rungs()))


def test_rungs_of_ladders_that_name_one_another_are_finite() -> None:
    """A configuration that is refused elsewhere must not hang an engine here; one that is not there ends it."""
    one, two = Ladder(rungs=SHOP.rungs, then="two"), Ladder(rungs=SHOP.rungs, then="one", repeat_s=9.0)
    assert len(rungs(People(ladders={"one": one, "two": two}), "one")) == 6
    assert repeat_ns(People(ladders={"one": one, "two": two}), "one") == 9 * SECOND
    assert rungs(People(ladders={"one": one}), "one") == SHOP.rungs
    assert rungs(PEOPLE, "nobody") == ()


@pytest.mark.parametrize(
    "people",
    [
        People(),
        People(ladders={"shop": Ladder(rungs=())}, owners=PEOPLE.owners),
        People(ladders={"shop": Ladder(rungs=SHOP.rungs[:1])}, owners=PEOPLE.owners),
        People(ladders={"other": SHOP}, owners={"team": Owner(ladder="other")}),
    ],
    ids=["none", "empty", "shorter", "renamed"],
)
def test_a_ladder_that_was_changed_meanwhile_breaks_nothing(people: People) -> None:
    """A restart with another configuration in the middle of a climb: notices go to somebody, and time goes on."""
    lives = Lives()
    lives.trip()
    lives.wait(301)
    lives.begin(people)
    lives.tell(Probed(at=lives.now, target=Target("orders", "o1"), passed=False))
    lives.wait(1000)
    assert lives.notices[-1].to != ()


def test_what_older_journals_hold_is_read_and_told() -> None:
    """A notice without id, address and origin, and a delivery without `last`."""
    old = b"""[{"type":"epoch_started","at":1,"epoch":1,"boot":"a","wall_ns":1700000000000000000},
        {"type":"notice_issued","at":2,"notice":{"key":"plane:order:2","incident":null,"severity":"info","text":"t","at":2}},
        {"type":"notice_issued","at":2,"notice":{"key":"plane:clock","incident":null,"severity":"info","text":"u","at":2}},
        {"type":"notice_delivered","at":3,"key":"plane:clock","by":"LogNotifier"}]"""
    lives = Lives()
    lives.records = msgspec.json.decode(old, type=list[Record])
    (again,) = lives.begin().notices
    assert (again.text, again.to, again.had) == ("t", None, ())
    assert again.id == f"{1_700_000_000 * SECOND:x}-plane_order_2"
