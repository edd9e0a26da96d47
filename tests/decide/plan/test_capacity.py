"""What fits where."""

import pytest

from controlplane.decide.plan.capacity import STRETCH, TRIAL, UTILISATION_MAX, by_weight, headroom, healthier, pour
from tests.decide.situations import replica


def test_a_known_capacity_is_not_filled_to_the_brim() -> None:
    """The last tenth is where queues grow."""
    assert headroom(replica("a", 50, 100, 0), in_rotation=True) == pytest.approx(100 * UTILISATION_MAX - 50)
    assert headroom(replica("a", 95, 100, 0), in_rotation=True) == 0


def test_of_an_unknown_capacity_only_a_part_of_the_present_load_is_believed() -> None:
    """A sibling in rotation more than a stranger; an idle standby nothing."""
    assert headroom(replica("a", 50, None, 0), in_rotation=True) == pytest.approx(50 * STRETCH)
    assert headroom(replica("a", 50, None, 0), in_rotation=False) == pytest.approx(50 * TRIAL)
    assert headroom(replica("a", 0, None, 0), in_rotation=False) == 0


def test_an_unknown_load_leaves_no_room() -> None:
    """Unknown is not zero."""
    assert headroom(replica("a", None, 100, 0), in_rotation=True) == 0


def test_health_that_is_unknown_is_not_better() -> None:
    """Nor is the same share."""
    found = healthier([replica("a", 1, 1, None), replica("b", 1, 1, 0.5), replica("c", 1, 1, 0.1)], 0.5)
    assert [one.name for one in found] == ["c"]


def test_a_balancer_gives_by_weight_and_the_tightest_is_the_measure() -> None:
    """30 more by weight 2 : 1 do not fit where the lighter one has room for 5."""
    pool = [replica("a", 10, 100, 0, weight=2.0), replica("b", 40, 50, 0)]
    assert by_weight(30, pool) == pytest.approx({"a": 10, "b": 5})
    assert by_weight(6, pool) == pytest.approx({"a": 4, "b": 2})
    assert by_weight(6, [replica("a", 90, 100, 0)]) == {}


def test_steered_shares_fill_each_up_to_what_it_bears() -> None:
    """The small one is full at 5, the rest goes to the other."""
    pool = [replica("a", 10, 100, 0), replica("b", 40, 50, 0)]
    assert pour(30, pool, in_rotation=True) == pytest.approx({"a": 25, "b": 5})
    assert pour(1000, pool, in_rotation=True) == pytest.approx({"a": 80, "b": 5})
    assert pour(30, [], in_rotation=True) == {}
