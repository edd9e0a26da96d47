"""What a containment plan is made from: the incident's neighbourhood in figures. None: unknown, which is never zero."""

import msgspec

HORIZON_S = 60.0  # what is weighed is the next minute: the slowest act must have worked by then, or is worth little


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of the origin. `load` and `capacity` in requests per second; `failing` is the share that fails or is
    too slow. `priority` 0 serves first, others stand by."""

    name: str
    zone: str = ""
    version: str = ""
    priority: int = 0
    weight: float = 1.0
    load: float | None = None
    capacity: float | None = None
    failing: float | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An edge of the call graph near the incident.

    `traffic`: requests of the caller per second that use this call, each counted once however often it calls or
    retries. `soft`: a fallback answers where it fails, worth 1 - `fallback_cost` of a real answer. `cuttable`: it may
    be refused; false where a person or a trust boundary forbids it.
    """

    caller: str
    callee: str
    traffic: float | None = None
    soft: bool = False
    fallback_cost: float = 0.1
    cuttable: bool = True


class RetryCut(msgspec.Struct, frozen=True, kw_only=True):
    """The retry containment: the (caller, callee) pairs whose retries to stop, and the loop's R before and after.

    `metastable`: the failure stays when its cause is gone, also where R at its worst is below 1.
    `rescued`: requests per second that are saved by a retry now. `trigger`: share of the origin's requests that fails
    by the trigger alone, without what retries add, for as long as it lasts.
    """

    edges: tuple[tuple[str, str], ...]
    before: float
    after: float
    metastable: bool = False
    rescued: float | None = None
    trigger: float | None = None

    @property
    def feeds_itself(self) -> bool:
        """Whether the failure goes on without its cause."""
        return self.metastable or self.before >= 1


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as the planner sees it.

    origin      service where the failure starts; `endpoints`, `zone` or `version` narrow it down, when known
    failing     share of the origin's requests that fail or are too slow now, as far as the origin itself is the cause
    slow        the part of `failing` that callers wait for. None: not known apart
    late        the part of `slow` that is answered in the end, too late; the rest never is. None: all of it may be
    requests    requests per second of each service, retries not counted; of an entry: users' requests
    entries     services whose requests are users': what is protected
    blast       expected failing share of each service if nothing is done (decide/propagation/sweep.py)
    impact_s    seconds until each service's own pool is exhausted if nothing is done; inf: never
    retries     what to stop so that R < 1 (decide/feedback/retries.py); None: nothing to stop, or not known
    changed     version that was rolled out last at the origin; `previous`: what ran before it
    demand      the origin's requests per second by class: sheddable, default, critical; () where unknown
    capacity    requests per second the origin bears as a whole; None: the sum over its replicas where all are known
    usual_s     how long callers of the origin wait for an answer in normal operation; `taking_s`: and now
    """

    origin: str
    endpoints: tuple[str, ...] = ()
    zone: str = ""
    version: str = ""
    failing: float | None = None
    slow: float | None = None
    late: float | None = None
    requests: dict[str, float | None] = {}
    calls: tuple[Call, ...] = ()
    entries: tuple[str, ...] = ()
    blast: dict[str, float | None] = {}
    impact_s: dict[str, float | None] = {}
    replicas: tuple[Replica, ...] = ()
    retries: RetryCut | None = None
    changed: str = ""
    previous: str = ""
    demand: tuple[float, ...] = ()
    capacity: float | None = None
    usual_s: float | None = None
    taking_s: float | None = None
    healthy_floor_percent: int = 50
    horizon_s: float = HORIZON_S
