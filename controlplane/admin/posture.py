"""Security posture as the admin API tells it: who guards whom, and what is closed or open while a guard is degraded."""

import msgspec

from controlplane.admin.view import Wall
from controlplane.assembly import Plane
from controlplane.model.posture import Exposed, Finding


class _View(msgspec.Struct, frozen=True, kw_only=True):
    pass


class GuardView(_View, frozen=True):
    """A guard, by what it guards (`kind`), and the services that fail closed while it is degraded."""

    service: str
    kind: str
    protects: list[str]
    degraded: bool


class SensitiveView(_View, frozen=True):
    """A route of this process that meets a stricter limit while one of `while_degraded` is degraded (empty: any)."""

    path: str
    rate_per_s: float
    while_degraded: list[str]


class FindingView(_View, frozen=True):
    """A degraded guard: an entry of its own in `incident`. `exposed`: services that it protects and that are not
    closed, or not for all calls, each with the reason."""

    id: str
    kind: str
    guard: str
    incident: str
    since: str
    reason: str
    closed: list[str]
    exposed: list[Exposed]
    hardened: list[str]


class PostureView(_View, frozen=True):
    """`close_percent` and `harden_percent` of the calls are closed or hardened; 0: it is only said (shadow)."""

    close_percent: int
    harden_percent: int
    guards: list[GuardView]
    sensitive: list[SensitiveView]
    findings: list[FindingView]
    findings_total: int


def posture(plane: Plane) -> PostureView:
    """Everything about guards that is known now."""
    state, topology, policy = plane.state, plane.topology, plane.config.response_policy()
    wall, observes = Wall(plane), state.mode == "observe"
    guards = [(topology.service(name), protects) for name, protects in topology.protected.items()]
    return PostureView(
        close_percent=0 if observes else policy.share("close"),
        harden_percent=0 if observes else policy.share("harden"),
        guards=[
            GuardView(
                service=guard.name, kind=guard.guards, protects=list(protects), degraded=guard.name in state.findings
            )
            for guard, protects in guards
            if guard is not None
        ],
        sensitive=[
            SensitiveView(path=one.path, rate_per_s=one.rate_per_s, while_degraded=list(one.while_degraded))
            for one in topology.sensitive
        ],
        findings=[finding_view(finding, wall) for finding in state.findings.values()],
        findings_total=state.findings_total,
    )


def finding_view(finding: Finding, wall: Wall) -> FindingView:
    """One finding, with wall-clock time."""
    return FindingView(
        id=finding.id,
        kind=finding.kind,
        guard=finding.guard,
        incident=finding.incident,
        since=wall.iso(finding.since),
        reason=finding.reason,
        closed=list(finding.closed),
        exposed=list(finding.exposed),
        hardened=list(finding.hardened),
    )
