"""A replay for people: the timeline, and a table of all policies that lived in the same world."""

from collections.abc import Sequence
from html import escape

from controlplane.model.unit import MILLISECOND
from controlplane.sim.run import RunResult
from controlplane.sim.scenario import Scenario
from controlplane.simulate.replay import Replay
from controlplane.simulate.timeline import Moment

WIDTH, LEFT, TOP, BAND = 860, 130, 50, 70
COLOURS = {"ours": "#0b7a4b", "plain": "#777777"}
OTHERS = ("#b3452c", "#8a6d1d", "#4a5fa8", "#7a3d8a")


def text(scenario: Scenario, replays: Sequence[Replay]) -> str:
    """Everything, as it is printed."""
    load, mesh = scenario.load, scenario.mesh
    replicas = sum(len(node.replicas) for node in mesh.nodes)
    size = f"{len(mesh.nodes)} services, {replicas} replicas, {len(mesh.edges())} edges"
    head = f"seed {scenario.seed}  {scenario.fault_class}  {scenario.seconds} s  {load.rate_per_s:.0f} users/s"
    lines = [f"{head}  {size}", ""]
    for node in mesh.nodes:
        if node.calls:
            callees = (f"{call.callee} (soft)" if call.soft else call.callee for call in node.calls)
            lines.append(f"  {node.name} calls {', '.join(callees)}")
    lines.append("")
    for told in replays:
        lines += [f"under {told.policy}:", *(_line(moment) for moment in told.timeline), ""]
        lines += [f"  invariant BROKEN: {broken}" for broken in told.violations]
    return "\n".join([*lines, *table(replays)])


def _line(moment: Moment) -> str:
    return f"  {moment.at_ns // MILLISECOND / 1000:9.3f}  {moment.who:<10} {moment.text}"


def table(replays: Sequence[Replay]) -> list[str]:
    """What users saw and how far it went, a line for each policy."""
    heads = ("policy", "requests", "failed", "slow", "blast radius", "calls", "attempts", "acts")
    rows: list[tuple[str, ...]] = [heads]
    for told in replays:
        result: RunResult = told.result
        radius = f"{told.blast_services} ({told.blast_seconds} s)"
        counts = (result.requests, result.failed, result.slow, radius, result.calls, result.attempts, told.acts)
        rows.append((told.policy, *(one if isinstance(one, str) else f"{one:,}" for one in counts)))
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    return [
        "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths)))  # noqa: B905
        for row in rows
    ]


def svg(scenario: Scenario, replays: Sequence[Replay]) -> str:
    """Failed requests of each second, a band for each policy; the fault is shaded."""
    height = TOP + BAND * len(replays) + 40
    seconds = max(1, scenario.seconds)
    span = WIDTH - LEFT - 20
    highest = max(1, *(max(told.result.failed_by_second, default=0) for told in replays))
    title = f"seed {scenario.seed}, {scenario.fault_class}: failed requests in each second (highest: {highest})"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20">{escape(title)}</text>',
    ]
    for fault in scenario.faults:
        x, width = LEFT + span * fault.begins_s / seconds, span * (fault.ends_s - fault.begins_s) / seconds
        parts.append(
            f'<rect x="{x:.1f}" y="{TOP - 12}" width="{width:.1f}" height="{BAND * len(replays) + 12}" fill="#f3e3de">'
            f"<title>{escape(fault.text)}</title></rect>"
        )
    others = 0
    for at, told in enumerate(replays):
        colour = COLOURS.get(told.policy)
        if colour is None:
            colour, others = OTHERS[others % len(OTHERS)], others + 1
        base = TOP + BAND * (at + 1) - 8
        parts.append(f'<text x="{LEFT - 10}" y="{base - 18}" text-anchor="end">{escape(told.policy)}</text>')
        parts.append(f'<text x="{LEFT - 10}" y="{base - 4}" text-anchor="end">{told.result.failed:,} failed</text>')
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + span}" y1="{base}" y2="{base}" stroke="#999"/>')
        for second, failed in enumerate(told.result.failed_by_second):
            if failed:
                tall = (BAND - 16) * failed / highest
                x = LEFT + span * second / seconds
                parts.append(
                    f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{span / seconds:.1f}" height="{tall:.1f}" '
                    f'fill="{colour}"/>'
                )
    for second in range(0, seconds + 1, 20):
        x = LEFT + span * second / seconds
        parts.append(f'<text x="{x:.1f}" y="{height - 16}" text-anchor="middle">{second} s</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
