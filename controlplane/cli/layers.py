"""Where services stand in a picture: callers above callees, rows of bounded length, few crossings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROW_MAX = 10  # services side by side; a longer layer takes several rows
SWEEPS = 8


class Place(NamedTuple):
    """Row from the top, and column; columns of a short row have fractions, so that it is centred."""

    row: int
    column: float


def place(services: int, edges: NDArray[np.int64], shown: Sequence[int], *, entry: int | None) -> dict[int, Place]:
    """A place for each of `shown`."""
    kept = set(shown)
    pairs = [(u, v) for u, v in edges.tolist() if u in kept and v in kept and u != v]
    depth = _depths(services, pairs, shown, entry)
    layers: dict[int, list[int]] = {}
    for v in shown:
        layers.setdefault(depth[v], []).append(v)
    ordered = _untangled([layers[level] for level in sorted(layers)], pairs)
    rows = [row for layer in ordered for row in _rows(layer)]
    widest = max((len(row) for row in rows), default=0)
    return {
        v: Place(number, (widest - len(row)) / 2 + index)
        for number, row in enumerate(rows)
        for index, v in enumerate(row)
    }


def _depths(services: int, pairs: list[tuple[int, int]], shown: Sequence[int], entry: int | None) -> list[int]:
    """The longest way from above, as far as there are no cycles; a cycle ends after as many rounds as services."""
    first = 0 if entry is None else 1  # the entry stands alone at the top
    depth = [first] * services
    if entry is not None:
        depth[entry] = 0
    for _ in range(min(len(shown), 50)):
        moved = False
        for u, v in pairs:
            if depth[v] < depth[u] + 1 <= len(shown) and v != entry:
                depth[v], moved = depth[u] + 1, True
        if not moved:
            break
    called = {v for _, v in pairs}
    below: dict[int, int] = {}
    for u, v in pairs:
        below[u] = min(below.get(u, depth[v]), depth[v])
    for v in shown:  # who is called by nobody stands just above its first callee, not far away at the top
        if v not in called and v != entry:
            depth[v] = max(first, below.get(v, first + 1) - 1)
    return depth


def _untangled(layers: list[list[int]], pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Layers ordered by the mean position of each service's neighbours, down and up in turn."""
    near: dict[int, list[int]] = {}
    for u, v in pairs:
        near.setdefault(u, []).append(v)
        near.setdefault(v, []).append(u)
    position = {v: (index + 0.5) / len(layer) for layer in layers for index, v in enumerate(layer)}
    for sweep in range(SWEEPS):
        for number in range(len(layers)) if sweep % 2 == 0 else reversed(range(len(layers))):
            layer = layers[number]
            middle = {v: float(np.mean([position[n] for n in near.get(v, [v])])) for v in layer}
            layer.sort(key=middle.__getitem__)
            position.update({v: (index + 0.5) / len(layer) for index, v in enumerate(layer)})
    return layers


def _rows(layer: list[int]) -> list[list[int]]:
    """A layer in rows of about the same length, none longer than ROW_MAX, neighbours still beside each other."""
    count = -(-len(layer) // ROW_MAX)
    return [layer[row::count] for row in range(count)]
