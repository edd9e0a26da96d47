"""The load-failure loop of a call graph, its Jacobian and its spectral radius."""

from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

@final
class FeedbackLoop:
    """A load-failure loop; see controlplane.decide.feedback.loop.Loop for its arguments.

    Shapes  failure, vector and what comes back: (n,), in the caller's numbering.
    Raises  ValueError that names the argument and the value, when one is out of bounds.
    Source  docs/concepts/reproduction-number.md, equations 1 to 6.
    """

    def __new__(
        cls,
        indptr: NDArray[np.int32] | NDArray[np.int64],
        indices: NDArray[np.int32] | NDArray[np.int64],
        base: ArrayLike,
        capacity: ArrayLike,
        calls: ArrayLike,
        attempts: ArrayLike,
        budget: ArrayLike,
        need: ArrayLike,
        patience: ArrayLike,
        queue: ArrayLike,
    ) -> Self: ...
    def loads(self, failure: ArrayLike, /) -> NDArray[np.float64]:
        """Requests per second every service is offered while `failure` fails."""
    def storm(self) -> NDArray[np.float64]:
        """Requests per second every service is offered when every call fails and nothing is refused."""
    def turn(self, failure: ArrayLike, /) -> NDArray[np.float64]:
        """The failure shares one turn of the loop later."""
    def settle(self, failure: ArrayLike, /) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """(failure shares, loads, turns) where no share moves by more than 1e-10 in a turn, or after 1,000 turns."""
    def derivative(self, failure: ArrayLike, vector: ArrayLike, /) -> NDArray[np.float64]:
        """The Jacobian of `turn` at `failure`, times `vector`."""
    def radius(self, failure: ArrayLike, /) -> tuple[float, int]:
        """(spectral radius of that Jacobian to 1e-6, or a bound under 0.001; how often it was applied, at most 480)."""
