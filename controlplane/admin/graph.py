"""The dependency graph as the admin API tells it: rates, shares and seconds instead of counts."""

from controlplane.admin.shape import AliasView, GraphEdgeView, GraphServiceView, GraphView, GroupView
from controlplane.assembly import Plane
from controlplane.model.graph import Edge
from controlplane.model.unit import Nanos, to_seconds


def graph(plane: Plane) -> GraphView:
    """Services, edges, groups and names that mean another."""
    known, now = plane.graph, plane.clock.now()
    covered, counts = known.covered(now), known.statistics()
    services = []
    for node in known.nodes():
        seen = covered.services[node.name]
        services.append(
            GraphServiceView(
                name=node.name,
                declared=node.declared,
                external=node.external,
                virtual=node.virtual,
                onward=seen.onward,
                named=seen.named / seen.calls if seen.calls else None,
                latency_share=seen.latency_share,
            )
        )
    return GraphView(
        entry=plane.topology.entry,
        coverage=covered.share,
        services=services,
        edges=[_edge(edge, now) for edge in known.edges(now)],
        groups=[
            GroupView(kind=group.kind, name=group.name, members=sorted(map(str, group.members)))
            for group in known.groups()
        ],
        aliases=[AliasView(name=one.name, service=one.service, by=one.by) for one in known.aliases()],
        held=sorted(known.held()),
        evicted=counts.evicted,
        faded=counts.faded,
        refused=counts.refused,
        late=counts.late,
    )


def _edge(edge: Edge, now: Nanos) -> GraphEdgeView:
    sends = edge.attempts if edge.attempts is not None else edge.calls
    return GraphEdgeView(
        caller=edge.caller,
        callee=edge.callee,
        origin=edge.origin,
        soft=edge.soft,
        age_s=None if edge.heard_at is None else to_seconds(max(0, now - edge.heard_at)),
        calls_per_s=None if edge.calls is None else edge.calls / to_seconds(edge.over_ns),
        attempts_per_call=edge.attempts / edge.calls if edge.attempts is not None and edge.calls else None,
        error_ratio=edge.failures / sends if edge.failures is not None and sends else None,
        client_latency_s=_mean_s(edge.client_latency_ns, edge.timed),
        server_latency_s=_mean_s(edge.server_latency_ns, edge.served),
        in_flight=edge.in_flight,
        source=edge.source,
    )


def _mean_s(total_ns: int | None, count: int | None) -> float | None:
    return to_seconds(total_ns) / count if total_ns is not None and count else None
