"""The delays as a picture: one line a shift, calls on a logarithmic axis, every test a mark."""

import math
from collections.abc import Sequence
from html import escape

from controlplane.bench.detection import Delay

WIDTH, LEFT, RIGHT, TOP, LINE = 760, 150, 40, 56, 34
DECADES = 5  # 1 to 100,000 calls; what needs more stands at the edge
OURS, PROMISE = "#0b7a4b", "#9fd3bc"
RIVALS = ("#b3452c", "#8a6d1d", "#4a5fa8")


def _x(calls: float) -> float:
    share = min(max(math.log10(max(calls, 1.0)) / DECADES, 0.0), 1.0)
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = "#333") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'


def _dot(calls: float, y: float, colour: str, title: str) -> str:
    return f'<circle cx="{_x(calls):g}" cy="{y:g}" r="5" fill="{colour}"><title>{escape(title)}</title></circle>'


def _named(delay: Delay) -> str:
    shift = delay.shift
    return f"latency x{shift.factor:g}" if shift.factor != 1 else f"{shift.share:.0%} failing"


def svg(delays: Sequence[Delay]) -> str:
    """The picture as a document of its own."""
    bottom = TOP + LINE * len(delays)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{bottom + 40}" fill="#fff"/>',
    ]
    for decade in range(DECADES + 1):
        x = _x(10**decade)
        parts.append(f'<line x1="{x:g}" x2="{x:g}" y1="{TOP - 8}" y2="{bottom}" stroke="#e2e2e2"/>')
        parts.append(_text(x, bottom + 16, f"{10**decade:,}", anchor="middle"))
    parts.append(_text(_x(10 ** (DECADES / 2)), bottom + 34, "calls from the change to the verdict", anchor="middle"))
    names = list(delays[0].rivals)
    legend = [("ours", OURS), ("bound to 1.3 x bound + 1", PROMISE), *zip(names, RIVALS, strict=True)]
    x = 12.0
    for name, colour in legend:
        parts.append(f'<circle cx="{x:g}" cy="20" r="5" fill="{colour}"/>' + _text(x + 9, 24, name))
        x += 30 + 6.6 * len(name)
    for at, delay in enumerate(delays):
        y = TOP + LINE * at + LINE / 2
        low, high = _x(delay.shift.bound), _x(delay.limit)
        parts.append(_text(LEFT - 16, y + 4, _named(delay), anchor="end"))
        parts.append(
            f'<rect x="{low:g}" y="{y - 9:g}" width="{round(high - low, 1):g}" height="18" rx="3" fill="{PROMISE}"/>'
        )
        for name, colour in zip(names, RIVALS, strict=True):
            parts.append(_dot(delay.rivals[name], y, colour, f"{name}: {delay.rivals[name]:,.1f} calls"))
        parts.append(_dot(delay.calls, y, OURS, f"ours: {delay.calls:,.1f} calls"))
    return "\n".join([*parts, "</svg>"]) + "\n"
