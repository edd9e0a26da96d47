"""A destination is never drowned by what it was to rescue."""

import msgspec

from controlplane.decide.safety import Seen
from controlplane.model.command import Eject, FailOver, Weigh
from controlplane.model.signal import EdgeSampled, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from tests.decide.safety.mesh import LOOSE, NOW, holding, out, plain, refused, service

ONE = Target("s", "e0")
STRETCH = msgspec.structs.replace(LOOSE, stretch_percent_max=250)


def told(known: Topology, *rates: tuple[int, int]) -> Seen:
    """Seconds of calls and failures to `s`, the last of them just over."""
    seen = Seen(known)
    for ago, (calls, failures) in zip(range(len(rates), 0, -1), rates, strict=True):
        at = Nanos(NOW - ago * SECOND)
        seen.note(EdgeSampled(at=at, caller="web", callee="s", window_ns=SECOND, calls=calls, failures=failures), at)
    seen.note(EdgeSampled(at=NOW, caller="web", callee="s", window_ns=SECOND, calls=0, failures=0), NOW)
    return seen


def test_a_declared_capacity_is_not_exceeded() -> None:
    """Two siblings that bear 100 each take 180 requests a second, 90 % of it; at 181 nothing is ejected."""
    known = Topology(services=(service("s", *({"capacity_per_s": 100.0} for _ in range(3))),))
    assert refused(ONE, Eject(), known, seen=told(known, (180, 0)))[0] == ""
    assert refused(ONE, Eject(), known, seen=told(known, (181, 0))) == (
        "destination_capacity",
        "the 2 others of s would get 181 requests/s; e1 alone 90.5, and bears 90 (90% of its capacity)",
    )


def test_the_one_with_least_room_is_the_measure() -> None:
    """A balancer shares by weight, and knows nothing of capacity."""
    known = Topology(services=(service("s", {}, {"capacity_per_s": 1000.0}, {"capacity_per_s": 50.0}),))
    assert refused(ONE, Eject(), known, seen=told(known, (100, 0)))[1].endswith(
        "e2 alone 50, and bears 45 (90% of its capacity)"
    )
    assert refused(ONE, Eject(), known, seen=told(known, (90, 0)))[0] == ""


def test_unknown_capacity_is_neither_zero_nor_endless() -> None:
    """Without figures the others may get two and a half times what they bear on a normal day, and no more."""
    known = Topology(services=(plain("s", 5),))
    assert refused(Target("s", "e2"), Eject(), known, STRETCH, state=holding(known, *out("e0", "e1")))[0] == ""
    state = holding(known, *out("e0", "e1", "e3"))
    rule, reason = refused(Target("s", "e2"), Eject(), known, STRETCH, state=state)
    assert (rule, reason.partition(";")[0]) == (
        "destination_capacity",
        "the others of s would bear 500% of what they bear normally",
    )
    assert reason.endswith("their capacity is not known, and 250 % is the most that is tried")


def test_a_heavy_endpoint_is_not_laid_on_a_light_one() -> None:
    """Weights are capacities: 80 of 100 do not fit on 20."""
    known = Topology(services=(service("s", {"weight": 80}, {"weight": 20}),))
    assert refused(ONE, Eject(), known, STRETCH)[1].startswith("the others of s would bear 500%")
    assert refused(Target("s", "e1"), Eject(), known, STRETCH)[0] == ""
    assert refused(ONE, Weigh(25), known, STRETCH, kind="reroute")[0] == ""  # 100 on 40
    assert refused(ONE, Weigh(24), known, STRETCH, kind="reroute")[0] == "destination_capacity"


def test_what_was_borne_before_is_borne_again() -> None:
    """At night a fifth of the noon's load may be laid on a fifth of the endpoints; only good answers count as borne."""
    known = Topology(services=(service("s", {"weight": 80}, {"weight": 20}),))
    assert refused(ONE, Eject(), known, STRETCH, seen=told(known, (500, 0), (100, 0)))[0] == ""
    assert refused(ONE, Eject(), known, STRETCH, seen=told(known, (499, 0), (100, 0)))[0] == "destination_capacity"
    assert refused(ONE, Eject(), known, STRETCH, seen=told(known, (500, 1), (100, 0)))[0] == "destination_capacity"


def test_a_rate_that_is_old_is_not_known() -> None:
    """Six seconds of silence say nothing about now: what is declared has no load to be compared with."""
    known = Topology(services=(service("s", *({"capacity_per_s": 100.0} for _ in range(3))),))
    seen = told(known, (500, 0))
    assert seen.rate("s", Nanos(NOW + 5 * SECOND)) == 500
    assert seen.rate("s", Nanos(NOW + 5 * SECOND + 1)) is None
    assert refused(ONE, Eject(), known, seen=seen, now=Nanos(NOW + 6 * SECOND))[0] == ""


def test_the_same_calls_told_twice_are_counted_once() -> None:
    """A gateway and its spans tell of the same second; two callers, and two half seconds of one, add up."""
    known = Topology(services=(plain("s", 2),))
    seen = Seen(known)
    half = SECOND // 2
    for caller, source, window_ns, calls in (
        ("web", "gateway", half, 30),
        ("web", "gateway", half, 30),
        ("app", "gateway", SECOND, 40),
        ("web", "spans", SECOND, 60),
        ("app", "metrics", 60 * SECOND, 2400),
    ):
        sample = EdgeSampled(
            at=NOW, caller=caller, callee="s", window_ns=window_ns, calls=calls, failures=0, source=source
        )
        seen.note(sample, NOW)
    later = Nanos(NOW + SECOND)
    for source in ("gateway", "spans", "metrics"):
        sample = EdgeSampled(at=later, caller="web", callee="s", window_ns=SECOND, calls=1, failures=0, source=source)
        seen.note(sample, later)
    assert seen.rate("s", later) == 100
    assert seen.borne("s") == 100


def test_names_of_strangers_are_not_remembered() -> None:
    """Spans carry any name."""
    known = Topology(services=(plain("s", 2),))
    seen = Seen(known)
    for number in range(1000):
        sample = EdgeSampled(at=NOW, caller="web", callee=f"x{number}", window_ns=SECOND, calls=1, failures=0)
        seen.note(sample, NOW)
    assert not seen._rates


STANDBY = Topology(services=(service("s", {}, {}, {}, {}, {"priority": 1}),))


def test_who_stands_by_gets_no_more_than_its_weight() -> None:
    """One standby of unknown capacity for four: a quarter of the calls, and not a percent more."""
    assert refused(Target("s"), FailOver(25), STANDBY)[0] == ""
    rule, reason = refused(Target("s"), FailOver(26), STANDBY)
    assert rule == "destination_capacity"
    assert reason.startswith("a weight of 1.04 of s would go to 1 that stands by; its capacity is not known")


def test_a_declared_standby_gets_what_it_bears() -> None:
    """Whatever its weight says."""
    known = Topology(services=(service("s", {}, {}, {"priority": 1, "capacity_per_s": 100.0}),))
    assert refused(Target("s"), FailOver(90), known, seen=told(known, (100, 0)))[0] == ""
    assert refused(Target("s"), FailOver(91), known, seen=told(known, (100, 0)))[0] == "destination_capacity"


def test_without_a_standby_nothing_fails_over() -> None:
    """Nor onto one that is out itself."""
    assert refused(Target("s"), FailOver(1), Topology(services=(plain("s", 4),)))[1] == "no endpoint of s stands by"
    assert refused(Target("s"), FailOver(1), STANDBY, state=holding(STANDBY, *out("e4")))[1].startswith(
        "every endpoint"
    )


def test_an_act_in_part_moves_a_part() -> None:
    """Enforced for half of the calls, half of the calls need room."""
    half = msgspec.structs.replace(LOOSE, enforcement={"fail_over": 50})
    assert refused(Target("s"), FailOver(50), STANDBY, half)[0] == ""
    assert refused(Target("s"), FailOver(52), STANDBY, half)[0] == "destination_capacity"
