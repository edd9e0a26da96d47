"""Policies as data: what a guard enforces on one edge, and how far the engine may go.

Seconds and percentages here, because people write them; `native()` gives the integers the compiled guard takes.
Defaults are those on which mature systems converge: Envoy ejects after 5 consecutive failures, for 30 s times the
number of ejections, at most 10 % of a pool; Linkerd needs 7; retry budgets of Finagle and Linkerd allow 20 %.
"""

from typing import Annotated, Any, Literal, get_args

import msgspec

from controlplane.model.unit import to_nanos

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Share = Annotated[int, msgspec.Meta(ge=1, le=100)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Probes = Annotated[int, msgspec.Meta(ge=1, le=16)]  # the guard keeps the start of each: PROBE_SLOTS in _native/state.h


class GuardPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What guards the calls to one service. Zero switches a part off where the comment says so."""

    rate_per_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0  # 0: no rate limit
    rate_burst: Positive = 1
    concurrency_max: Count = 0  # 0: no limit
    concurrency_min: Positive = 1  # where it adapts: never below
    concurrency_adapts: bool = False  # the limit is found from how calls end; concurrency_max then only bounds it
    breaker_consecutive: Count = 0  # 0: off; failures in a row that open the whole edge
    window_s: PositiveSeconds = 10.0
    window_calls_min: Positive = 20
    failure_percent: Percent = 50  # 0: no windowed breaker
    slow_percent: Percent = 0  # 0: slow calls do not open the breaker
    slow_s: Seconds = 0.0  # 0: learned from healthy traffic
    open_s: PositiveSeconds = 5.0
    open_max_s: PositiveSeconds = 300.0
    probes_max: Probes = 1  # concurrent calls let through while half open
    probe_successes: Positive = 3
    probe_timeout_s: PositiveSeconds = 10.0
    endpoint_consecutive: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 5  # 0: off
    endpoint_evidence: Annotated[float, msgspec.Meta(ge=0, le=100)] = 13.8  # nats; ln(1e6): one false alarm in 1e6
    gray_excess_s: Seconds = 0.01  # 0: off; a median that is less above its siblings' is no ground to eject
    eject_s: PositiveSeconds = 5.0
    eject_max_s: PositiveSeconds = 300.0
    ejected_percent_max: Percent = 10  # by reflex; one endpoint is always allowed if another one is healthy
    panic_percent: Percent = 50  # of a pool's capacity: with less than that healthy, all of it is used
    overprovision_percent: Annotated[int, msgspec.Meta(ge=100, le=1000)] = 140  # how far a priority level is stretched
    slow_start_s: Seconds = 0.0  # 0: an endpoint that was verified by probes gets its whole share at once
    retry_percent: Percent = 20
    retry_floor_per_s: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 3
    reserve_percent: Annotated[int, msgspec.Meta(ge=0, le=50)] = 0  # of every limit, kept from each lower priority
    enforced_percent: Share = 100  # of the calls to which refusals apply; the others go and are counted as shadowed
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1  # 1: no retries
    attempt_timeout_s: PositiveSeconds = 10.0
    deadline_s: PositiveSeconds = 30.0
    stall_s: Seconds = 0.0  # 0: learned, 4 x p99 of healthy traffic, never under stall_min_s
    stall_min_s: PositiveSeconds = 0.2  # pauses of a collector or a noisy neighbour are shorter, and no failure
    idempotency_keys: bool = False  # the service honours `Idempotency-Key`: a POST that carries one may be sent twice
    redrive: bool = True  # resend idempotent calls in flight on an endpoint at the moment it is ejected

    def native(self) -> dict[str, Any]:  # keyword arguments: their types are in the stub
        """Keyword arguments of `_native.guard.Guard`: integers in nanoseconds, percent and milli-nats."""
        return {
            "rate_interval_ns": round(1e9 / self.rate_per_s) if self.rate_per_s else 0,
            "rate_burst": self.rate_burst,
            "concurrency_max": self.concurrency_max,
            "concurrency_min": self.concurrency_min,
            "concurrency_adapts": int(self.concurrency_adapts),
            "breaker_consecutive": self.breaker_consecutive,
            "window_ns": to_nanos(self.window_s),
            "window_calls_min": self.window_calls_min,
            "failure_percent": self.failure_percent,
            "slow_percent": self.slow_percent,
            "slow_ns": to_nanos(self.slow_s),
            "open_ns": to_nanos(self.open_s),
            "open_max_ns": to_nanos(self.open_max_s),
            "probes_max": self.probes_max,
            "probe_successes": self.probe_successes,
            "probe_timeout_ns": to_nanos(self.probe_timeout_s),
            "endpoint_consecutive": self.endpoint_consecutive,
            "endpoint_evidence_mnat": round(self.endpoint_evidence * 1000),
            "eject_ns": to_nanos(self.eject_s),
            "eject_max_ns": to_nanos(self.eject_max_s),
            "ejected_percent_max": self.ejected_percent_max,
            "panic_percent": self.panic_percent,
            "overprovision_percent": self.overprovision_percent,
            "slow_start_ns": to_nanos(self.slow_start_s),
            "retry_percent": self.retry_percent,
            "retry_floor_per_s": self.retry_floor_per_s,
            "reserve_percent": self.reserve_percent,
            "enforced_percent": self.enforced_percent,
        }


ActKind = Literal[
    "eject",
    "isolate",
    "limit",
    "reroute",
    "fail_over",
    "cap_retries",
    "shed",
    "tighten",
    "roll_back",
    "close",
    "harden",
]
KINDS: tuple[ActKind, ...] = get_args(ActKind)
WHOLE_KINDS: frozenset[ActKind] = frozenset({"limit", "roll_back"})
"""Acts that apply to all calls or to none: a limit for a tenth of the calls limits nothing."""
SHADOW_BY_DEFAULT: frozenset[ActKind] = frozenset(
    {"reroute", "fail_over", "shed", "tighten", "roll_back", "close", "harden"}
)
"""Acts by figures and beyond one edge are new: they report what they would have done until a person lets them act."""


class ResponsePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the engine may go by itself, and how recovery is earned."""

    mode: Literal["observe", "enforce"] = "enforce"
    enforcement: dict[ActKind, Percent] = {}  # by kind of act: 0 shadow, 100 full; not named: `share`
    lease_s: PositiveSeconds = 30.0
    penalty_s: PositiveSeconds = 5.0  # hold before the first probe
    penalty_max_s: PositiveSeconds = 300.0
    ramp_percent: tuple[Share, ...] = (10, 25, 50)  # stages before 100; (100,): none, which an empty one must not mean
    ramp_step_s: PositiveSeconds = 5.0  # clean time that earns the next stage
    ramp_calls_min: Count = 5  # and clean calls, unless traffic is lower than that
    service_penalty_s: PositiveSeconds = 2.0  # the three of whole services, where they are shorter: nobody bears the
    service_penalty_max_s: PositiveSeconds = 15.0  # load of a service that is held back, and a probe costs one request
    service_step_s: PositiveSeconds = 1.0
    verify_s: PositiveSeconds = 10.0  # clean time at full traffic before the incident may close
    healthy_floor_percent: Share = 50  # of a service's endpoints that automation never goes below
    ejected_percent_max: Share = 67  # of the weight of a service, zone or priority; one endpoint is always allowed
    stretch_percent_max: Annotated[int, msgspec.Meta(ge=100, le=1000)] = 250  # of a sibling's normal load
    commands_per_minute_max: Positive = 60  # velocity limit
    service_commands_per_minute_max: Positive = 30  # the same, about one service
    blast_budget_percent: Share = 50  # share of all endpoints under containment at one time
    remedy_attempts_max: Positive = 5  # times that a remedy did not last before it is escalated instead of repeated
    remedy_window_s: PositiveSeconds = 3600.0  # and within which they are counted
    overload_concurrency: Positive = 1  # what `Limit` clamps an overloaded edge to, per caller
    probe_interval_s: PositiveSeconds = 1.0  # active probes (standalone process)
    probe_timeout_s: PositiveSeconds = 1.0

    def pace(self, *, whole: bool) -> "ResponsePolicy":
        """This policy, with the pace at which a whole service recovers in place of an endpoint's."""
        if not whole:
            return self
        return msgspec.structs.replace(
            self,
            penalty_s=min(self.penalty_s, self.service_penalty_s),
            penalty_max_s=min(self.penalty_max_s, self.service_penalty_max_s),
            ramp_step_s=min(self.ramp_step_s, self.service_step_s),
        )

    def share(self, kind: ActKind) -> int:
        """Percent of the calls to which an act of that kind applies; 0: it is only reported (shadow)."""
        return self.enforcement.get(kind, 0 if kind in SHADOW_BY_DEFAULT else 100)


class GraphPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the dependency graph remembers, and for how long. What is declared always fits and never fades."""

    services_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2_000
    edges_max: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    bucket_s: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 15.0  # 40 x 15 s: ten minutes of steady traffic
    buckets: Annotated[int, msgspec.Meta(ge=8, le=256)] = 40
    fade_s: Annotated[float, msgspec.Meta(ge=10, le=604_800)] = 3_600.0  # an edge unheard for so long is forgotten
