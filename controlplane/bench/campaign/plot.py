"""The campaign as a picture: a line a fault class, failed user requests on a logarithmic axis, every policy a mark."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from controlplane.bench.campaign.run import Run
from controlplane.bench.campaign.table import TOGETHER, comparisons

WIDTH, LEFT, RIGHT, TOP, LINE = 860, 170, 40, 56, 30
OURS_COLOUR, BAR = "#0b7a4b", "#9fd3bc"
COLOURS: Final = {
    "plain": "#777777",
    "consecutive_5xx": "#b3452c",
    "ratio_breaker": "#8a6d1d",
    "envoy_outlier": "#4a5fa8",
    "adaptive_throttling": "#8b3a8b",
}


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}" fill="#333">{escape(text)}</text>'


def svg(runs: Sequence[Run]) -> str:
    """The picture as a document of its own. The bar reaches from ours to the best textbook policy."""
    here = {name: found["failed"] for name, found in comparisons(runs).items()}
    most = max([10.0, *(value for one in here.values() for value in (one.ours, *one.rivals.values()))])
    decades = math.ceil(math.log10(most))

    def across(value: float) -> float:
        return round(LEFT + math.log10(max(value, 1.0)) / decades * (WIDTH - LEFT - RIGHT), 1)

    bottom = TOP + LINE * len(here)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 44}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{bottom + 44}" fill="#fff"/>',
    ]
    for decade in range(decades + 1):
        x = across(10**decade)
        parts.append(f'<line x1="{x:g}" x2="{x:g}" y1="{TOP - 8}" y2="{bottom}" stroke="#e2e2e2"/>')
        parts.append(_text(x, bottom + 16, f"{10**decade:,}" if decade else "1 or none", anchor="middle"))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(_text(middle, bottom + 36, "failed user requests in a world of two minutes, median", anchor="middle"))
    x = 12.0
    for name, colour in [("ours", OURS_COLOUR), *COLOURS.items()]:
        parts.append(f'<circle cx="{x:g}" cy="20" r="5" fill="{colour}"/>' + _text(x + 9, 24, name))
        x += 30 + 6.8 * len(name)
    for at, (name, one) in enumerate(here.items()):
        y = TOP + LINE * at + LINE / 2
        ours, best = across(one.ours), across(one.best_value)
        parts.append(
            _text(LEFT - 16, y + 4, name, anchor="end", weight="bold" if name in TOGETHER else "normal")
            + f'<rect x="{min(ours, best):g}" y="{y - 4:g}" width="{abs(best - ours):g}" height="8" fill="{BAR}"/>'
        )
        for rival, value in one.rivals.items():
            parts.append(_dot(across(value), y, COLOURS.get(rival, "#777777"), f"{rival}: {value:,.0f}"))
        parts.append(_dot(ours, y, OURS_COLOUR, f"ours: {one.ours:,.0f}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _dot(x: float, y: float, colour: str, title: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{colour}"><title>{escape(title)}</title></circle>'
