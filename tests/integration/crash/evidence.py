"""What must be true of the files that lives and their killing have left behind."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from controlplane.adapters.stores.history import History
from controlplane.model.command import Command, Restore, RollBack
from controlplane.model.record import (
    CommandAcknowledged,
    CommandIssued,
    EpochStarted,
    LeaseExpired,
    NoticeDelivered,
    NoticeIssued,
    Record,
    RollbackEnded,
)
from tests.integration.crash.life import NOTIFIERS, PLANES, Ledger


@dataclass
class Left:
    """Everything that is left: records with the epoch they were written in, acts by plane, deliveries by notifier."""

    records: list[tuple[int, Record]]
    acts: dict[str, list[Command]]
    deliveries: dict[str, list[dict[str, Any]]]

    @property
    def issued(self) -> list[Command]:
        """Commands on record, in order."""
        return [record.command for _, record in self.records if isinstance(record, CommandIssued)]


def left_in(directory: Path) -> Left:
    """Read it all; raises JournalError when the journal is not whole."""
    records, epoch = [], 0
    if (directory / "journal.db").exists():
        with History(directory / "journal.db") as history:
            numbered = history.numbered()
        assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
        for _, record in numbered:
            epoch = record.epoch if isinstance(record, EpochStarted) else epoch
            records.append((epoch, record))
    acts = {
        name: [msgspec.convert(line["command"], Command) for line in Ledger(directory / name).lines()]
        for name in PLANES
    }
    return Left(records, acts, {name: Ledger(directory / name).lines() for name in NOTIFIERS})


def check_always(left: Left) -> None:
    """At every moment, also the one of a crash: nobody acted or spoke before it was on record."""
    issued = left.issued
    for plane, acts in left.acts.items():
        for act in acts:
            assert act in issued, f"{plane} did {act.id}, which is not on record"
            assert isinstance(act.intent, Restore | RollBack) or isinstance(act.undo, Restore)
    on_record = {
        (record.notice.key, record.notice.at) for _, record in left.records if isinstance(record, NoticeIssued)
    }
    for name, lines in left.deliveries.items():
        for line in lines:
            assert (line["key"], line["at"]) in on_record, f"{name} told {line['key']}, which is not on record"


def check_finished(left: Left) -> None:
    """In the end: nothing twice in effect, nothing forgotten, nobody left untold."""
    _nothing_twice(left)
    _nothing_forgotten(left)
    _everybody_told(left)


def _number(command: Command) -> int:
    return int(command.id.removeprefix("c"))


def _nothing_twice(left: Left) -> None:
    for plane, acts in left.acts.items():
        newest: dict[object, int] = defaultdict(int)
        started: set[str] = set()
        for act in acts:
            if isinstance(act.intent, RollBack):
                assert act.id not in started, f"{plane} began the roll-back {act.id} twice"
                started.add(act.id)
                continue
            assert _number(act) >= newest[act.target], f"{plane} did {act.id} again after what came later"
            newest[act.target] = _number(act)


def _nothing_forgotten(left: Left) -> None:
    """Of every target, each plane has done the last order on record, or the record says why not; and so for each
    roll-back, which nothing takes back."""
    last: dict[object, Command] = {}
    excused = {record.command for _, record in left.records if isinstance(record, LeaseExpired | RollbackEnded)}
    for command in left.issued:
        if isinstance(command.intent, RollBack) and command.enforcement != "shadow":
            for plane, acts in left.acts.items():
                done = any(act.id == command.id for act in acts)
                assert done or command.id in excused, f"{plane} was never told {command.id}, and nobody says so"
        elif command.enforcement != "shadow":
            last[command.target] = command
    excused |= {
        record.command for _, record in left.records if isinstance(record, CommandAcknowledged) and not record.ok
    }
    for target, command in last.items():
        assert isinstance(command.intent, Restore) or command.id in excused, f"{target} is still held by {command.id}"
        for plane, acts in left.acts.items():
            done = [act for act in acts if act.target == target and not isinstance(act.intent, RollBack)]
            told = bool(done) and _number(done[-1]) >= _number(command)
            assert told or command.id in excused, f"{plane} was never told {command.id}"


def _everybody_told(left: Left) -> None:
    issued = {
        (record.notice.key, record.notice.at): epoch
        for epoch, record in left.records
        if isinstance(record, NoticeIssued)
    }
    ended: dict[str, int] = {}
    had: dict[tuple[str, str], int] = {}
    for epoch, record in left.records:
        if isinstance(record, NoticeDelivered):
            ended[record.key] = had[record.by, record.key] = epoch
    for name, lines in left.deliveries.items():
        heard = {(line["key"], line["at"]) for line in lines}
        assert set(issued) <= heard, f"{name} never heard of {set(issued) - heard}"
        for line in lines:
            last = had.get((name, line["key"]), ended[line["key"]])  # of one with a name it is known apart
            assert line["epoch"] <= last, f"{name} heard again of {line['key']}, which it had"
