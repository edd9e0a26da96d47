"""What must outlive a crash beside orders in force: notices nobody has, and what was to be taken back."""

from typing import Any

import msgspec

from controlplane.decide.engine import Engine
from controlplane.decide.state import UNTOLD_MAX
from controlplane.model.command import Command, Eject, Restore
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import CommandAcknowledged, NoticeDelivered, NoticeIssued, Record
from controlplane.model.signal import Acted, Cause, Ordered, Signal, Target, Told, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

TOPOLOGY = Topology(
    entry="web",
    services=(
        Service(name="web", calls=("orders",)),
        Service(name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url="http://h:1") for n in range(1, 5))),
    ),
)
ONE = Target("orders", "o1")
BEGIN = Nanos(10**12)
WALL = 1_700_000_000 * SECOND


class Lives:
    """Engines one after the other over the same records."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.now = BEGIN
        self.engine: Engine
        self.begin()

    def begin(self, *, boot: str = "a", wall_ns: int | None = None, topology: Topology = TOPOLOGY) -> Outcome:
        """As after a kill: only what is on record comes back."""
        self.engine = Engine(topology, ResponsePolicy(blast_budget_percent=100))
        self.engine.restore(msgspec.json.decode(msgspec.json.encode(self.records), type=list[Record]))
        wall_ns = WALL + self.now if wall_ns is None else wall_ns
        return self._kept(self.engine.start(self.now, boot=boot, wall_ns=wall_ns))

    def tell(self, signal: Signal) -> Outcome:
        return self._kept(self.engine.step(signal, self.now))

    def trip(self) -> Outcome:
        return self.tell(Tripped(at=self.now, target=ONE, cause=Cause.ERRORS, calls=5, failures=5, contained=True))

    def order(self, order: Any) -> Outcome:
        return self.tell(Ordered(at=self.now, order=order, by="alice"))

    def _kept(self, outcome: Outcome) -> Outcome:
        self.records += outcome.records
        return outcome


def test_a_notice_is_on_record_before_it_is_told() -> None:
    """The outcome that tells it holds the record, and the state keeps it as untold."""
    lives = Lives()
    outcome = lives.trip()
    issued = [record.notice for record in outcome.records if isinstance(record, NoticeIssued)]
    assert list(outcome.notices) == issued != []
    assert list(lives.engine.state.untold.values()) == issued


def test_a_delivered_notice_is_not_told_again_and_an_untold_one_is() -> None:
    """After a restart exactly those come again that nobody has, in their order, and without a second record."""
    lives = Lives()
    first, *others = lives.order("freeze").notices + lives.trip().notices + lives.order("resume").notices
    (told,) = lives.tell(Told(at=lives.now, key=first.key, by="log")).records
    assert told == NoticeDelivered(at=lives.now, key=first.key, by="log")
    again = lives.begin()
    assert list(again.notices) == others
    assert not [record for record in again.records if isinstance(record, NoticeIssued)]
    for notice in others:
        lives.tell(Told(at=lives.now, key=notice.key, by="log", ok=False, reason="nobody listens"))
    assert lives.begin().notices == ()


def test_a_word_about_an_unknown_notice_changes_nothing() -> None:
    """A late or repeated answer of a notifier is no record."""
    assert Lives().tell(Told(at=BEGIN, key="plane:nothing", by="log")).records == ()


def test_the_same_news_is_sent_once_while_it_is_on_its_way() -> None:
    """The same key again is not told twice at the same time; when it was delivered, it is news again."""
    lives = Lives()
    failed = lives.order("freeze")
    assert lives.order("freeze").notices == ()  # in the same instant, by the same key
    lives.tell(Told(at=lives.now, key=failed.notices[0].key, by="log"))
    assert len(lives.order("freeze").notices) == 1


def test_the_outbox_is_bounded() -> None:
    """A dead notifier does not grow memory: the newest are kept, the others counted."""
    lives = Lives()
    for _ in range(UNTOLD_MAX + 50):
        lives.now = Nanos(lives.now + 1)
        lives.order("freeze")
    state = lives.engine.state
    assert (len(state.untold), state.untold_dropped) == (UNTOLD_MAX, 50)
    assert list(state.untold)[-1] == f"plane:order:{lives.now}"


def test_untold_notices_keep_their_moment_across_a_reboot() -> None:
    """Their time is the new boot's, as long ago as it was."""
    lives = Lives()
    (notice, *_) = lives.order("freeze").notices
    at, lives.now = lives.now, Nanos(5 * SECOND)
    (again, *_) = lives.begin(boot="b", wall_ns=WALL + at + 3 * SECOND).notices
    assert (again.key, again.at) == (notice.key, 2 * SECOND)


def restored(lives: Lives) -> Command:
    """An ejection that a person's `observe` takes back."""
    (eject,) = lives.trip().commands
    lives.tell(Acted(at=lives.now, command=eject.id, ok=True))
    (command,) = lives.order("observe").commands
    assert command.intent == Restore()
    return command


def test_what_was_to_be_taken_back_is_taken_back_after_a_crash() -> None:
    """Nobody has said that the `Restore` was done: it is ordered again, under the new epoch."""
    lives = Lives()
    command = restored(lives)
    again = lives.begin()
    assert [(one.id, one.intent, one.epoch) for one in again.commands] == [(command.id, Restore(), 2)]
    assert lives.engine.state.in_force == {}


def test_what_was_taken_back_is_not_ordered_for_ever() -> None:
    """The answer is on record although its incident is closed, and then the `Restore` is done with."""
    lives = Lives()
    command = restored(lives)
    (record,) = lives.tell(Acted(at=lives.now, command=command.id, ok=True)).records
    assert isinstance(record, CommandAcknowledged)
    assert lives.begin().commands == ()
    assert lives.engine.state.unrestored == {}


def test_a_newer_order_is_not_taken_back_by_an_older_restore() -> None:
    """What was ejected again meanwhile stays ejected across the restart."""
    lives = Lives()
    restored(lives)
    lives.order("enforce")
    lives.now = Nanos(lives.now + SECOND)
    (eject,) = lives.trip().commands
    assert [(one.id, one.intent) for one in lives.begin().commands] == [(eject.id, Eject())]


def test_what_is_gone_from_the_topology_is_not_restored() -> None:
    """Nobody could take such an order."""
    lives = Lives()
    restored(lives)
    assert lives.begin(topology=Topology(entry="web", services=(Service(name="web"),))).commands == ()


def test_a_wall_clock_that_was_set_is_told_once_per_start() -> None:
    """Within a boot both ways, after another boot only back; drift is none, and a first start knows nothing."""
    lives = Lives()
    for boot, step_s, told in (
        ("a", -3600, True),
        ("a", 0, True),
        ("a", 2, False),
        ("b", -7200, True),
        ("c", 900, False),
    ):
        lives.now = Nanos(lives.now + SECOND)
        state = lives.engine.state
        now = lives.now
        wall = now + state.wall_offset_ns if boot == "a" else state.last_at + state.wall_offset_ns
        wall += step_s * SECOND if step_s else 3600 * SECOND
        notices = lives.begin(boot=boot, wall_ns=wall).notices
        assert bool([one for one in notices if one.key == "plane:clock"]) is told, (boot, step_s)
        lives.tell(Told(at=now, key="plane:clock", by="log"))
