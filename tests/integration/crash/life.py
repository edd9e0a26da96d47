"""One life of a control plane that may be killed at any point: real loop, real engine, real journal file.

Outside of it stand two data planes and two notifiers, which outlive it: what each was told is a line in a file of its
own, synced before the answer, as a proxy or a mail server would keep it. Time moves only when the story says so.

Run as a module it is a nursery: each line on its input, a `Birth` in JSON, becomes one forked life; it answers with how
that life ended. Forking spares every life the imports.
"""

import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import msgspec
import trio

from controlplane.adapters.fence import Fence
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.decide.engine import Engine
from controlplane.decide.schema import schema_id
from controlplane.model.command import Command, RollBack
from controlplane.model.input import InputBatch, Setup
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.policy import GraphPolicy, ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Acted, Cause, Ordered, Probed, RolledBack, Sampled, Signal, Target, Told, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import CommandId, Nanos
from controlplane.runtime.channel import Channel
from controlplane.runtime.loop import ControlLoop

POINTS = (
    "decided",  # not yet on record
    "append begins",
    "append writes",  # in the middle of its transaction
    "append commits",
    "appended",  # on record, and nobody has acted
    "before act",
    "between acts",  # one command of a group is in force, the next is not
    "acted",  # in force, and the loop does not know
    "acknowledged",  # the engine is about to hear of it: it is not on record
    "before notice",
    "noticed",  # delivered, and the loop does not know
    "told",  # the engine is about to hear of it
)
PLANES, NOTIFIERS = ("proxy", "guards"), ("mail", "chat")
FINISHED = "finished"

TOPOLOGY = Topology(
    entry="web",
    services=(
        Service(name="web", calls=("account", "stock", "mail")),
        Service(
            name="account",
            deployer="ci",
            endpoints=tuple(
                Endpoint(name=f"account-{n}", url="http://h:1", version="v1" if n < 4 else "v2") for n in range(1, 7)
            ),
        ),
        Service(name="stock", endpoints=tuple(Endpoint(name=f"stock-{n}", url="http://h:1") for n in (1, 2))),
        Service(name="mail", endpoints=(Endpoint(name="mail-1", url="http://h:1"),), external=True, fallback=True),
    ),
)
POLICY = ResponsePolicy(
    enforcement={"roll_back": 100},
    penalty_s=0.5,
    ramp_step_s=0.2,
    verify_s=0.5,
    lease_s=2.0,
    healthy_floor_percent=30,
    blast_budget_percent=100,
)


@dataclass
class Birth:
    """Where a life keeps its files, and at which passage of which point it is killed; no point: never."""

    directory: str
    point: str = ""
    passage: int = 0


class Fate:
    """Counts the passages of every point, and kills at the one that was chosen."""

    def __init__(self, birth: Birth) -> None:
        self._birth = birth
        self.passed: Counter[str] = Counter()

    def at(self, point: str) -> None:
        assert point in POINTS, point
        self.passed[point] += 1
        if point == self._birth.point and self.passed[point] == self._birth.passage:
            os.kill(os.getpid(), signal.SIGKILL)


class Ledger:
    """Lines in a file that survives its writer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []

    def write(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Proxy:
    """A data plane that outlives those who steer it: its orders are its ledger, and it keeps their order."""

    def __init__(self, ledger: Ledger, fate: Fate) -> None:
        self._ledger, self._fate, self._fence = ledger, fate, Fence()
        self._unanswered = 0
        self.rolled_back: list[CommandId] = []
        for line in ledger.lines():
            command = msgspec.convert(line["command"], Command)
            self._fence.check(command)
            self._fence.note(command)
            self._started(command)

    async def apply(self, command: Command) -> None:
        self._fence.check(command)
        self._fate.at("between acts" if self._unanswered else "before act")
        self._ledger.write({"command": msgspec.to_builtins(command)})
        self._fence.note(command)
        self._started(command)
        self._unanswered += 1
        self._fate.at("acted")

    def _started(self, command: Command) -> None:
        if isinstance(command.intent, RollBack):
            self.rolled_back.append(command.id)

    def answered(self) -> None:
        """The engine has heard of everything."""
        self._unanswered = 0


class Post:
    """A notifier that outlives those who tell it."""

    def __init__(self, ledger: Ledger, fate: Fate) -> None:
        self._ledger, self._fate = ledger, fate
        self.epoch = 0

    async def notify(self, notice: Notice) -> None:
        self._fate.at("before notice")
        self._ledger.write({"key": notice.key, "at": notice.at, "epoch": self.epoch})
        self._fate.at("noticed")

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            await self.notify(notice)


class WatchedEngine(Engine):
    """The engine, watched from outside."""

    fate: Fate
    proxies: Sequence[Proxy]

    def start(self, now: Nanos, *, boot: str, wall_ns: int) -> Outcome:
        return self._decided(super().start(now, boot=boot, wall_ns=wall_ns))

    def step(self, signal: Signal, now: Nanos) -> Outcome:
        if isinstance(signal, Acted):
            self.fate.at("acknowledged")
            for proxy in self.proxies:
                proxy.answered()
        if isinstance(signal, Told):
            self.fate.at("told")
        return self._decided(super().step(signal, now))

    def tick(self, now: Nanos) -> Outcome:
        return self._decided(super().tick(now))

    def _decided(self, outcome: Outcome) -> Outcome:
        if outcome.commands or outcome.notices:
            self.fate.at("decided")
        return outcome


class WatchedJournal(SqliteJournal):
    """The journal, watched inside its transactions."""

    fate: Fate

    async def append(self, records: Sequence[Record], inputs: Sequence[InputBatch] = ()) -> int:
        self.fate.at("append begins")
        last = await super().append(records, inputs)
        self.fate.at("appended")
        return last

    async def watch(self) -> None:
        def trace(statement: str) -> None:
            if statement.startswith("INSERT INTO records"):
                self.fate.at("append writes")
            elif statement == "COMMIT":
                self.fate.at("append commits")

        connection: sqlite3.Connection = await self._call(lambda: self._table.connection)
        await self._call(lambda: connection.set_trace_callback(trace))


class StoryClock:
    """Monotonic time that moves when told, and goes on where the life before was killed."""

    def __init__(self, now: int) -> None:
        self._now = Nanos(now)

    def now(self) -> Nanos:
        return self._now

    def wall_ns(self) -> int:
        return 1_700_000_000 * 10**9 + self._now

    def boot(self) -> str:
        return "boot"

    def advance(self, nanos: int) -> None:
        self._now = Nanos(self._now + nanos)


class Life:
    """Tells the story from where it was interrupted."""

    def __init__(self, birth: Birth) -> None:
        self._directory = Path(birth.directory)
        self.fate = Fate(birth)
        chapter, now = self._memory()
        self._chapter, self._clock = chapter, StoryClock(now + 50_000_000)
        self._proxies = [Proxy(Ledger(self._directory / name), self.fate) for name in PLANES]
        self._posts = [Post(Ledger(self._directory / name), self.fate) for name in NOTIFIERS]
        self._engine = WatchedEngine(TOPOLOGY, POLICY)
        self._engine.fate, self._engine.proxies = self.fate, self._proxies
        self._journal = WatchedJournal(self._directory / "journal.db")
        self._journal.fate = self.fate
        graph = GraphPolicy()
        self._loop = ControlLoop(
            self._engine,
            clock=self._clock,
            journal=self._journal,
            data_planes=self._proxies,
            notifiers=self._posts[:1],
            channels=[Channel(name=NOTIFIERS[1], notifier=self._posts[1])],  # one of each kind
            append_timeout_s=60.0,
            setup=Setup(program="test", schema=schema_id(), topology=TOPOLOGY, policy=POLICY, graph=graph),
        )

    async def live(self) -> None:
        await self._journal.open()
        await self._journal.watch()
        for post in self._posts:  # the epoch that this life will have
            post.epoch = 1 + sum(1 for one in await self._journal.read() if type(one).__name__ == "EpochStarted")
        async with trio.open_nursery() as tasks:
            await tasks.start(self._run)
            await self._settle()
            for number, signals in enumerate(self._story(), 1):
                if number > self._chapter:
                    await self._tell(signals)
                    self._remember(number)
            await self._recover()
            tasks.cancel_scope.cancel()
        await self._journal.aclose()
        (self._directory / FINISHED).write_text(json.dumps(self.fate.passed))

    async def _run(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        await self._loop.run(task_status=task_status)

    def _story(self) -> list[list[Signal]]:
        at = self._clock.now()

        def trip(service: str, endpoint: str, cause: Cause, *, capped: bool = False) -> Tripped:
            target = Target(service, endpoint)
            return Tripped(at=at, target=target, cause=cause, calls=5, failures=5, contained=not capped, capped=capped)

        return [
            [trip("mail", "mail-1", Cause.ERRORS)],
            [  # several incidents at once, some with several orders
                trip("account", "account-4", Cause.ERRORS),
                trip("account", "account-5", Cause.ERRORS, capped=True),
                trip("stock", "stock-1", Cause.OVERLOAD, capped=True),
                trip("stock", "stock-2", Cause.OVERLOAD, capped=True),
            ],
            [Ordered(at=at, order="freeze", by="alice", reason="looking")],
            [Ordered(at=at, order="resume", by="alice", reason="go on")],
        ]

    async def _recover(self) -> None:
        """What was held back proves itself, until nothing is open."""
        for _ in range(300):
            state = self._engine.state
            if not state.open_incidents() and not state.in_force and not state.untold:
                return
            self._clock.advance(120_000_000)
            at = self._clock.now()
            held = [each.target for incident in state.open_incidents() for each in incident.containments.values()]
            told: list[Signal] = [Probed(at=at, target=target, passed=True) for target in held]
            told += [Sampled(at=at, target=target, calls=50, failures=0, slow=0) for target in held]
            told += [RolledBack(at=at, command=each, ok=True) for each in self._proxies[0].rolled_back]
            for service, version in getattr(state, "withdrawn", {}).items():  # a person gives it back when that is over
                if version.ok is not None:
                    told.append(Ordered(at=at, order="release", by="alice", target=Target(service)))
            await self._tell(told)
            self._remember(99)
        raise AssertionError(f"it never ends: {state.open_incidents()} {state.in_force} {state.untold}")

    async def _tell(self, signals: list[Signal]) -> None:
        for each in signals:
            self._loop.submit_nowait(each)
        self._loop.ring()
        await self._settle()

    async def _settle(self) -> None:
        steps = -1
        while steps != self._loop.statistics().steps or self._loop.statistics().inbox:
            steps = self._loop.statistics().steps
            await trio.testing.wait_all_tasks_blocked()
            await self._journal.read_after(10**9, limit=1)  # after every append that was asked for before
            await trio.testing.wait_all_tasks_blocked()

    def _memory(self) -> tuple[int, int]:
        file = self._directory / "memory"
        return tuple(json.loads(file.read_text())) if file.exists() else (0, 10**12)  # type: ignore[return-value]

    def _remember(self, chapter: int) -> None:
        (self._directory / "new").write_text(json.dumps((chapter, self._clock.now())))
        (self._directory / "new").replace(self._directory / "memory")


def nursery() -> None:
    """Fork a life for every line; answer with its wait status."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                life = Life(Birth(**json.loads(line)))
                anyio.run(life.live, backend="trio")
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


def born(birth: Birth) -> str:
    """The line that gives birth."""
    return json.dumps(asdict(birth)) + "\n"


if __name__ == "__main__":
    import trio.testing

    nursery()
