"""The distribution as a picture: percentiles, each nine as wide as the one before, against milliseconds."""

import math
from collections.abc import Mapping
from html import escape
from typing import Final

from controlplane._native.histogram import Histogram

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 150, 30, 50
NINES: Final = 3  # up to 99.9 %
LOW_MS, HIGH_MS = 0.001, 10_000.0
COLOURS: Final = ("#0b7a4b", "#4a5fa8", "#b3452c", "#8a6d1d")
STEPS: Final = 120


def svg(histograms: Mapping[str, Histogram], bounds: Mapping[str, tuple[float, float]]) -> str:
    """A curve for each histogram of nanoseconds; `bounds` are marked: percentile and milliseconds, by name."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif; fill: #333 }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for decade in range(round(math.log10(LOW_MS)), round(math.log10(HIGH_MS)) + 1):
        y = _y(10.0**decade)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}" stroke="#e2e2e2"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{10.0**decade:g} ms</text>')
    for share in (0.0, 0.5, 0.9, 0.99, 0.999):
        x = _x(share)
        parts.append(f'<line x1="{x:g}" x2="{x:g}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#e2e2e2"/>')
        parts.append(f'<text x="{x:g}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{100 * share:g} %</text>')
    for name, (share, most_ms) in bounds.items():
        parts.append(f'<path d="M{_x(share) - 6:g} {_y(most_ms):g}h12" stroke="#000" stroke-width="2"/>')
        parts.append(f'<text x="{_x(share) + 9:g}" y="{_y(most_ms) + 4:g}">{escape(name)}</text>')
    for (name, histogram), colour in zip(histograms.items(), COLOURS, strict=False):
        parts.append(f'<path d="{_curve(histogram)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        at = _y(max(LOW_MS, histogram.quantile(999) / 1e6))
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at + 4:g}" style="fill:{colour}">{escape(name)}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 10}" text-anchor="middle">of all faults</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _curve(histogram: Histogram) -> str:
    shares = [1 - 10 ** (-NINES * step / STEPS) for step in range(STEPS + 1)]
    points = [(_x(share), _y(max(LOW_MS, histogram.quantile(max(1, round(share * 1000))) / 1e6))) for share in shares]
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _x(share: float) -> float:
    nines = min(NINES, -math.log10(max(1 - share, 10.0**-NINES)))
    return LEFT + (WIDTH - LEFT - RIGHT) * nines / NINES


def _y(value_ms: float) -> float:
    span = math.log10(HIGH_MS / LOW_MS)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log10(max(value_ms, LOW_MS) / LOW_MS) / span
