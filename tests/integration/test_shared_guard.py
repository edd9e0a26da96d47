"""Four processes at one guard: its limits are exact, whoever dies in the middle of a call."""

import pytest

from bench.shared_guard import BURST, deaths, rate

pytestmark = pytest.mark.integration


@pytest.mark.alone
def test_four_processes_are_let_through_as_often_as_one_would_be() -> None:
    """A rate limit of 1,000/s, hammered for two seconds: never more than that and a burst, and hardly less."""
    figures = rate(4, 2.0, 1_000)
    assert figures["admitted"] <= figures["allowed"]
    assert figures["admitted"] >= 0.9 * (2_000 - BURST)  # a machine that is shared leaves tokens unused


@pytest.mark.parametrize("round_", range(3))
def test_killed_processes_take_no_capacity_along(round_: int) -> None:
    """Two of four are killed in the middle of their calls: a limit of 16 is 16 again."""
    figures = deaths(4, 2, 16)
    assert (figures["given_back"], figures["whole"]) == (2, 16)
