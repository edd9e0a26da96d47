"""What passes one HAProxy: results of calls from its log, and from its counters what no log line can tell (yet).

A call that hangs is logged when it is given up, and a connection that was refused and tried again elsewhere under the
name of the server that took it. HAProxy's counters have both. They are read ten times a second, and thirty times while
calls are in flight; less often where reading them is work, so that it never costs more than a twentieth of the time.
"""

import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import anyio

from controlplane._native.guard import ERROR, STALLED, TIMEOUT
from controlplane.adapters.proxies.haproxy.logline import read_line
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.session import Session
from controlplane.adapters.proxies.haproxy.stall import StallCount
from controlplane.adapters.proxies.haproxy.state import SERVERS, Server, read_servers
from controlplane.adapters.proxies.observe import HALF_MS, fold
from controlplane.adapters.proxies.reconcile import EffectiveState
from controlplane.model.signal import Target
from controlplane.ports import CallJudge, Clock

LOOK_S: Final = 0.1
BUSY_LOOK_S: Final = 0.03  # stalls that come due within 20 ms are one observation: evidence.h
LOOK_MOST_S: Final = 5.0  # HAProxy hangs up on who is silent for 10 s
LOOK_SHARE: Final = 20  # of the time one part is spent on looking
COSTS_KEPT: Final = 8  # looks, of which the quickest says what one costs
NAMES_MAX: Final = 5  # in a message
RETRIED_MAX: Final = 16  # connections that failed between two looks, told of one server; more say no more


def _pause_s(costs_s: Iterable[float], *, busy: bool) -> float:
    """How long not to look. By the quickest look of late: a wait for a turn is no work, and where both of us are short
    of time, calls that hang must not be looked for less and less."""
    return min(LOOK_MOST_S, max(BUSY_LOOK_S if busy else LOOK_S, LOOK_SHARE * min(costs_s)))


class Traffic:
    """The servers of one HAProxy as they stand, and what their calls are told as."""

    def __init__(
        self, naming: Naming, judge: CallJudge, clock: Clock, effective: EffectiveState, *, entry: bool
    ) -> None:
        self.entry = entry  # its requests are users'
        self._naming, self._judge, self._clock, self._effective = naming, judge, clock, effective
        self._servers: dict[Target, Server] = {}
        self._weights: dict[Target, int] = {}
        self._stalls: dict[Target, StallCount] = {target: StallCount() for target in naming.servers().values()}

    def take_line(self, line: bytes) -> None:
        """One line of the log."""
        told = read_line(line, self._naming)
        if told is None:
            self._effective.unread += 1
            return
        self._effective.observed += 1
        if told.endpoint:
            self._stalls[Target(told.service, told.endpoint)].answered()
        fold(told, self._judge, entry=self.entry)

    async def watch(self, session: Session) -> None:
        """Look at the counters until cancelled. Raises ProxyGone."""
        costs_s: deque[float] = deque(maxlen=COSTS_KEPT)
        while True:
            began = time.monotonic()
            await self.look(session)
            busy = any(server.in_flight for server in self._servers.values())
            costs_s.append(time.monotonic() - began)
            await anyio.sleep(_pause_s(costs_s, busy=busy))

    async def look(self, session: Session) -> None:
        """Read all counters once. Raises ProxyGone, ValueError."""
        now = self._clock.now()
        by_hand = {}
        for server in read_servers(await session.ask(SERVERS)):
            target = self._naming.target(server.backend, server.name)
            if target is None:
                continue
            before = self._servers.get(target)
            self._servers[target] = server
            self._weights[target] = max(server.weight, self._weights.get(target, 0))
            if server.by_hand:
                by_hand[str(target)] = server.status
            self._judge_counters(target, server, before, now)
        self._effective.person = by_hand

    def _judge_counters(self, target: Target, server: Server, before: Server | None, now: int) -> None:
        if server.by_hand:
            return  # what somebody does there is no evidence
        if before is not None and before.started <= server.started:
            retried = min(RETRIED_MAX, max(0, server.retried - before.retried))
            for number in range(retried):
                # with `retry-on` also what took too long: then it was in flight when we looked before, and was refused
                # by nobody; an overload that is told as errors would have the whole service isolated
                self._judge.ended(target, TIMEOUT if number < before.in_flight else ERROR, HALF_MS)
        waited_ns = self._stalls[target].look(
            now,
            started=server.started,
            in_flight=server.in_flight,
            stall_ns=self._judge.stall_ns(target.service),
        )
        if waited_ns:
            self._judge.ended(target, STALLED, waited_ns)

    def usable(self, target: Target) -> bool:
        """Whether HAProxy itself would send calls to `target`; where it was not asked yet, it would."""
        server = self._servers.get(target)
        return server is None or server.usable

    def weight(self, target: Target) -> int:
        """The highest weight it was seen with; 0: not known."""
        return self._weights.get(target, 0)

    def missing(self) -> str:
        """Servers that the configuration names and HAProxy does not have, in words; empty: it has all."""
        names = [name for name, target in self._naming.servers().items() if target not in self._servers]
        return f"it has no {', '.join(names[:NAMES_MAX])}{' ...' if len(names) > NAMES_MAX else ''}" if names else ""

    def forget(self) -> None:
        """It is gone: what its servers were is not known any more."""
        self._servers.clear()
