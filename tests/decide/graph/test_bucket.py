"""Buckets of time: bounded, on a grid, cut where incidents begin and end."""

from controlplane.decide.graph.bucket import EDGES_MIN, HOLD_NS_MAX, Buckets
from controlplane.model.unit import Nanos

WIDTH = 100


def filled(count: int, buckets_max: int = 8) -> Buckets:
    buckets = Buckets(WIDTH, buckets_max)
    for number in range(count):
        buckets.open(number * WIDTH + 50, number * WIDTH)
    return buckets


def starts(buckets: Buckets) -> list[int]:
    return [bucket.start for bucket in buckets.all]


def test_they_exist_only_where_something_was_heard() -> None:
    """A gap costs no bucket, so that low traffic reaches back further."""
    buckets = Buckets(WIDTH, 8)
    for at in (10, 20, 1_050, 99_999):
        buckets.open(at, at)
    assert starts(buckets) == [10, 1_000, 99_900]


def test_without_an_incident_the_oldest_goes() -> None:
    """As in any ring."""
    assert starts(filled(11)) == [number * WIDTH for number in range(3, 11)]


def test_while_an_incident_runs_half_of_them_stays_what_was_before() -> None:
    """It may last as long as it likes."""
    buckets = filled(8)
    buckets.hold("orders", Nanos(800))
    for number in range(8, 40):
        buckets.open(number * WIDTH + 50, number * WIDTH)
    assert starts(buckets)[:4] == [400, 500, 600, 700]
    assert [bucket.held for bucket in buckets.all] == [False] * 4 + [True] * 4


def test_buckets_of_past_incidents_go_first() -> None:
    """They teach nothing."""
    buckets = filled(5)
    buckets.hold("orders", Nanos(300))
    buckets.release("orders", Nanos(500))
    for number in range(5, 10):
        buckets.open(number * WIDTH + 50, number * WIDTH)
    assert starts(buckets) == [0, 100, 200, 500, 600, 700, 800, 900]
    assert not any(bucket.held for bucket in buckets.all)


def test_a_bucket_is_cut_where_an_incident_begins_and_where_it_ends() -> None:
    """What is before, during and after is never mixed."""
    buckets = filled(3)
    buckets.hold("orders", Nanos(250))
    buckets.release("orders", Nanos(280))
    assert [(bucket.start, bucket.end, bucket.held) for bucket in buckets.all[2:]] == [
        (200, 250, False), (250, 280, True), (280, 300, False),
    ]  # fmt: skip


def test_an_incident_found_late_takes_back_what_was_taken_for_normal() -> None:
    """It began in an older bucket: that one and all after it are its own."""
    buckets = filled(5)
    buckets.hold("orders", Nanos(250))
    assert [bucket.held for bucket in buckets.all] == [False, False, True, True, True]


def test_of_several_incidents_the_last_one_ends_the_hold() -> None:
    """One of two is over: nothing is normal yet."""
    buckets = filled(4)
    buckets.hold("orders", Nanos(350))
    buckets.hold("mail", Nanos(360))
    buckets.release("orders", Nanos(370))
    assert buckets.open(450, 400).held  # type: ignore[union-attr]
    buckets.release("mail", Nanos(470))
    assert not buckets.open(480, 470).held  # type: ignore[union-attr]


def test_what_has_lasted_an_hour_is_what_is_usual() -> None:
    """From then on buckets teach again, though nobody has closed the incident."""
    width = HOLD_NS_MAX // 100
    buckets = Buckets(width, 8)
    buckets.open(width // 2, 0)
    buckets.hold("orders", Nanos(width))
    assert buckets.open(50 * width, 49 * width).held  # type: ignore[union-attr]
    assert not buckets.open(110 * width, 109 * width).held  # type: ignore[union-attr]
    assert buckets.incident_at(110 * width) is None


def test_room_is_made_for_edges_as_they_come() -> None:
    """A bucket begins with room for those that are known, and keeps what it holds when it grows."""
    buckets = filled(1)
    buckets.all[-1].words[3, 0] = 7
    buckets.all[-1].make_room(EDGES_MIN + 10)
    assert len(buckets.all[-1].words) >= EDGES_MIN + 11
    assert buckets.all[-1].words[3, 0] == 7
    assert len(buckets.all[-1].view) == buckets.all[-1].words.size
    buckets.edges = 80
    following = buckets.open(150, 100)
    assert following is not None
    assert len(following.words) == 90
