"""`plain`: bounded attempts, another replica for a retry, the less busy of two."""

from controlplane.sim.textbook.calls import Edge
from tests.sim.textbook.client import Client, Clock, reached, sent


def test_a_call_has_three_attempts_and_no_more() -> None:
    """Two retries follow a failed first attempt, then nothing."""
    edge = Edge(Client(), Clock(), 1)
    first = sent(edge)
    edge.fail(first, 1)
    second = edge.again(first, first.endpoint)
    assert second is not None
    edge.fail(second, 1)
    third = edge.again(second, second.endpoint)
    assert third is not None
    edge.fail(third, 1)
    assert edge.again(third, third.endpoint) is None


def test_a_retry_goes_elsewhere_while_there_is_an_elsewhere() -> None:
    """Never to the replica that failed; with one replica, to that one."""
    edge = Edge(Client(2), Clock(), 1)
    for _ in range(50):
        first = sent(edge)
        edge.fail(first, 1)
        second = edge.again(first, first.endpoint)
        assert second is not None
        assert second.endpoint != first.endpoint
        edge.succeed(second)
    alone = Edge(Client(1), Clock(), 1)
    first = sent(alone)
    alone.fail(first, 1)
    assert alone.again(first, 0) is not None


def test_busy_replicas_get_fewer_calls() -> None:
    """Of two replicas drawn the one with fewer calls in flight is taken: 50 open calls end up even."""
    edge = Edge(Client(2), Clock(), 3)
    counts = [0, 0]
    for _ in range(50):
        counts[sent(edge).endpoint] += 1
    assert abs(counts[0] - counts[1]) <= 6


def test_replicas_that_stand_by_get_nothing() -> None:
    """Only the first priority is used: nothing tells a plain client that it fails."""
    assert reached(Edge(Client(priorities=(0, 0, 1)), Clock(), 1)) == {0, 1}


def test_the_same_seed_makes_the_same_choices() -> None:
    """Two edges with one seed choose alike, another seed otherwise."""

    def choices(seed: int) -> list[int]:
        edge = Edge(Client(), Clock(), seed)
        return [sent(edge).endpoint for _ in range(40)]

    assert choices(5) == choices(5) != choices(6)
