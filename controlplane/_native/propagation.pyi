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
    sweep looks at every figure and returns which arguments were wrong as bits in the order of the arguments, 0 when
    none was; then the results mean nothing.
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
    def blame(
        self, excess: _Doubles, edge_excess: _Doubles, local: _Doubles | None, source: _Doubles, share: _Doubles, /
    ) -> tuple[float, int]:
        """Fill `share`; (unexplained, what is wrong). docs/concepts/blame.md, equations 2 to 4."""
    def blast(
        self,
        own: _Doubles,
        slow: _Doubles,
        need: _Doubles,
        calls: _Doubles,
        soft: _Bytes | None,
        failure: _Doubles,
        latency: _Doubles,
        /,
    ) -> int:
        """Fill `failure` and `latency`; what is wrong. docs/concepts/blast-radius.md, equations 1 and 2."""
    def reach(self, is_hurt: _Bytes, hop: _Doubles | None, onset: _Doubles, reach: _Doubles, /) -> None:
        """Fill `reach`. docs/concepts/blast-radius.md, equation 3."""
