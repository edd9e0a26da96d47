"""The guard of one edge with everything the adapter knows about it: names, policy, learned thresholds, who is told."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

from controlplane._native.guard import HEALTHY, OBSERVED, OBSERVED_PROBE, SUCCESS, Guard, Permit, now_ns
from controlplane.adapters.gateway.gray import Finding, GrayWatch
from controlplane.adapters.gateway.learn import (
    SUSPECT_SHARE,
    FailureShare,
    LatencyWindow,
    UsualLoad,
    crept_p99_ns,
    learned_p99_ns,
    slow_ns,
    stall_ns,
)
from controlplane.adapters.gateway.once import report_once
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND, Nanos, to_nanos, to_seconds


class Place(NamedTuple):
    """Where the words of a guard are: private, or in memory that `workers` processes share."""

    memory: memoryview | None
    worker: int
    workers: int


ALONE = Place(None, 0, 1)
EDGE = -1  # the native guard's index of the edge as a whole
LEARN_EVERY_NS = SECOND
FINDINGS_MAX = 64
DISTURBED_NS = Nanos(10 * SECOND)  # after an incident's last word: what follows it closely is not yet normal


class ServiceGuard:
    """The calls of this process to one service.

    `changed` and `each_second` are told what `Told` says. `stall_s` is how long an answer may be awaited before the
    call counts as stalled; `p99_ns` the latency learned from healthy traffic, 0 until there was enough of it. `would`
    counts, by intent, the orders about it that were only reported (shadow). `usual` is how many calls are in flight.
    """

    def __init__(
        self,
        service: Service,
        policy: GuardPolicy,
        *,
        seed: int,
        enforced: int,
        changed: "Told",
        each_second: "Told",
        place: Place = ALONE,
        zone: str = "",
    ) -> None:
        self.service, self.policy = service, policy
        self.name = service.name
        self.endpoints = tuple(endpoint.name for endpoint in service.endpoints)
        zones = sorted({one.zone for one in service.endpoints})
        # every edge draws its own numbers, and the same ones on every run with the same seed
        self.guard = Guard(
            endpoints=len(service.endpoints),
            sites=[(one.weight, one.priority, zones.index(one.zone)) for one in service.endpoints],
            local=zones.index(zone) if zone and zone in zones else None,
            seed=(seed ^ crc32(service.name.encode())) & 0x7FFF_FFFF or 1,
            enforced=enforced,
            name=service.name,
            memory=place.memory,
            worker=place.worker,
            workers=place.workers,
            **policy.native(),
        )
        self.p99_ns = 0
        self.slow_ns = slow_ns(policy, 0)
        self.stall_s = to_seconds(stall_ns(policy, 0))
        self.usual = UsualLoad()
        self.would: Counter[str] = Counter()
        self.findings: list[Finding] = []  # about latency, since somebody took them
        self._gray = _gray_watch(service, policy)
        self._changed, self._each_second = changed, each_second
        self._window = LatencyWindow(self.guard.latency_counts)
        self._failing = FailureShare(self._ended)
        self._failure_ppm = 0
        self._disturbed_until = 0
        self._learn_at = 0
        self._taught_at = now_ns()
        self._tainted = False

    def index(self, endpoint: str) -> int | None:
        """Native index of the endpoint of that name; None where there is none."""
        return self.endpoints.index(endpoint) if endpoint in self.endpoints else None

    def enforce(self, on: int) -> None:
        """1: reflexes act. 0: they are only written down."""
        self.guard.enforce(on)

    @property
    def enforced(self) -> int:
        """1: reflexes act; another process of this host may have said so."""
        return self.guard.policy()["enforced"]

    def retune(self, policy: GuardPolicy) -> None:
        """Put `policy` in force, in all processes that share the guard; what was learned or counted is kept."""
        fields = policy.native()
        if not policy.slow_s:
            del fields["slow_ns"]  # learned
        self.policy = policy
        if self._gray is None or not policy.gray_excess_s:
            self._gray = _gray_watch(self.service, policy)
        else:
            self._gray.excess_ns = to_nanos(policy.gray_excess_s)
        self.guard.retune(**fields)

    def disturb(self, until_ns: int) -> None:
        """An incident touches this service: until then nothing it does is normal."""
        self._disturbed_until = max(self._disturbed_until, until_ns)

    def calm(self, now: int) -> None:
        """The order about this service was taken back; learning resumes a while later."""
        self._disturbed_until = min(self._disturbed_until, now + DISTURBED_NS)

    # settlements: the only five ways in which the adapter ends a permit, and what needs none

    def succeed(self, permit: Permit) -> None:
        """The call was answered, and well."""
        latency_ns = permit.latency_ns
        if permit.success():
            self._changed(self, permit.endpoint)
        now = now_ns()
        if self._gray is not None and not permit.probe:
            finding = self._gray.observe(permit.endpoint, latency_ns, now)
            if finding is not None:
                self._found(finding)
        if now >= self._learn_at:
            self.learn(now)

    def fail(self, permit: Permit, kind: int) -> None:
        """The call failed, as `kind` says."""
        if permit.failure(kind):
            self._changed(self, permit.endpoint)
        now = now_ns()
        if now >= self._learn_at:  # nothing is learned from a failure, but there is traffic
            self.learn(now)

    def cancel(self, permit: Permit) -> None:
        """The call says nothing about the callee."""
        if permit.cancel():
            self._changed(self, permit.endpoint)

    def relay(self, permit: Permit) -> None:
        """The answer passes on the failure of another service."""
        if permit.relayed():
            self._changed(self, permit.endpoint)

    def stall(self, permit: Permit) -> None:
        """The call is overdue and goes on."""
        if permit.stalled():
            self._changed(self, permit.endpoint)

    def observe(self, endpoint: int, outcome: int, latency_ns: int) -> None:
        """Somebody else's proxy has made a call: as if it had been settled here."""
        answer = self.guard.observe(endpoint, outcome, latency_ns)
        if answer & OBSERVED:
            self._changed(self, endpoint)
        now = now_ns()
        if outcome == SUCCESS and self._gray is not None and not answer & OBSERVED_PROBE:
            finding = self._gray.observe(endpoint, latency_ns, now)
            if finding is not None:
                self._found(finding)
        if now >= self._learn_at:
            self.learn(now)

    def learn(self, now: int) -> None:
        """Close the window of healthy traffic, at most once a second, and move the thresholds."""
        if now < self._learn_at:
            return
        self._learn_at = now + LEARN_EVERY_NS
        try:
            self._each_second(self, now)
            suspect = self.suspect(now)
            self._tainted = self._tainted or suspect
            if not suspect:
                self.usual.learn(self.guard.in_flight, now)
            if (window_ns := self._window.take()) is not None:
                self._take(now, window_ns)
            self.await_as_usual()
        except Exception:
            report_once("learning thresholds")

    def _take(self, now: int, window_ns: int) -> None:
        """Learn from a window that is full: all of it, or as much as a suspect one may teach."""
        tainted, self._tainted = self._tainted, False
        elapsed_s, self._taught_at = to_seconds(now - self._taught_at), now
        if not tainted:
            self._failing.take()
            self._apply(learned_p99_ns(self.p99_ns, window_ns))
            return
        if self._failing.usual():
            self._apply(crept_p99_ns(self.p99_ns, window_ns, self._window.median_ns, elapsed_s))
        self._failing.discard()

    def await_as_usual(self) -> None:
        """Bring `stall_s` up to what is learned, and to how long answers take now."""
        self.stall_s = to_seconds(stall_ns(self.policy, self.p99_ns, self.guard.describe()["typical_ns"]))

    def held_back(self, endpoint: int) -> None:
        """An order about `endpoint` came: what was held against its latency has been answered."""
        if self._gray is not None:
            self._gray.clear(endpoint)

    def _found(self, finding: Finding) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)
            self._changed(self, EDGE)

    def suspect(self, now: int) -> bool:
        """Whether what is seen now must not be taken for normal."""
        if now < self._disturbed_until or self.guard.is_open():
            return True
        if self._limited():  # by an order that another process of this host may have carried out
            return True
        threshold = round(self.policy.endpoint_evidence * 1000)
        for index in range(len(self.endpoints)):
            seen = self.guard.endpoint(index)
            if seen["state"] != HEALTHY:
                return True
            if threshold and SUSPECT_SHARE * max(seen["evidence_mnat"], seen["slow_evidence_mnat"]) >= threshold:
                return True
        return False

    def _ended(self) -> tuple[int, int]:
        state = self.guard.describe()
        return state["calls"], state["failures"]

    def _limited(self) -> bool:
        state = self.guard.describe()
        sides = state["fail_over"] or state["shed"] or state["deadline_ns"] or state["retry_cap"] >= 0
        return state["limit"] > 0 or state["weight"] < 100 or bool(sides)

    def _apply(self, p99_ns: int) -> None:
        if not p99_ns:
            return
        self.p99_ns = p99_ns
        slow = slow_ns(self.policy, p99_ns)
        if slow != self.slow_ns:
            self.slow_ns = slow
            self.guard.set_slow_ns(slow)
        failure_ppm = round(self._failing.share * 1e6)
        if failure_ppm != self._failure_ppm:
            self._failure_ppm = failure_ppm
            self.guard.set_failure_ppm(failure_ppm)


def _gray_watch(service: Service, policy: GuardPolicy) -> GrayWatch | None:
    """None: it is switched off, or there is nobody to be compared with."""
    if len(service.endpoints) < 2 or not policy.gray_excess_s:
        return None
    return GrayWatch(len(service.endpoints), excess_ns=to_nanos(policy.gray_excess_s))


Told = Callable[[ServiceGuard, int], None]
"""`changed`: a settlement changed a state; gets the service and the endpoint whose call it was. `each_second`: at most
that often, and only under traffic; gets the service and the time."""
