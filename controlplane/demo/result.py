"""Results of the phases, the verdict on each fault, and the JSON that says it all."""

from typing import Final

import msgspec

from controlplane.demo.fault import Fault
from controlplane.demo.front import DataPlaneKind
from controlplane.demo.incident import Answer
from controlplane.demo.measure import Escalation, Percentiles, Users, percentiles
from controlplane.model.incident import Stage
from controlplane.model.unit import Nanos, to_seconds

FEWER_MIN = 5.0  # observed failed-or-slow requests per one in force
EFFECTIVE_P99_MAX_S: Final = {"in-process": 0.005, "haproxy": 0.010, "envoy": 0.020}
RATIO_MAX = 0.05
UNSEEN_SHARE_MAX = 0.01  # a masked failure: at most so many of the user requests went badly


class Healthy(msgspec.Struct, frozen=True, kw_only=True):
    """The healthy phase. `incidents` and `commands` count from the first request on, warming up included."""

    requests: int
    failed: int
    slow: int
    incidents: int
    commands: int
    named: dict[str, int]
    latency_s: Percentiles
    generator_late_max_s: float

    def troubles(self) -> list[str]:
        """Why this phase is a defect, if it is."""
        if not self.incidents and not self.commands:
            return []
        return [f"healthy traffic: {self.incidents} incidents and {self.commands} commands ({', '.join(self.named)})"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One fault in one mode. `quiet`: every incident closed, and no work was left, in time."""

    users: Users
    blast: tuple[str, ...]
    escalation: Escalation
    answer: Answer
    onset: Nanos
    quiet: bool
    generator_late_max_s: float


class Trial(msgspec.Struct, frozen=True):
    """One fault in both modes."""

    fault: Fault
    observe: Run
    enforce: Run
    data_plane: DataPlaneKind = "in-process"

    @property
    def effective(self) -> Percentiles:
        """Signal to effective, merged over all planes that contained something."""
        return percentiles(effect.effective_ns for effect in self.enforce.answer.effects)

    @property
    def first_request(self) -> Percentiles:
        """Signal to the first request treated differently: with the wait for one that had to be."""
        times = (effect.first_request_ns for effect in self.enforce.answer.effects)
        return percentiles(time for time in times if time is not None)

    @property
    def onset_to_signal_s(self) -> float | None:
        """From the onset to the first result that decided, None without any."""
        at = self.enforce.answer.signal_at
        return None if at is None else to_seconds(at - self.enforce.onset)

    @property
    def ratio(self) -> float | None:
        """Response (p99 of signal to effective) over escalation."""
        p99 = self.effective.p99
        return None if p99 is None else p99 / self.observe.escalation.seconds

    @property
    def ratio_from_onset(self) -> float | None:
        """The same with the time to the signal added: what an onlooker would clock."""
        p99, before = self.effective.p99, self.onset_to_signal_s
        return None if p99 is None or before is None else (before + p99) / self.observe.escalation.seconds

    def troubles(self) -> list[str]:
        """Why the fault was not contained; empty: it was."""
        return [*self._users(), *self._response(), *self._incident()]

    def _users(self) -> list[str]:
        if self.fault.masked:
            runs = (("observe-only", self.observe), ("in force", self.enforce))
            return [
                f"{run.users.bad} of {run.users.requests} user requests went badly {mode}; the fallback should hide it"
                for mode, run in runs
                if run.users.bad > UNSEEN_SHARE_MAX * run.users.requests
            ]
        without, within = self.observe.users.bad, self.enforce.users.bad
        if without and without >= FEWER_MIN * within:
            return []
        return [f"{within} failed or slow in force against {without} observe-only: less than {FEWER_MIN:.0f}x fewer"]

    def _response(self) -> list[str]:
        p99, ratio = self.effective.p99, self.ratio
        if p99 is None or ratio is None:
            return ["no request was treated differently"]
        out = []
        most = EFFECTIVE_P99_MAX_S[self.data_plane]
        if p99 >= most:
            out.append(f"signal to effective p99 {p99 * 1e3:.1f} ms, not under {most * 1e3:.0f} ms")
        if ratio >= RATIO_MAX:
            out.append(f"response/escalation {ratio:.3f}, not under {RATIO_MAX}")
        return out

    def _incident(self) -> list[str]:
        answer = self.enforce.answer
        if not answer.opened:
            return ["no incident"]
        out = []
        if answer.signal_at is not None and answer.signal_at < self.enforce.onset:
            out.append("an incident was open before the fault began")
        out += [f"named {wrong} instead of {self.fault.origin}" for wrong in answer.misnamed(self.fault)]
        if answer.closed < answer.opened or not self.enforce.quiet:
            out.append(f"{answer.opened - answer.closed} of {answer.opened} incidents did not close by themselves")
        if self.fault.masked and not answer.masked:
            out.append("the incident does not say that it was masked")
        if not any(step.stage is Stage.RAMP for step in answer.steps):
            out.append("traffic was not readmitted in stages")
        return out


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured. `left_out`: faults that do not pass the data plane, each with the reason."""

    healthy: Healthy
    trials: tuple[Trial, ...]
    rate: int
    seed: int
    seconds: float
    data_plane: DataPlaneKind = "in-process"
    left_out: tuple[str, ...] = ()

    def troubles(self) -> dict[str, list[str]]:
        """Reasons by phase; empty: all is well."""
        found = {"healthy": self.healthy.troubles()} | {trial.fault.name: trial.troubles() for trial in self.trials}
        return {name: why for name, why in found.items() if why}
