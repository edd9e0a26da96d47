"""What an analysis of an incident says: origins with their evidence, spread, feedback, and what to do about it."""

import msgspec

from controlplane.model.recording import Metric


class Origin(msgspec.Struct, frozen=True):
    """One service held to be where it began.

    score     its share of what was to be explained, 0 to 1; all scores and `unexplained` sum to 1.
    evidence  sentences with the numbers they rest on, the strongest first.
    """

    service: str
    score: float
    evidence: tuple[str, ...] = ()


class Impact(msgspec.Struct, frozen=True):
    """What a service is expected to show: failing share (availability) or excess seconds per request (latency)."""

    service: str
    metric: Metric
    expected: float
    time_to_impact_s: float | None = None


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """The answer about one incident. No origins: nothing that cannot be normal operation.

    ties                 groups of origins whose scores are equal: their order says nothing.
    unexplained          share of the excess that no service's evidence accounts for.
    reproduction_number  of the load-failure loop; None: the signals do not tell.
    metastable           True: it will not clear when its trigger is gone; None: the signals do not tell.
    plan                 the containment it would have ordered, one sentence each, in order.
    shared               what failing endpoints have in common beyond chance: a host, a zone, a third party; live only.
    plan_reason          why the runner-up lost; without a plan, why nothing would have been done.
    """

    origins: tuple[Origin, ...] = ()
    ties: tuple[tuple[str, ...], ...] = ()
    unexplained: float = 0.0
    blast: tuple[Impact, ...] = ()
    reproduction_number: float | None = None
    metastable: bool | None = None
    plan: tuple[str, ...] = ()
    plan_reason: str = ""
    shared: tuple[str, ...] = ()
