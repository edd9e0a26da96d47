"""What the engine is told: one tagged union, each with the time `at` which the fact became known.

A signal states a fact about a target and never what should be done. Unknown is never zero: a source that has no data
sends nothing. Results that the control plane itself caused (refusals, cancelled probes) are never sent as evidence.
"""

from enum import StrEnum
from typing import Literal

from controlplane.model.base import SignalBase
from controlplane.model.base import Target as Target
from controlplane.model.change import Changed as Changed
from controlplane.model.change import VersionsCounted as VersionsCounted
from controlplane.model.drift import FingerprintSeen as FingerprintSeen
from controlplane.model.drift import PlaneCompared as PlaneCompared
from controlplane.model.escalation import Acknowledged as Acknowledged
from controlplane.model.unit import CommandId, Nanos


class Cause(StrEnum):
    """What a failure looks like from the caller's side."""

    ERRORS = "errors"  # answers that say failure, or connections refused and reset
    SLOW = "slow"  # answers that come, without error, much later than those of healthy traffic
    STALLED = "stalled"  # calls in flight that do not come back
    OVERLOAD = "overload"  # every endpoint at once, by time-outs, stalls or 429/503
    VERSION = "version"  # the failing endpoints are exactly those of one version
    UNREACHABLE = "unreachable"  # active probes fail
    DEPENDENCY = "dependency"  # the failure was relayed: its origin is further down
    ALERT = "alert"  # others say so, and nothing else is known of it


PersonOrder = Literal["freeze", "resume", "enforce", "observe", "hold", "release", "override", "revoke"]

ConditionKind = Literal["fallback", "retry_budget", "configuration", "queue", "consistency"]


class Tripped(SignalBase, frozen=True, tag="tripped"):
    """A guard's own sequential test rejected `target`'s health; `at` is the result that decided.

    `contained`: the guard already acts by reflex. `capped`: it would have, but a cap or its siblings' state forbade it.
    `calls` and `failures` are the evidence since the test last stood at zero, which was `began_at` (None: not known).
    `by`: who reported it; empty: a guard of this plane.
    """

    target: Target
    cause: Cause
    calls: int = 0
    failures: int = 0
    contained: bool = False
    capped: bool = False
    began_at: Nanos | None = None
    by: str = ""


class Drifted(SignalBase, frozen=True, tag="drifted"):
    """Answers of `target` take `factor` times as long as what was normal there, and it is no ground to act: its
    siblings take longer, too (not `alone`), or it is not far enough from them. `calls` were looked at."""

    target: Target
    factor: float
    calls: int
    alone: bool


class Probed(SignalBase, frozen=True, tag="probed"):
    """Real requests admitted as probes have passed in sufficient number, or one has failed."""

    target: Target
    passed: bool


class Sampled(SignalBase, frozen=True, tag="sampled"):
    """Calls to `target` that finished since the previous sample, while something about it is under observation."""

    target: Target
    calls: int
    failures: int
    slow: int
    in_flight: int = 0
    refused: int = 0


class EntrySampled(SignalBase, frozen=True, tag="entry_sampled"):
    """What users of this process saw since the previous sample. `retries` of the requests had been tried before."""

    requests: int
    failed: int
    slow: int
    shed: int = 0
    retries: int = 0


class FellBack(SignalBase, frozen=True, tag="fell_back"):
    """A caller answered without `service`, `count` times: users saw nothing, the failure is masked."""

    service: str
    count: int


class Relayed(SignalBase, frozen=True, tag="relayed"):
    """`caller` answered with a failure and named `callee` as its cause, `count` times. No evidence against `caller`."""

    caller: str
    callee: str
    count: int


class CallsFinished(SignalBase, frozen=True, tag="calls_finished"):
    """Calls observed by somebody else (another gateway, a log reader), summed over a short time."""

    target: Target
    calls: int
    failures: int = 0
    slow: int = 0
    caller: str = ""


EDGE_COUNT_MAX = 1 << 40  # of one sample: ten years of a thousand calls a second; more has lost its unit
EDGE_SUM_NS_MAX = 1 << 53  # a hundred days of waiting, summed over the calls of one sample


class EdgeSampled(SignalBase, frozen=True, tag="edge_sampled"):
    """What `caller` asked of `callee` in the `window_ns` that end `at`, as `source` counted it.

    `calls` are logical calls: what was wanted once, however often it was sent. `attempts` are sends, retries included;
    `failures` and the latencies are of attempts. `client_latency_ns` (on the caller's side, network and waiting
    included) and `server_latency_ns` (inside the callee) are sums over `timed` attempts; `timed` None: over all.
    `in_flight` is how many wait for their answer `at` that time. An empty `caller`: users, or nobody knows who.
    None: not known, which is never zero. Counts are EDGE_COUNT_MAX at most, sums and the window EDGE_SUM_NS_MAX.
    """

    caller: str
    callee: str
    window_ns: int
    calls: int
    failures: int
    attempts: int | None = None
    timed: int | None = None
    client_latency_ns: int | None = None
    server_latency_ns: int | None = None
    in_flight: int | None = None
    source: Literal["gateway", "spans", "metrics"] = "metrics"


class ProbeFinished(SignalBase, frozen=True, tag="probe_finished"):
    """One active probe (not user traffic) of an endpoint came back."""

    target: Target
    ok: bool
    latency_ns: int = 0


class Heartbeat(SignalBase, frozen=True, tag="heartbeat"):
    """`target` is there, and will say so again within `every_ns`; 0: it leaves, and is not to be missed."""

    target: Target
    every_ns: int


class Alerted(SignalBase, frozen=True, tag="alerted"):
    """Somebody else's alert about `target` fires, or is over; `fingerprint` tells it from any other.

    It stands until it is over, or for `for_ns` unless it is said again; 0: until it is over. `by`: who raised it.
    """

    target: Target
    fingerprint: str
    name: str
    firing: bool
    severity: str = ""
    summary: str = ""
    began_at: Nanos | None = None
    for_ns: int = 0
    by: str = ""


class Effective(SignalBase, frozen=True, tag="effective"):
    """The first request after `signal_at` that was treated differently because of it, was treated so `at` this time."""

    target: Target
    signal_at: Nanos


class Acted(SignalBase, frozen=True, tag="acted"):
    """A data plane took a command, or did not; `rule`: the safety rule that it keeps, where that was the reason."""

    command: CommandId
    ok: bool
    reason: str = ""
    retryable: bool = False
    rule: str = ""


class Ordered(SignalBase, frozen=True, tag="ordered"):
    """A person's order.

    hold, release       automation keeps its hands off `target` (a service, or one endpoint of it), for `for_ns`
    override, revoke    break-glass: the safety `rule` is set aside for acts about `target`, for `for_ns`
    `target` None: everything. `for_ns` 0: until it is taken back; an override always ends.
    """

    order: PersonOrder
    by: str
    reason: str = ""
    target: Target | None = None
    rule: str = ""
    for_ns: int = 0


class Told(SignalBase, frozen=True, tag="told"):
    """`by`, a notifier, has delivered the notice of that key; not `ok`: gave up. Not `last`: others have yet to."""

    key: str
    by: str
    ok: bool = True
    reason: str = ""
    last: bool = True


class RolledBack(SignalBase, frozen=True, tag="rolled_back"):
    """A deployer has ended the roll-back that `command` began: `ok`, or `reason` says why not."""

    command: CommandId
    ok: bool
    reason: str = ""


class Condition(SignalBase, frozen=True, tag="condition"):
    """Something that must be `well` before a recovery of `service` is complete; if not, `reason` says what is left."""

    service: str
    what: ConditionKind
    well: bool
    reason: str = ""


class Unwritten(SignalBase, frozen=True, tag="unwritten"):
    """The journal did not take `records` records; containment went on. `reason` empty: it works again."""

    records: int
    reason: str


Signal = (
    Tripped
    | Drifted
    | Probed
    | Sampled
    | EntrySampled
    | FellBack
    | Relayed
    | CallsFinished
    | EdgeSampled
    | ProbeFinished
    | Heartbeat
    | Alerted
    | Effective
    | Acted
    | Ordered
    | Told
    | RolledBack
    | Condition
    | Unwritten
    | FingerprintSeen
    | PlaneCompared
    | Acknowledged
    | Changed
    | VersionsCounted
)
