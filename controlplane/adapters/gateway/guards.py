"""The in-process data plane: the guards of all services this process calls, as one source of signals and one actuator.

One GuardSet belongs to one event loop. Reflexes need neither the loop nor the engine: a settlement that ejects an
endpoint rings, and redrives what is in flight there, before it returns.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from controlplane._native.guard import Guard, now_ns
from controlplane.adapters.fence import Fence
from controlplane.adapters.gateway.actuate import actuate, endpoint_index
from controlplane.adapters.gateway.condition import ConditionWatch
from controlplane.adapters.gateway.context import absolve
from controlplane.adapters.gateway.door import SHUT, Doors
from controlplane.adapters.gateway.edge import EdgeTallies
from controlplane.adapters.gateway.once import report_once
from controlplane.adapters.gateway.service import ALONE, EDGE, ServiceGuard
from controlplane.adapters.gateway.tally import OBSERVED_NS, EntryCounts, EntryTally, Notes, ServiceTally
from controlplane.adapters.gateway.translate import RingReader, told
from controlplane.adapters.gateway.versions import SOON_NS, VersionTallies
from controlplane.adapters.gateway.watch import StallWatch
from controlplane.decide.safety import refuse_blank, refuse_switched_off
from controlplane.model.command import Close, Command, Eject, Restore, RollBack
from controlplane.model.errors import ActuationError, ConfigError, LeaseLapsed
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Signal, Target, Tripped
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import MILLISECOND, Nanos

if TYPE_CHECKING:
    from controlplane.adapters.gateway.host import Host

TELL_EVERY_NS = 100 * MILLISECOND  # a flood of relayed failures wakes the loop ten times a second, not once each


LEARN_MAX = 16  # services that learn in one sample
READ_ALL_NS = 250 * MILLISECOND  # every guard is read so often, rung or not
READ_MAX = 32  # of those that did not ring, in one go


def _nobody() -> None:
    pass


class GuardSet:
    """A `ports.DataPlane` and `ports.SignalSource` over native guards.

    `ring` is called, on the loop's thread, whenever there is something to drain. `policies` by name; "default" always
    exists. `services` are the guarded ones by name: all of the topology but the process itself.
    Raises  ConfigError when a service names a policy that is not there.
    """

    def __init__(
        self,
        topology: Topology,
        policies: Mapping[str, GuardPolicy],
        *,
        ring: Callable[[], None] = _nobody,
        seed: int = 1,
        enforced: int = 1,
        host: "Host | None" = None,
    ) -> None:
        for name, policy in policies.items():
            refuse_blank(policy, key=f"policies.{name}")
        self.topology = topology
        self.host = host
        self.entry = EntryCounts() if host is None else host.entry
        self.stall = StallWatch()
        self._fence = Fence()
        self._ring = ring
        self.services: dict[str, ServiceGuard] = {
            service.name: ServiceGuard(
                service,
                _policy(service, policies),
                seed=seed,
                enforced=enforced,
                changed=self._changed,
                each_second=self._freshen,
                zone=topology.zone,
                place=ALONE if host is None else host.place(service.name),
            )
            for service in topology.services
            if service.name != topology.entry
        }
        self.doors = (
            Doors(topology, enforced=enforced) if host is None else Doors(topology, enforced=enforced, place=host.place)
        )
        now = now_ns()
        self._tallies = {name: ServiceTally(service, now) for name, service in self.services.items()}
        self._conditions = {
            name: ConditionWatch(name, service.guard, service.usual, service.policy)
            for name, service in self.services.items()
        }
        self._watched: dict[str, ConditionWatch] = {}  # of those, the ones that may have something to tell
        self._entry = EntryTally(self.entry, now)
        self._edges = EdgeTallies(topology.entry, list(self.services.values()), self.entry, now)
        self.versions = VersionTallies(self.services)
        self._notes = Notes() if host is None else host.notes
        self._rows = RingReader()
        self._rung: dict[str, None] = {}
        self._unrung = deque(self.services)  # the next to be read without a ring first
        self._unrung_read_at = 0
        self._learners = deque(self.services.values())
        self._closed_by: dict[str, str] = {}
        self._asked: dict[str, int] = {}  # services that are reported on, and until when
        self._told_at = 0
        if host is not None:
            host.arena.on_fork.append(self.leave)

    def guard(self, service: str) -> Guard:
        """The native guard of the calls to `service`. Raises KeyError where it is not guarded."""
        return self.services[service].guard

    def enforce(self, on: int) -> None:
        """1: reflexes and orders act. 0: observe only."""
        for service in self.services.values():
            service.enforce(on)
        for guard in self.doors.guards:
            guard.enforce(on)

    async def watch(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Run the stall watch until cancelled."""
        await self.stall.watch(task_status=task_status)

    @property
    def events_lost(self) -> int:
        """Rows that were overwritten before anybody drained them."""
        return sum(service.guard.events_lost for service in self.services.values())

    def fell_back(self, service: str, count: int = 1) -> None:
        """The application answered `count` requests without `service`."""
        absolve(service)
        self._notes.fell_back(service, count)
        self._tell()

    def relayed(self, caller: str, callee: str) -> None:
        """`caller` answered with a failure that was `callee`'s."""
        self._notes.relayed(caller, callee)
        self._tell()

    # ports.SignalSource

    def drain(self) -> list[Signal]:
        """Facts since the last call, oldest first; what edges did only when there is nothing more urgent."""
        signals: list[Signal] = []
        at = Nanos(now_ns())
        for name, service in self._rung_services(at):
            for signal in self._rows.read(service):
                if isinstance(signal, Tripped):
                    self._observe(name, service.index(signal.target.endpoint), signal.at)
                signals.append(signal)
            for finding in service.findings:
                signals.append(told(service, finding, at))
                self._observe(name, finding.endpoint, at)
            service.findings.clear()
        signals.sort(key=lambda signal: signal.at)
        # a verdict must not wait behind what can
        edges: list[Signal] = [] if signals else [*self._edges.sample_of_beat(at), *self.versions.sample(at)]
        return [*signals, *self._notes.take(at), *edges]

    def sample(self) -> list[Signal]:
        """Counts since the last sample, or of the last seconds when that is long ago; and what is not well yet."""
        at = Nanos(now_ns())
        signals = self._entry.sample(at)
        self._asked = {name: until for name, until in self._asked.items() if until > at}
        for name in self._asked:
            signals += self._tallies[name].sample(at)
        for _ in range(min(len(self._learners), LEARN_MAX)):  # whose calls are settled by hand have no other occasion
            self._learners[0].learn(at)
            self._learners.rotate(-1)
        self._watched = {name: watch for name, watch in self._watched.items() if watch.watches(at)}
        for watch in self._watched.values():
            signals += watch.sample(at)
        counted = self.versions.sample(at, SOON_NS)
        return [*signals, *counted, *self._notes.take(at), *self._edges.sample(at)]

    async def beat(self, ring: Callable[[], None]) -> None:
        """`ring` once a second while calls are made, so that what edges did is told, until cancelled."""
        try:
            await self._edges.beat(ring)
        except Exception:  # edges are still told of whenever the loop wakes for another reason
            report_once("telling what edges did")

    def look(self) -> None:
        """Notice calls that other processes of this host have made."""
        self._edges.look()

    # ports.DataPlane

    async def apply(self, command: Command) -> None:
        """Put `command` in force at once. Raises ActuationError (`StaleEpoch`, `StaleCommand`: it comes too late)."""
        self._fence.check(command)
        if isinstance(command.intent, RollBack):
            return  # a deployer's
        service = self.services.get(command.target.service)
        if service is None and command.target == Target(self.topology.entry):
            self._apply_here(command)
            return
        if service is None:
            raise ActuationError(f"no calls to {command.target.service!r} are guarded here", retryable=False)
        index = endpoint_index(service, command)
        now = now_ns()
        lease_ns = command.lease_until - now
        if lease_ns <= 0 and not isinstance(command.intent, Restore):  # taking back is never too late
            raise LeaseLapsed(command.id, -lease_ns)
        if command.enforcement == "shadow":
            service.would[type(command.intent).__name__] += 1
        else:
            actuate(service, index, command, lease_ns)
            if isinstance(command.intent, Close):
                self._closed_by[service.name] = command.intent.guard
            if index != EDGE:
                service.held_back(index)
        self._fence.note(command)
        self._observe(service.name, index, now)
        if isinstance(command.intent, Restore):
            if not command.intent.what:
                service.calm(now)
            return
        service.disturb(command.lease_until)
        if isinstance(command.intent, Eject) and command.enforcement == "full":
            self._redrive(service, index)
        if self.host is not None:
            self.host.ring()  # other processes have calls in flight there, too

    def _apply_here(self, command: Command) -> None:
        """An order about what this process itself serves."""
        lease_ns = command.lease_until - now_ns()
        if lease_ns <= 0 and not isinstance(command.intent, Restore):
            raise LeaseLapsed(command.id, -lease_ns)
        if command.enforcement != "shadow":
            self.doors.apply(command, lease_ns)
        self._fence.note(command)
        if self.host is not None:
            self.host.ring()

    def is_closed(self, service: str) -> bool:
        """Whether a call to `service` now would meet a closed door."""
        return self.services[service].guard.door() == SHUT

    def guard_of(self, service: str) -> str:
        """The guard because of which `service` is closed, as far as this process knows; without any the service."""
        return self._closed_by.get(service) or next(iter(self.topology.guarded.get(service, ())), service)

    # among the processes of a host

    def retune(self, policies: Mapping[str, GuardPolicy]) -> None:
        """Put `policies` in force for everybody who shares these guards: all of them, or none when one is wrong.

        Raises  ConfigError for a field that is blank, out of its bounds, or would switch off a limit in force.
        """
        for name, policy in policies.items():
            refuse_blank(policy, key=f"policies.{name}")
        for service in self.services.values():
            refuse_switched_off(service.policy, _policy(service.service, policies), service.service.name)
        for service in self.services.values():
            service.retune(_policy(service.service, policies))
            self._conditions[service.name].configure(service.policy)

    def heed(self) -> None:
        """Another process has changed something: what is in flight here where an endpoint is out goes elsewhere."""
        for lane in tuple(self.stall.inflight.lanes()):
            if (lane.awaited or lane.overdue) and lane.service.guard.is_ejected(lane.endpoint):
                self._redrive(lane.service, lane.endpoint)

    def forget_rows(self) -> None:
        """Read what happened without telling: learning pauses, and the control plane of this host is somebody else."""
        for service in self.services.values():
            self._rows.read(service)
            service.findings.clear()

    def reclaim(self, worker: int) -> None:
        """The process of that place is gone: what it held is given back."""
        for service in self.services.values():
            service.guard.reclaim(worker)
        for guard in self.doors.guards:
            guard.reclaim(worker)

    def leave(self) -> None:
        """Go on with guards and counts of this process alone: its place is about to be, or always was, another's."""
        for service in self.services.values():
            service.guard.leave()
        for guard in self.doors.guards:
            guard.leave()
        self.host, self.entry, self._notes = None, EntryCounts(), Notes()
        self._entry = EntryTally(self.entry, now_ns())

    def rung(self, service: str) -> None:
        """The guard of `service` has something to tell. For every thread."""
        self._rung[service] = None

    def _rung_services(self, now: int) -> list[tuple[str, ServiceGuard]]:
        """Those whose guards have said that they changed, and from time to time all of them: other processes of a host
        do not say whose guard it was, and who settles permits by himself need not say it either."""
        if self.host is not None:
            self._rung.clear()
            return [*self.services.items()]
        rung, self._rung = self._rung, {}
        everybody = len(self._unrung)
        due = everybody * (now - self._unrung_read_at) // READ_ALL_NS
        if due > READ_MAX and due <= everybody:  # the rest in the next turn, which comes at once
            self._unrung_read_at += READ_MAX * READ_ALL_NS // everybody
            self._ring()
        elif due:
            self._unrung_read_at = now
        for _ in range(min(due, READ_MAX)):
            rung.setdefault(self._unrung[0])
            self._unrung.rotate(-1)
        return [(name, self.services[name]) for name in rung]

    def _changed(self, service: ServiceGuard, endpoint: int) -> None:
        """A settlement changed a state: act on what is in flight, wake the loop. Never raises into the request path."""
        try:
            self.rung(service.name)
            if endpoint >= 0 and service.guard.is_ejected(endpoint):
                self._redrive(service, endpoint)
            self._ring()
        except Exception:
            report_once("a reflex")

    def _observe(self, service: str, endpoint: int | None, now: int) -> None:
        """An incident is on: from now on samples are asked for, and every count there is somebody's evidence."""
        self._asked[service] = max(self._asked.get(service, 0), now + OBSERVED_NS)
        self._watched[service] = self._conditions[service]
        self._watched[service].observe(now)
        if endpoint is not None:
            self._tallies[service].observe(endpoint, now)

    def _freshen(self, service: ServiceGuard, now: int) -> None:
        """Drop counts of a quiet time: see `tally`; there is traffic."""
        self._edges.traffic()
        if self._asked.get(service.name, 0) <= now:
            self._tallies[service.name].freshen(now)
        if not self._asked:
            self._entry.freshen(now)

    def _redrive(self, service: ServiceGuard, endpoint: int) -> None:
        """Not from who still answers while its siblings are found bad, too: a queue sent again to who is as late as the
        one that it waits at is a retry storm. From who hangs nothing is to be had."""
        together = service.guard.describe()["retries_suspended"] and self.stall.inflight.answers(service, endpoint)
        if service.policy.redrive and service.enforced and not together:
            self.stall.inflight.redrive(service, endpoint)

    def _tell(self) -> None:
        now = now_ns()
        if now - self._told_at >= TELL_EVERY_NS:
            self._told_at = now
            self._ring()


def _policy(service: Service, policies: Mapping[str, GuardPolicy]) -> GuardPolicy:
    policy = policies.get(service.policy)
    if policy is not None:
        return policy
    if service.policy == "default":
        return GuardPolicy()
    known = ", ".join(sorted({*policies, "default"}))
    raise ConfigError(f"no policy {service.policy!r}; known: {known}", key=f"services.{service.name}.policy")
