"""An incident as a picture: the call graph in layers as SVG text, callers above callees.

Fill is blame, border is what the service is expected to feel, thick calls carry excess. At most SHOWN_MAX services are
drawn: the accused, those that feel it, and what lies nearest to them; the picture says how many were left out.
"""

from xml.sax import saxutils

import numpy as np

from controlplane.cli.client import printable
from controlplane.cli.layers import place
from controlplane.decide.analysis.analyze import carried
from controlplane.decide.analysis.origin import Verdict
from controlplane.decide.analysis.text import share, time
from controlplane.decide.analysis.window import Window
from controlplane.model.analysis import Analysis

SHOWN_MAX = 60
WIDTH, HEIGHT = 144, 46  # of a service, in pixels
GAP_X, GAP_Y = 22, 62
MARGIN, HEAD, FOOT = 28, 74, 76
LABEL_MAX = 19  # characters that fit into WIDTH
BELOW_MAX = 24  # of the smaller line below it
CARRIES = 0.01  # share of the largest excess from which a call is highlighted
INK, PALE, LINE = "#1f2933", "#9aa5b1", "#cbd2d9"
BLAME, FEEL = (208, 52, 44), "#e8871e"


def escape(text: str) -> str:
    """`text` as XML may hold it, which forbids control characters altogether."""
    return saxutils.escape(printable(text))


def draw(window: Window, verdict: Verdict, answer: Analysis) -> str:
    """The picture as SVG text."""
    scores = {origin.service: origin.score for origin in answer.origins}
    feels = _feels(answer)
    excess = carried(window, verdict)
    shown = _relevant(window, excess, {*scores, *feels})
    places = place(len(window.services), window.edges, shown, entry=window.entry)
    across = max((each.column for each in places.values()), default=0.0) + 1
    down = max((each.row for each in places.values()), default=0) + 1
    width = max(640.0, 2 * MARGIN + across * (WIDTH + GAP_X) - GAP_X)
    height = HEAD + down * (HEIGHT + GAP_Y) - GAP_Y + FOOT
    centred = (width - (across * (WIDTH + GAP_X) - GAP_X)) / 2
    corner: dict[int, tuple[float, float]] = {
        v: (centred + p.column * (WIDTH + GAP_X), HEAD + p.row * (HEIGHT + GAP_Y)) for v, p in places.items()
    }
    order = np.argsort(excess, kind="stable")  # highlighted calls lie on top
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, Helvetica, Arial, sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *_head(window, answer, len(shown)),
        *(_call(window, int(edge), float(excess[edge]), corner) for edge in order),
        *(_service(window, v, corner[v], scores, feels) for v in sorted(places)),
        *_legend(height),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _feels(answer: Analysis) -> dict[str, tuple[float, str]]:
    """Of each service (how hard it is hit beside the others, in words what it is expected to show)."""
    most = {
        m: max((i.expected for i in answer.blast if i.metric == m), default=1.0) for m in ("availability", "latency")
    }
    feels: dict[str, tuple[float, str]] = {}
    for impact in answer.blast:
        part = impact.expected / most[impact.metric] if most[impact.metric] > 0 else 0.0
        said = f"{share(impact.expected)} fail" if impact.metric == "availability" else f"+{time(impact.expected)}"
        before = feels.get(impact.service, (0.0, ""))
        feels[impact.service] = (max(before[0], part), f"{before[1]}, {said}" if before[1] else said)
    return feels


def _relevant(window: Window, excess: np.ndarray, concerned: set[str]) -> list[int]:
    """What to draw: everything, or the concerned and ring by ring what lies around them, until the picture is full."""
    if len(window.services) <= SHOWN_MAX:
        return list(range(len(window.services)))
    chosen = [v for v, name in enumerate(window.services) if name in concerned]
    if window.entry is not None:
        chosen.insert(0, window.entry)
    carrying = window.edges[excess >= CARRIES]
    chosen += [int(v) for v in carrying.ravel()]
    kept = list(dict.fromkeys(chosen))[:SHOWN_MAX]
    near: dict[int, list[int]] = {}
    for caller, callee in window.edges.tolist():
        near.setdefault(caller, []).append(callee)
        near.setdefault(callee, []).append(caller)
    for v in kept:  # grows while it is read: ring by ring
        for other in near.get(v, ()):
            if len(kept) < SHOWN_MAX and other not in kept:
                kept.append(other)
    return kept


def _head(window: Window, answer: Analysis, shown: int) -> list[str]:
    first = "No origin: nothing here that normal operation does not show"
    if answer.origins:
        first = "Origin: " + ", ".join(f"{o.service} {o.score:.0%}" for o in answer.origins[:3])
    second = f"{len(window.services)} services, {len(window.edges)} calls"
    if shown < len(window.services):
        second = f"{shown} of {len(window.services)} services are drawn: the accused, those that feel it, what is near"
    if window.entry is not None:
        second += f"; users come in at {window.services[window.entry]}"
    return [
        f'<text x="{MARGIN}" y="32" font-size="18" font-weight="600" fill="{INK}">{escape(first)}</text>',
        f'<text x="{MARGIN}" y="52" font-size="12" fill="{INK}">{escape(second)}</text>',
    ]


def _call(window: Window, edge: int, part: float, corner: dict[int, tuple[float, float]]) -> str:
    caller, callee = (int(end) for end in window.edges[edge])
    if caller not in corner or callee not in corner:
        return ""
    (x1, y1), (x2, y2) = corner[caller], corner[callee]
    start, end = (x1 + WIDTH / 2, y1 + HEIGHT), (x2 + WIDTH / 2, y2)
    bend = max(30.0, abs(end[1] - start[1]) / 2)
    colour, width = (f"rgb{BLAME}", 1.5 + 3.5 * part) if part >= CARRIES else (LINE, 1.0)
    title = f"{window.services[caller]} calls {window.services[callee]}"
    return (
        f'<path d="M{start[0]:.1f},{start[1]:.1f} C{start[0]:.1f},{start[1] + bend:.1f} '
        f'{end[0]:.1f},{end[1] - bend:.1f} {end[0]:.1f},{end[1]:.1f}" fill="none" stroke="{colour}" '
        f'stroke-width="{width:.1f}" stroke-opacity="{0.8 if part >= CARRIES else 1}">'
        f"<title>{escape(title)}</title></path>"
    )


def _service(
    window: Window,
    v: int,
    corner: tuple[float, float],
    scores: dict[str, float],
    feels: dict[str, tuple[float, str]],
) -> str:
    name, (x, y) = window.services[v], corner
    score, (hit, said) = scores.get(name, 0.0), feels.get(name, (0.0, ""))
    border, width = (FEEL, 1.5 + 4.0 * hit) if hit > 0 else (PALE, 1.0)
    ink = "#ffffff" if score > 0.5 else INK
    label = name if len(name) <= LABEL_MAX else f"{name[: LABEL_MAX // 2]}…{name[-(LABEL_MAX // 2 - 1) :]}"
    below = "  ".join(part for part in (f"blame {score:.0%}" if score > 0 else "", said) if part)
    if len(below) > BELOW_MAX:  # the title, which a mouse finds, says all of it
        name, below = f"{name}: {below}", f"blame {score:.0%}" if score > 0 else below[:BELOW_MAX]
    if not below and v == window.entry:
        below = "users come in here"
    middle = y + (20 if below else 28)
    text = f'<text x="{x + WIDTH / 2:.1f}" text-anchor="middle" fill="{ink}"'
    lines = f'{text} y="{middle:.1f}" font-size="11.5" font-weight="600">{escape(label)}</text>'
    if below:
        lines += f'{text} y="{middle + 16:.1f}" font-size="10">{escape(below)}</text>'
    return (
        f'<g><title>{escape(name)}</title><rect x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="7" '
        f'fill="{_fill(score)}" stroke="{border}" stroke-width="{width:.1f}"/>{lines}</g>'
    )


def _fill(score: float) -> str:
    strength = 0.0 if score <= 0 else 0.15 + 0.85 * min(1.0, score)
    return "rgb({},{},{})".format(*(round(255 + (channel - 255) * strength) for channel in BLAME))


def _legend(height: float) -> list[str]:
    y = height - 34
    text, felt = f'font-size="11" fill="{INK}"', f'stroke="{FEEL}" stroke-width="4"'
    squares = [f'<rect x="{MARGIN + 17 * i}" y="{y}" width="16" height="16" fill="{_fill(s)}" stroke="{PALE}"/>'
               for i, s in enumerate((0.0, 0.25, 0.5, 1.0))]  # fmt: skip
    return [
        *squares,
        f'<text x="{MARGIN + 76}" y="{y + 12}" {text}>blame, 0 to 100 %</text>',
        f'<rect x="{MARGIN + 200}" y="{y}" width="26" height="16" rx="4" fill="none" {felt}/>',
        f'<text x="{MARGIN + 236}" y="{y + 12}" {text}>will feel it, the wider the harder</text>',
        f'<path d="M{MARGIN + 424},{y + 8} h32" stroke="rgb{BLAME}" stroke-width="4"/>',
        f'<text x="{MARGIN + 464}" y="{y + 12}" {text}>carries excess</text>',
    ]
