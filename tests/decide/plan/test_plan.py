"""The smallest act that contains a verdict."""

import msgspec

from controlplane.decide.plan.first_act import plan
from controlplane.model.command import Eject, Isolate, Limit
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.topology import Endpoint, Service
from controlplane.model.unit import Nanos

POLICY = ResponsePolicy()
NOW = Nanos(100_000_000_000)


def service(*versions: str) -> Service:
    endpoints = tuple(Endpoint(name=f"e{n}", url=f"http://h:{n}", version=v) for n, v in enumerate(versions, 1))
    return Service(name="s", endpoints=endpoints)


def tripped(endpoint: str, cause: Cause = Cause.ERRORS, *, capped: bool = False) -> Tripped:
    return Tripped(at=NOW, target=Target("s", endpoint), cause=cause, capped=capped)


def test_one_bad_endpoint_is_ejected_alone() -> None:
    """Its siblings serve on."""
    decided = plan(tripped("e1"), service("v1", "v1", "v1"), {"e1": NOW}, POLICY)
    assert decided.acts == ((Target("s", "e1"), Eject()),)


def test_endpoints_that_fail_together_and_share_a_version_are_that_version() -> None:
    """The third replica of v2 leaves too, although nobody has seen it fail yet."""
    decided = plan(tripped("e3", capped=True), service("v1", "v1", "v2", "v2", "v2"), {"e3": NOW, "e4": NOW}, POLICY)
    assert decided.cause is Cause.VERSION
    assert decided.version == "v2"
    assert [target.endpoint for target, _ in decided.acts] == ["e3", "e4", "e5"]


def test_old_verdicts_do_not_make_a_version() -> None:
    """A replica that failed an hour ago says nothing about today's deploy."""
    old = Nanos(NOW - 3_600_000_000_000)
    decided = plan(tripped("e3"), service("v1", "v1", "v2", "v2"), {"e3": NOW, "e4": old}, POLICY)
    assert decided.version == ""
    assert decided.acts == ((Target("s", "e3"), Eject()),)


def test_versions_explain_nothing_where_all_replicas_run_the_same_one() -> None:
    """Two of three fail and the third runs the same version."""
    decided = plan(tripped("e2"), service("v1", "v1", "v1"), {"e1": NOW, "e2": NOW}, POLICY)
    assert decided.version == ""


def test_when_every_endpoint_fails_by_timeouts_load_is_the_cause() -> None:
    """Correlated-cause veto: nothing is ejected, the caller is limited."""
    decided = plan(tripped("e2", Cause.OVERLOAD, capped=True), service("a", "a"), {"e1": NOW, "e2": NOW}, POLICY)
    assert decided.acts == ((Target("s"), Limit(POLICY.overload_concurrency)),)


def test_what_callers_can_do_without_is_isolated_even_when_it_is_only_overloaded() -> None:
    """A fallback at once is worth more than an answer after a time-out."""
    soft = msgspec.structs.replace(service("a", "a"), fallback=True)
    decided = plan(tripped("e2", Cause.OVERLOAD, capped=True), soft, {"e1": NOW, "e2": NOW}, POLICY)
    assert decided.acts == ((Target("s"), Isolate()),)


def test_when_every_endpoint_fails_outright_the_service_is_isolated() -> None:
    """Callers fail fast or fall back."""
    decided = plan(tripped("e2", capped=True), service("a", "a"), {"e1": NOW, "e2": NOW}, POLICY)
    assert decided.acts == ((Target("s"), Isolate()),)


def test_slow_everywhere_is_no_ground_to_act() -> None:
    """Without a single error, cutting traffic would do the harm."""
    decided = plan(tripped("e2", Cause.SLOW, capped=True), service("a", "a"), {"e1": NOW, "e2": NOW}, POLICY)
    assert decided.acts == ()
    assert decided.veto == "correlated_cause"


def test_where_siblings_are_merely_slow_the_one_that_fails_is_taken_out() -> None:
    """They still answer: to isolate the service would refuse what they would have answered."""
    pool, bad = service("a", "a", "a"), {"e1": NOW, "e2": NOW, "e3": NOW}
    decided = plan(tripped("e1", capped=True), pool, bad, POLICY, failed_at={"e1": NOW})
    assert decided.acts == ((Target("s", "e1"), Eject()),)
    all_failed = plan(tripped("e1", capped=True), pool, bad, POLICY, failed_at=bad)
    assert all_failed.acts == ((Target("s"), Isolate()),)
    long_ago = dict.fromkeys(bad, Nanos(1)) | {"e1": NOW}
    assert plan(tripped("e1", capped=True), pool, bad, POLICY, failed_at=long_ago).acts == (
        (Target("s", "e1"), Eject()),
    )
    assert plan(tripped("e1", Cause.SLOW, capped=True), pool, bad, POLICY, failed_at={"e2": NOW}).acts == ()
    limited = plan(tripped("e1", Cause.OVERLOAD, capped=True), pool, bad, POLICY, failed_at={"e1": NOW})
    assert limited.acts == ((Target("s"), Limit(1)),)


def test_a_first_verdict_with_suspect_siblings_waits_for_theirs() -> None:
    """Errors, capped, nobody else condemned yet: acting now would guess."""
    decided = plan(tripped("e1", capped=True), service("a", "a", "a"), {"e1": NOW}, POLICY)
    assert decided.acts == ()
    assert decided.veto == "correlated_cause"


def test_a_lone_endpoint_is_never_ejected() -> None:
    """A service with one endpoint is isolated as a whole."""
    decided = plan(tripped("e1"), service("a"), {"e1": NOW}, POLICY)
    assert decided.acts == ((Target("s"), Isolate()),)


def test_what_most_run_is_no_cause_of_time_outs() -> None:
    """Two of the three that run v1 hang: they may as well wait for somebody. All three and nobody else: that is v1."""
    pool = service("v1", "v1", "v1", "v2", "v2")
    some = plan(tripped("e2", Cause.STALLED), pool, {"e1": NOW, "e2": NOW}, POLICY)
    assert (some.version, some.acts) == ("", ((Target("s", "e2"), Eject()),))
    every = plan(tripped("e3", Cause.STALLED), pool, {"e1": NOW, "e2": NOW, "e3": NOW}, POLICY)
    assert every.version == "v1"


def test_a_second_slow_endpoint_is_left_in() -> None:
    """Each one taken out leaves its load to siblings that are about to be as slow; the first one may be slow alone."""
    pool = service("v1", "v1", "v1", "v1")
    assert plan(tripped("e1", Cause.SLOW), pool, {"e1": NOW}, POLICY).acts == ((Target("s", "e1"), Eject()),)
    second = plan(tripped("e2", Cause.SLOW), pool, {"e1": NOW, "e2": NOW}, POLICY)
    assert (second.acts, second.veto) == ((), "correlated_cause")
