"""One HAProxy: what is ordered is put in force over its runtime API, and kept in force for as long as the lease lasts.

    apply -> wanted -> settle (the difference, command by command) -> acknowledged
                         ^ also after a reconnect, a reload, an order that lapsed, a setting that was not kept

After a restart of the plane, holds and rules of its earlier life are still in force in HAProxy. What is ordered again
renews them; what is not ordered again is left to its lease, so that nothing flaps while the engine reads its journal.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import anyio

from controlplane.adapters.proxies.haproxy.logs import dropped, listen
from controlplane.adapters.proxies.haproxy.plan import (
    PROBE_PERCENT,
    Naming,
    Setting,
    command_of,
    refuse_impossible,
    settings_of,
)
from controlplane.adapters.proxies.haproxy.session import ProxyGone, Session, open_session
from controlplane.adapters.proxies.haproxy.state import INFO, LIST, read_info, read_list
from controlplane.adapters.proxies.haproxy.traffic import Traffic
from controlplane.adapters.proxies.pace import Pace
from controlplane.adapters.proxies.reconcile import Backoff, EffectiveState
from controlplane.adapters.proxies.wanted import Wanted
from controlplane.model.command import Command, Eject, Probe, Restore, RollBack, Weigh
from controlplane.model.errors import ActuationError
from controlplane.model.signal import Effective, Signal, Target
from controlplane.model.unit import MILLISECOND, SECOND, Nanos, to_seconds
from controlplane.ports import CallJudge, Clock

logger = logging.getLogger("controlplane")

LOOK_S: Final = 0.2  # a reload is noticed within this, and its orders are back a round trip later
VERIFY_LOOKS: Final = 5  # looks between two readings of what is in force there
LAPSING_NS: Final = 2 * SECOND  # a lease that ends so soon may be over there already, or renewed since it was read
NO_SCRIPT: Final = "its configuration does not load controlplane.lua, without which no order could end by itself"


class _Settling:
    """One service on its way into force: the targets that were ordered about, and what came of it."""

    def __init__(self, targets: Iterable[Target] = ()) -> None:
        self.targets = dict.fromkeys(targets)  # each once, however often an order is repeated while HAProxy is away
        self.done = anyio.Event()
        self.error: ActuationError | None = None
        self._earlier: list[_Settling] = []

    def follow(self, earlier: "_Settling") -> None:
        """It was interrupted, and what comes of this one comes of it."""
        self.targets = earlier.targets | self.targets
        self._earlier.append(earlier)

    def end(self, error: ActuationError | None = None) -> None:
        """Tell whoever waits."""
        for each in (*self._earlier, self):
            each.error = error
            each.done.set()


class HaProxy:
    """A `ports.DataPlane` and `ports.SignalSource` over one HAProxy, whose runtime API is at `address`.

    `services` are those whose calls pass it, with the names of their endpoints; `ring` says that there are signals. Its
    log comes to the socket `log`, which stays the caller's; `entry`: its requests are those of users.
    """

    def __init__(
        self,
        name: str,
        address: str,
        services: Mapping[str, tuple[str, ...]],
        *,
        naming: Naming,
        clock: Clock,
        judge: CallJudge,
        ring: Callable[[], None] = lambda: None,
        seed: int = 1,
        log: socket.socket | None = None,
        entry: bool = True,
    ) -> None:
        self.name, self.log = name, log
        self.effective = EffectiveState(name, "haproxy")
        self.naming = naming
        self.wanted = Wanted(services, usable=lambda target: self.traffic.usable(target))
        self._pace = Pace(judge, self.wanted)
        self.traffic = Traffic(naming, self._pace, clock, self.effective, entry=entry)
        self._address, self._clock, self._ring = address, clock, ring
        self._backoff = Backoff(seed)
        self._known: dict[str, Setting] = {}  # what the worker that we speak to has in force, by name
        self._ordered: set[Target] = set()  # in this life of the plane: only that is taken back
        self._settling: dict[str, _Settling] = {}
        self._work = anyio.Event()
        self._signals: list[Signal] = []

    @property
    def where(self) -> str:
        """Where it is spoken to, and where its log is heard, for people."""
        if self.log is None:
            return f"{self._address}, no log"
        host, port = self.log.getsockname()[:2]
        return f"{self._address}, log {f'[{host}]' if ':' in host else host}:{port}"

    # ports.SignalSource

    def drain(self) -> list[Signal]:
        """When orders came into force here."""
        signals, self._signals = self._signals, []
        return signals

    def sample(self) -> list[Signal]:
        """The same."""
        return self.drain()

    # ports.DataPlane

    async def apply(self, command: Command) -> None:
        """Return when HAProxy has acknowledged `command`.

        Raises  NotHere, StaleEpoch, StaleCommand, LeaseLapsed as `Wanted.check`; ActuationError for what HAProxy cannot
                or will not do, and, retryable, while it is away: then the order is put in force when it is back.
        """
        now = self._clock.now()
        self.wanted.check(command, now)
        if isinstance(command.intent, RollBack):
            return
        gives_back = isinstance(command.intent, Restore)
        if not gives_back and command.enforcement != "shadow":
            refuse_impossible(command)
            self._refuse_fraction(command)
        changed = self.wanted.apply(command, now)
        if command.enforcement == "shadow" and not gives_back:
            return
        self._ordered.add(command.target)
        self._pace.ordered()
        self.effective.ordered(command.target, now)
        settling = self._settle_soon(command.target.service)
        settling.targets[command.target] = None
        if self.effective.trouble and not self.effective.reached:
            raise ActuationError(self._away(self.effective.trouble), retryable=True)
        await settling.done.wait()
        if settling.error is not None:
            raise settling.error
        if changed and not gives_back and command.signal_at:
            at = self._clock.now()
            self._signals.append(Effective(at=at, target=command.target, signal_at=command.signal_at))
            self._ring()

    def _refuse_fraction(self, command: Command) -> None:
        """A weight is a whole number: of 1 there is no half."""
        weight, intent = self.traffic.weight(command.target), command.intent
        if not command.target.endpoint or not isinstance(intent, Eject | Probe | Weigh):
            return
        percent = PROBE_PERCENT
        if isinstance(intent, Eject):
            percent = 100 - command.percent if command.enforcement == "percent" else 0
        elif isinstance(intent, Weigh):
            percent = intent.percent
        if 0 < percent < 100 and 0 < weight * percent < 100:
            server = self.naming.server(command.target)
            reason = f"the weight of {server} is {weight}, of which {percent} % is less than 1: configure `weight 100`"
            raise ActuationError(reason, retryable=False)

    # the conversation

    async def hear(self) -> None:
        """Take in the log until cancelled."""
        if self.log is not None:
            await listen(self.log, self.traffic.take_line)

    async def run(self) -> None:
        """Keep the conversation going until cancelled."""
        while True:
            try:
                # counters are long answers: no order waits behind one
                async with open_session(self._address) as session, open_session(self._address) as counters:
                    await self._converse(session, counters)
            except* (ProxyGone, ValueError) as group:
                self._gone(str(_first(group)))
            await anyio.sleep(self._backoff.pause_s())

    async def _converse(self, session: Session, counters: Session) -> None:
        """Until HAProxy is gone, or has been reloaded and another process serves."""
        info = read_info(await session.ask(INFO))
        if info.leaving:
            return  # the socket still leads to the process that goes
        entries = read_list(await session.ask(LIST))
        if entries is None:
            raise ProxyGone(NO_SCRIPT)
        now = self._clock.now()
        self._known = {
            entry.name: Setting(entry.kind, entry.value, Nanos(now + entry.left_ms * MILLISECOND)) for entry in entries
        }
        await self.traffic.look(counters)
        self.effective.found(info.instance, self.traffic.missing())
        if self.effective.trouble:
            logger.warning("the proxy %s does not fit its configuration: %s", self.name, self.effective.trouble)
        self._backoff.reset()
        self._lapse()
        for service in {target.service for target in self._ordered}:
            self._settle_soon(service)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._settle, session)
            tasks.start_soon(self.traffic.watch, counters)
            tasks.start_soon(self._pace.run, self._settle_soon)
            await self._watch(session)
            tasks.cancel_scope.cancel()

    async def _watch(self, session: Session) -> None:
        """Return when this worker leaves; now and then, read what is in force."""
        looks = 0
        while True:
            await anyio.sleep(LOOK_S)
            info = read_info(await session.ask(INFO))
            if info.leaving:
                return
            self.effective.dropped = info.dropped_logs + (dropped(self.log) if self.log is not None else 0)
            looks += 1
            if looks % VERIFY_LOOKS == 0:
                self._verify(await session.ask(LIST))

    def _verify(self, text: str) -> None:
        """What was acknowledged and is not in force there, though its lease is not over, is ordered again."""
        now = self._clock.now()
        found = {entry.name: entry.value for entry in read_list(text) or ()}
        for name, setting in list(self._known.items()):
            if setting.until - now < LAPSING_NS or found.get(name) == setting.value:
                continue
            del self._known[name]
            owner = self.naming.owner(name)
            if owner is not None and owner in self._ordered:
                self.effective.contradicted(f"{name} was acknowledged as {setting.value} and is not", now)
                self._settle_soon(owner.service)

    async def _settle(self, session: Session) -> None:
        """Bring what differs into force, until cancelled; and what lapsed out of what is wanted."""
        while True:
            while self._settling:
                service = next(iter(self._settling))
                await self._settle_one(session, service)
            self._work = anyio.Event()
            ends = self.wanted.expires_at()
            delay_s = None if ends is None else max(0.0, to_seconds(ends - self._clock.now()))
            with anyio.move_on_after(delay_s):
                await self._work.wait()
            self._lapse()

    def _lapse(self) -> None:
        now = self._clock.now()
        for order in self.wanted.expire(now):
            self._settle_soon(order.command.target.service)

    async def _settle_one(self, session: Session, service: str) -> None:
        """Every setting of `service` that is not as wanted, one after the other."""
        settling = self._settling.pop(service)
        refused: dict[Target, str] = {}
        try:
            wanted = settings_of(self.wanted, self.naming, service)
            for name in self._differing(service, wanted):
                setting = wanted.get(name)
                answer = await session.ask(command_of(name, setting, self._clock.now()))
                if answer != "ok":
                    refused[self.naming.owner(name) or Target(service)] = answer.removeprefix("error: ")
                elif setting is None:
                    self._known.pop(name, None)
                else:
                    self._known[name] = setting
        except BaseException:  # HAProxy is gone, or was reloaded: it is for the next conversation
            self._settling.setdefault(service, _Settling()).follow(settling)
            raise
        now = self._clock.now()
        for target in settling.targets:
            if target in refused:
                self.effective.refused(target, refused[target])
            else:
                self.effective.acknowledged(target, now)
        said = "; ".join(f"{target}: {reason}" for target, reason in refused.items())
        settling.end(ActuationError(f"{self.name} refused: {said}", retryable=False) if refused else None)

    def _differing(self, service: str, wanted: Mapping[str, Setting]) -> list[str]:
        """What is to be put in force first, so that nothing is let go that is only to become less."""
        differing = [name for name, setting in wanted.items() if self._known.get(name) != setting]
        for name in self._known:
            owner = self.naming.owner(name)
            if name not in wanted and owner is not None and owner.service == service and owner in self._ordered:
                differing.append(name)
        return differing

    def _settle_soon(self, service: str) -> _Settling:
        settling = self._settling.setdefault(service, _Settling())
        self._work.set()
        return settling

    def _gone(self, reason: str) -> None:
        if self.effective.reached or not self.effective.trouble:
            logger.warning("the proxy %s is out of reach: %s", self.name, reason)
        self.effective.gone(reason)
        self.traffic.forget()
        self._lapse()
        for service, settling in list(self._settling.items()):
            settling.end(ActuationError(self._away(reason), retryable=True))
            self._settling[service] = _Settling(settling.targets)

    def _away(self, reason: str) -> str:
        return f"{self.name} is out of reach ({reason}); the order is put in force when it is back"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception in `group` that is none itself."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
