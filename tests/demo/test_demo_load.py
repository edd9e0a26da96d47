"""The load generator's schedule: the same for the same seed, even, and without drift."""

from collections import Counter
from itertools import islice

from controlplane.demo import mesh
from controlplane.demo.load import due, routes
from controlplane.model.unit import SECOND, Nanos


def test_a_seed_is_a_sequence_of_routes() -> None:
    """The same seed asks for the same routes in the same order; another seed does not."""
    assert list(islice(routes(3), 500)) == list(islice(routes(3), 500))
    assert list(islice(routes(3), 500)) != list(islice(routes(4), 500))


def test_routes_come_in_the_shares_of_the_mesh() -> None:
    """Each front gets its share of a long run, within what chance allows."""
    count = Counter(islice(routes(1), 20_000))
    for part in mesh.PARTS:
        assert abs(count[part.name] - 200 * part.share) <= 400, part.name


def test_shares_are_of_a_hundred() -> None:
    """The shares add up, so that "a share of 30" is 30 %."""
    assert sum(part.share for part in mesh.PARTS) == 100


def test_the_schedule_does_not_drift() -> None:
    """After an hour at a rate that does not divide a second the schedule is exact to the nanosecond."""
    assert due(0, rate=7, at=Nanos(5)) == 5
    assert due(7 * 3600, rate=7, at=Nanos(5)) == 5 + 3600 * SECOND
