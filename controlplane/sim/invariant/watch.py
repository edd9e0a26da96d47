"""The watcher of one plane: it is told everything that goes in and comes out, and says what broke."""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final

import msgspec

from controlplane.model import signal as on
from controlplane.model.command import Command, Eject, Isolate, Limit, Probe, Restore, RollBack, Weigh
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import CommandIssued, EpochStarted, IncidentOpened, LeaseExpired, OrderTaken
from controlplane.model.signal import Signal, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, CommandId, Nanos, to_nanos
from controlplane.sim.invariant.sound import unsound

RULES: Final = {
    "capacity": "automation never takes the last replica of a service, nor goes below the healthy floor",
    "budget": "acts stay within the velocity limit and the blast budget",
    "lease": "each act has a lease, no longer than the policy's, and an undo, and is on record before it acts",
    "epoch": "an older epoch never wins",
    "invalid": "nothing is done because of a signal that cannot be, nor without any evidence against the service",
    "readmission": "who was taken out comes back after evidence, and takes no step up right after a bad verdict;"
    " at once only when all of its siblings are found bad, too",
    "flapping": "no target is taken out more than FLAPS_MAX times in FLAP_WINDOW_NS",
}
FLAPS_MAX: Final = 6  # penalties of 5, 10, 20 s let a target fail its probes four times in the window
FLAP_WINDOW_NS: Final = 60 * SECOND
TOGETHER_NS: Final = 10 * SECOND  # bad verdicts so close to each other are about the same thing
VELOCITY_WINDOW_NS: Final = 60 * SECOND
PROBES_TO_PASS: Final = 3  # active probes in a row that are as good as passed real requests
VIOLATIONS_MAX: Final = 50  # of one plane; a broken invariant breaks at every step


class Violation(msgspec.Struct, frozen=True):
    """What broke, when, where."""

    at: Nanos
    plane: str
    rule: str
    what: str


class _Book(msgspec.Struct):
    """What is known of one target."""

    held: Command | None = None  # the order that keeps it out
    since: Nanos = Nanos(0)
    passed_at: Nanos = Nanos(-1)
    seen_at: Nanos = Nanos(-1)  # counts of it were told
    bad_at: Nanos = Nanos(-1)  # a verdict
    suspected_at: Nanos = Nanos(-TOGETHER_NS)  # a report with bad calls in it
    probes: int = 0
    taken: bool = True
    percent: int = 0  # of its traffic that it was last given


class Invariants:
    """One plane under watch. Tell it of every call of the engine, and of every order that a data plane got."""

    def __init__(self, plane: str, topology: Topology, policy: ResponsePolicy) -> None:
        self.plane, self.topology, self.policy = plane, topology, policy
        self.violations: list[Violation] = []
        self.broken = 0  # also those beyond VIOLATIONS_MAX
        self.acts = 0
        self._sizes = {service.name: len(service.endpoints) for service in topology.services}
        self._epoch = 0
        self._applied_epoch = 0
        self._issued: dict[str, Command] = {}
        self._in_force: dict[Target, Command] = {}
        self._books: defaultdict[Target, _Book] = defaultdict(_Book)
        self._accused: set[str] = set()
        self._acted_at: deque[Nanos] = deque()
        self._taken_out: defaultdict[Target, deque[Nanos]] = defaultdict(deque)

    def decided(self, signal: Signal | None, outcome: Outcome, now: Nanos) -> None:
        """The engine answered `signal` (None: a start or a tick) with `outcome`."""
        why = "" if signal is None else unsound(signal, self.topology, self._issued)
        if signal is not None and not why:
            self._hear(signal, now)
        on_record = self._read(outcome, now)
        if why and (outcome.commands or any(isinstance(record, IncidentOpened) for record in outcome.records)):
            self._break("invalid", f"{type(signal).__name__} led to an act or an incident: {why}", now)
        by_person = isinstance(signal, on.Ordered) or any(isinstance(one, EpochStarted) for one in outcome.records)
        for command in outcome.commands:
            self._bounded(command, on_record, now)
            if command.enforcement != "shadow":
                self._act(command, now, by_person=by_person)

    def applied(self, command: Command, now: Nanos) -> None:
        """A data plane has taken `command`."""
        if command.epoch < self._applied_epoch:
            self._break("epoch", f"{command.id} of epoch {command.epoch} won over {self._applied_epoch}", now)
        self._applied_epoch = max(self._applied_epoch, command.epoch)
        if command.lease_until <= now and not isinstance(command.intent, Restore):
            self._break("lease", f"{command.id} was carried out {now - command.lease_until} ns after its lease", now)

    def usable(self, service: str, takes_calls: Sequence[bool], now: Nanos) -> None:
        """Which replicas of `service` the data plane would send a call to, now."""
        if takes_calls and not any(takes_calls):
            self._break("capacity", f"none of {len(takes_calls)} replicas of {service} takes calls", now)

    def _break(self, rule: str, what: str, now: Nanos) -> None:
        self.broken += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(now, self.plane, rule, what))

    def _hear(self, signal: Signal, now: Nanos) -> None:
        match signal:
            case on.Tripped():
                self._accuse(signal.target, now)
            case on.Probed():
                self._probe(signal.target, now, passed=signal.passed)
            case on.ProbeFinished():
                book = self._books[signal.target]
                book.probes = book.probes + 1 if signal.ok else 0
                book.seen_at = now
                if not signal.ok:
                    self._accused.add(signal.target.service)
                    book.suspected_at = now
                elif book.probes >= PROBES_TO_PASS:
                    book.passed_at = now
            case on.Sampled() | on.CallsFinished():
                if signal.failures or signal.slow:
                    self._accused.add(signal.target.service)
                    if isinstance(signal, on.CallsFinished):
                        self._books[signal.target].suspected_at = now
                for target in (signal.target, Target(signal.target.service)):
                    self._books[target].seen_at = now
            case on.Relayed():
                self._accused.add(signal.callee)
            case on.Drifted() | on.Heartbeat() | on.Alerted():
                self._accused.add(signal.target.service)
            case on.EdgeSampled():
                self._accused.add(signal.callee)
            case on.Acted() if not signal.ok and signal.command in self._issued:
                refused = self._issued[signal.command]
                self._books[refused.target].taken = False
                if self._in_force.get(refused.target) is refused:
                    del self._in_force[refused.target]
            case _:
                pass

    def _accuse(self, target: Target, now: Nanos) -> None:
        self._books[target].bad_at = now
        self._accused.add(target.service)

    def _probe(self, target: Target, now: Nanos, *, passed: bool) -> None:
        if passed:
            self._books[target].passed_at = now
        else:
            self._accuse(target, now)

    def _read(self, outcome: Outcome, now: Nanos) -> dict[CommandId, Command]:
        """The commands on record in `outcome`, by id."""
        found: dict[CommandId, Command] = {}
        for record in outcome.records:
            match record:
                case CommandIssued():
                    found[record.command.id] = record.command
                case EpochStarted():
                    if record.epoch <= self._epoch:
                        self._break("epoch", f"epoch {record.epoch} began after {self._epoch}", now)
                    self._epoch = record.epoch
                case LeaseExpired():
                    self._in_force.pop(record.target, None)
                    self._books[record.target].held = None
                case OrderTaken(order="observe"):
                    self._in_force.clear()
                case _:
                    pass
        return found

    def _bounded(self, command: Command, on_record: dict[CommandId, Command], now: Nanos) -> None:
        if on_record.get(command.id) != command:
            self._break("lease", f"{command.id} acts and is not on record", now)
        if not now < command.lease_until <= now + to_nanos(self.policy.lease_s):
            self._break("lease", f"{command.id} has a lease of {command.lease_until - now} ns", now)
        if not isinstance(command.undo, Restore) and not isinstance(command.intent, RollBack):
            self._break("lease", f"{command.id} cannot be undone", now)
        if command.epoch != self._epoch:
            self._break("epoch", f"{command.id} is of epoch {command.epoch}, this is {self._epoch}", now)

    def _act(self, command: Command, now: Nanos, *, by_person: bool) -> None:
        target, intent, renewed = command.target, command.intent, command.id in self._issued
        for past in [one for one, held in self._in_force.items() if held.lease_until <= now]:
            del self._in_force[past]
        self._issued[command.id] = command
        if renewed:
            if target in self._in_force:
                self._in_force[target] = command
            return
        self.acts += 1
        match intent:
            case Eject() | Isolate() | Limit():
                if not by_person and not command.overrides:
                    self._takes_out(command, now)
                self._books[target] = msgspec.structs.replace(
                    self._books[target], held=command, since=now, taken=True, percent=0
                )
                self._in_force[target] = command
            case Weigh() | Restore() if not getattr(intent, "what", ""):
                if not by_person:
                    self._gives_back(command, now)
                self._books[target].held = None
                self._in_force.pop(target, None)
            case Probe():
                self._in_force.pop(target, None)
                self._books[target].percent = 0
            case _:
                pass

    def _takes_out(self, command: Command, now: Nanos) -> None:
        target, service = command.target, command.target.service
        if service not in self._accused:
            self._break("invalid", f"{command.id} holds {target}, and nothing was ever told against {service}", now)
        self._acted_at.append(now)
        while self._acted_at[0] <= now - VELOCITY_WINDOW_NS:
            self._acted_at.popleft()
        if len(self._acted_at) > self.policy.commands_per_minute_max:
            self._break("budget", f"{len(self._acted_at)} acts in a minute", now)
        if command.enforcement == "full" and isinstance(command.intent, Eject):
            self._leaves_enough(target, now)
        if self._in_force.get(target) is None:
            times = self._taken_out[target]
            times.append(now)
            while times[0] <= now - FLAP_WINDOW_NS:
                times.popleft()
            if len(times) > FLAPS_MAX:
                self._break("flapping", f"{target} was taken out {len(times)} times in a minute", now)

    def _leaves_enough(self, target: Target, now: Nanos) -> None:
        out = {one for one, held in self._in_force.items() if isinstance(held.intent, Eject)} | {target}
        size = self._sizes.get(target.service, 0)
        left = size - sum(1 for one in out if one.service == target.service)
        if left < 1 or left * 100 < self.policy.healthy_floor_percent * size:
            self._break("capacity", f"{left} of {size} replicas of {target.service} are left", now)
        total = sum(self._sizes.values())
        if len(out) * 100 > self.policy.blast_budget_percent * total:
            self._break("budget", f"{len(out)} of all {total} replicas are out", now)

    def _acquitted(self, target: Target, now: Nanos) -> bool:
        """Whether every sibling of an endpoint was found bad lately: what they share is the cause, and not this one. A
        verdict counts, and a report with bad calls in it, which verdicts may rest on."""
        known = self.topology.service(target.service)
        others = [one.name for one in known.endpoints if one.name != target.endpoint] if known is not None else []
        if not target.endpoint or not others:
            return False
        books = [self._books[Target(target.service, name)] for name in others]
        return all(max(book.bad_at, book.suspected_at) > now - TOGETHER_NS for book in books)

    def _gives_back(self, command: Command, now: Nanos) -> None:
        book = self._books[command.target]
        step = command.intent
        if isinstance(step, Restore) and self._acquitted(command.target, now):
            return
        if book.held is not None and book.taken:
            shown_at = book.seen_at if isinstance(book.held.intent, Limit) else book.passed_at
            if shown_at < book.since:
                held_s = (now - book.since) / SECOND
                self._break("readmission", f"{command.target} is back after {held_s:g} s without evidence", now)
        step_s = self.policy.pace(whole=not command.target.endpoint).ramp_step_s
        hurried = book.passed_at <= book.bad_at and now - book.bad_at < to_nanos(step_s)
        percent = step.percent if isinstance(step, Weigh) else 100
        up, book.percent = percent > book.percent, percent  # one that goes back a stage is what a bad verdict is for
        if hurried and book.bad_at >= 0 and isinstance(step, Weigh | Restore) and book.held is None and up:
            since_s = (now - book.bad_at) / SECOND
            self._break("readmission", f"{command.target} takes a step up {since_s:g} s after a bad verdict", now)
