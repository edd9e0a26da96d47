"""Blame and blast over a call graph in CSR: whole sweeps (Flows), and figures kept up to date (Spread)."""

from typing import Self, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Doubles: TypeAlias = NDArray[np.float64]
_Bytes: TypeAlias = NDArray[np.uint8]

@final
class Flows:
    """The sweeps over one structure: rows callers, columns callees, well formed (CallGraph sees to that).

    Arrays are float64, contiguous, one entry for each service or each edge; results are written into the last ones. A
    sweep looks at every figure and says whether one was wrong, 0 when none was: 1 a mass, 2 one of the trouble's, 3 of
    each; then the results mean nothing.
    Raises  ValueError for a buffer of another length; MemoryError.
    """

    def __new__(
        cls, indptr: NDArray[np.int32] | NDArray[np.int64], indices: NDArray[np.int32] | NDArray[np.int64]
    ) -> Self: ...
    @property
    def order(self) -> list[int]:
        """The services, each after those that it calls, members of a cycle side by side."""
    @property
    def cycles(self) -> list[list[int]]:
        """The services of each cycle."""
    def sweep(
        self,
        mass: tuple[_Doubles, _Doubles, _Doubles | None, _Doubles] | None,
        share: _Doubles | None,
        trouble: tuple[_Doubles, _Doubles, _Doubles, _Doubles, _Bytes | None] | None,
        failure: _Doubles | None,
        latency: _Doubles | None,
        /,
    ) -> tuple[float, int]:
        """Fill `share` from mass (excess, edge_excess, local, source), the others from trouble (failure, latency,
        fraction, calls, soft), or all three; (unexplained, what is wrong). docs/concepts/blame.md, equations 2 to 4;
        blast-radius.md, equations 1 and 2.
        """
    def reach(self, is_hurt: _Bytes, hop: _Doubles | None, onset: _Doubles, reach: _Doubles, /) -> None:
        """Fill `reach`. docs/concepts/blast-radius.md, equation 3."""

@final
class Spread:
    """Blame and blast over the structure of `flows`, kept up to date. Begins without trouble or mass at any service.

    Edges by their number in the CSR, services by theirs. What is set shows after `update`. For one thread at a time.
    Raises  ValueError for a buffer of another length; IndexError for what is not there; RuntimeError when another
            thread is in `update`; MemoryError.
    """

    def __new__(
        cls, flows: Flows, need: _Doubles, calls: _Doubles, soft: _Bytes | None, edge_excess: _Doubles
    ) -> Self: ...
    def set_trouble(self, service: int, failure: float, latency: float, /) -> None:
        """A service's own failure and latency."""
    def set_mass(self, service: int, excess: float, local: float, source: float, /) -> None:
        """A service's masses; NaN is unknown."""
    def set_need(self, edge: int, fraction: float, calls: float, soft: bool, /) -> None:
        """What an edge needs."""
    def set_flow(self, edge: int, excess: float, /) -> None:
        """An edge's mass; NaN is unknown."""
    def trouble(self, service: int, /) -> tuple[float, float]:
        """What set_trouble set."""
    def mass(self, service: int, /) -> tuple[float, float, float]:
        """What set_mass set."""
    def need(self, edge: int, /) -> tuple[float, float, bool]:
        """What set_need set."""
    def update(self) -> int:
        """Work out what depends on what was set; how many services that were, each way counted."""
    @property
    def hurt_count(self) -> int:
        """How many services are in the blast."""
    @property
    def blamed_count(self) -> int:
        """How many services blame reached."""
    def hurt(self, services: NDArray[np.int32], failure: _Doubles, latency: _Doubles, /) -> None:
        """Fill in the services of the blast, as many as fit."""
    def blamed(self, services: NDArray[np.int32], share: _Doubles, /) -> float:
        """Fill in the services that blame reached, as many as fit; the unexplained rest."""
    @property
    def nbytes(self) -> tuple[int, int]:
        """Memory of one service and of one edge."""
