"""Each kind of option, and each rule of room and sense that forbids one."""

import pytest

from controlplane.decide.plan.choose import choose
from controlplane.model.plan import Act
from controlplane.model.signal import Target
from controlplane.model.situation import Call, RetryCut, Situation
from tests.decide.situations import WEB, chain, does, option, replica, situation


def pool(failing: float = 1.0, capacity: float | None = 80.0, **more: object) -> Situation:
    """Three replicas with 40, 30 and 30 requests a second, of which the first fails."""
    return situation(
        replica("o1", 40, capacity, failing, zone="a", version="v2"),
        replica("o2", 30, capacity, 0.0, zone="b", version="v1"),
        replica("o3", 30, capacity, 0.0, zone="b", version="v1"),
        **({"endpoints": ("o1",)} | more),
    )


def test_a_bad_endpoint_is_ejected_where_its_siblings_bear_its_load() -> None:
    """All of the harm is avoided and nothing given up."""
    choice = choose(pool())
    assert does(choice) == ["eject"]
    assert choice.chosen is not None
    assert choice.chosen.acts == (Act(do="eject", target=Target("orders", "o1")),)
    assert choice.chosen.avoided == pytest.approx(40)
    assert choice.chosen.given_up == 0


def test_what_the_siblings_do_not_bear_is_shed() -> None:
    """They have room for 2 x 6: of 40 requests that all fail, 28 are refused instead, which costs nobody anything."""
    found = option(choose(pool(capacity=40.0)), "eject", "shed")
    assert found.acts[1].amount == pytest.approx(28)
    assert found.avoided == pytest.approx(12)
    assert found.given_up == pytest.approx(0)


def test_an_ejection_that_would_drown_the_siblings_is_forbidden() -> None:
    """No room at all: the rule is named, and the option stays on the list."""
    found = option(choose(pool(capacity=33.0)), "eject")
    assert found.forbidden == "capacity"
    assert found.net is None


def test_a_standby_is_no_sibling() -> None:
    """An ejected endpoint's load goes to those in rotation: what stands by, however large, takes none of it."""
    pool = (replica("o1", 50, 60, 1.0), replica("o2", 50, 60, 0.0), replica("s1", 0, 500, 0.0, priority=1))
    found = option(choose(situation(*pool, endpoints=("o1",))), "eject", "shed")
    assert found.acts[1].amount == pytest.approx(46)


def test_the_last_healthy_endpoints_stay() -> None:
    """Two of three may not leave, whatever they do."""
    found = option(choose(pool(endpoints=("o1", "o2"))), "eject", "eject")
    assert found.forbidden == "healthy_floor"
    assert "1 of 3" in found.why


def test_endpoints_that_fail_together_are_not_ejected() -> None:
    """Neither all of them, nor one whose siblings are not known to be better."""
    assert option(choose(pool(endpoints=(), failing=0.5)), "eject").forbidden == "correlated_cause"
    suspect = situation(replica("o1", 50, 90, 1.0), replica("o2", 50, 90, None), endpoints=("o1",), failing=0.5)
    assert option(choose(suspect), "eject").forbidden == "correlated_cause"


def test_a_reroute_is_weighted_and_leaves_a_trickle() -> None:
    """Never more than nine tenths: what stays shows when the endpoint is well again."""
    found = option(choose(pool(version="v2", endpoints=())), "reroute")
    assert found.acts[0].to == "version v1"
    assert found.acts[0].percent == pytest.approx(90)
    assert found.avoided == pytest.approx(36)


def test_a_reroute_moves_only_what_fits_and_the_rest_stays() -> None:
    """Zone b has room for 12 of 40."""
    found = option(choose(pool(capacity=40.0, zone="a", endpoints=())), "reroute")
    assert (found.acts[0].to, found.acts[0].amount) == ("zone b", pytest.approx(12))
    assert found.given_up == 0
    assert "28 stay" in found.why


def test_a_destination_of_unknown_capacity_takes_part_of_its_own_load_at_most() -> None:
    """Four tenths of 30 each, and the answer says that no more is proven."""
    found = option(choose(pool(capacity=None)), "reroute", "reroute")
    assert [act.amount for act in found.acts] == pytest.approx([12, 12])
    assert "no more is proven" in found.why


def test_traffic_goes_over_to_what_stands_by() -> None:
    """Also where every endpoint in rotation fails."""
    choice = choose(situation(replica("o1", 100, 120, 0.9), replica("s1", 0, 200, 0.0, priority=1)))
    assert does(choice) == ["fail_over"]
    assert choice.chosen is not None
    assert choice.chosen.acts[0].to == "s1"
    assert choice.chosen.avoided == pytest.approx(90 * 55 / 60)  # five seconds of the minute pass before it works


def test_a_standby_without_capacity_is_not_drowned() -> None:
    """It gets nine tenths of what it bears, and the rest stays where it fails."""
    choice = choose(situation(replica("o1", 100, 120, 0.9), replica("s1", 0, 20, 0.0, priority=1)))
    assert choice.chosen is not None
    assert sum(act.amount or 0 for act in choice.chosen.acts) == pytest.approx(18)
    assert "82 stay" in choice.chosen.why


def test_an_idle_standby_of_unknown_capacity_gets_nothing() -> None:
    """The rule is named; a full one is refused under another name."""
    unknown = choose(situation(replica("o1", 100, 120, 0.9), replica("s1", 0, None, 0.0, priority=1)))
    assert option(unknown, "fail_over").forbidden == "unknown_capacity"
    full = choose(situation(replica("o1", 100, 120, 0.9), replica("s1", 20, 20, 0.0, priority=1)))
    assert option(full, "fail_over").forbidden == "capacity"


def test_siblings_are_filled_before_a_standby() -> None:
    """One option does both, and is better than either."""
    both = situation(
        replica("o1", 50, 60, 1.0), replica("o2", 50, 60, 0.0), replica("s1", 0, 20, 0, priority=1), endpoints=("o1",)
    )
    assert does(choose(both)) == ["reroute", "fail_over"]


def test_a_change_is_rolled_back_where_only_it_fails() -> None:
    """What it takes until the version before is back counts against it."""
    found = option(choose(pool(endpoints=(), version="v2", changed="v2", previous="v1")), "roll_back")
    assert found.acts[0].to == "version v1"
    assert found.avoided == pytest.approx(40 * 30 / 60)


def test_a_version_that_also_serves_well_is_not_rolled_back() -> None:
    """Nor one that others than the failing endpoints run."""
    assert option(choose(pool(changed="v1")), "roll_back").forbidden == "not_the_change"
    same = situation(
        replica("o1", 50, 90, 1.0, version="v2"),
        replica("o2", 50, 90, 0.0, version="v2"),
        endpoints=("o1",),
        changed="v2",
    )
    assert option(choose(same), "roll_back").forbidden == "not_the_change"


def test_a_dead_service_is_isolated_although_users_gain_nothing() -> None:
    """It costs nobody anything and spares calls in vain."""
    choice = choose(chain(1.0))
    assert does(choice) == ["isolate"]
    assert choice.chosen is not None
    assert (choice.chosen.net, choice.chosen.relief) == (pytest.approx(0), pytest.approx(40))


def test_a_service_that_answers_everything_too_late_is_not_called_in_vain() -> None:
    """A late answer is still one; what never comes back is not."""
    assert choose(chain(1.0, slow=1.0)).chosen is None
    assert does(choose(chain(1.0, slow=1.0, late=0.0))) == ["isolate"]


def test_a_service_that_users_do_not_feel_is_not_cut_off_for_a_few_failures() -> None:
    """It costs users nothing, and yet refuses 99 good calls for each one that fails."""
    calls = (Call(caller="batch", callee="orders", traffic=100.0),)
    assert choose(situation(failing=0.01, calls=calls)).chosen is None
    assert does(choose(situation(failing=1.0, calls=calls))) == ["isolate"]


def test_a_service_that_half_works_is_not_isolated() -> None:
    """More would be lost than is."""
    choice = choose(chain(0.5))
    assert choice.chosen is None
    assert choice.why.startswith("nothing is worth its price: isolate db avoids 0 and gives up 20 requests/s")


def test_a_service_that_would_take_its_callers_down_is_isolated() -> None:
    """The pool of web is full in six seconds: 40 requests a second are given up to save the other 60."""
    choice = choose(chain(0.9, slow=0.9, impact_s={"web": 6.0, "orders": 3.0}))
    assert does(choice) == ["isolate"]
    assert choice.harm == pytest.approx(100 * (1 - 0.1 * (1 - 0.4 * 0.995)))
    assert choice.chosen is not None
    assert choice.chosen.effect.startswith(f"harmed requests/s {choice.harm:.4g} -> 40: ")


def test_calls_that_a_fallback_answers_are_refused_by_themselves() -> None:
    """Two callers wait for it: the one with a fallback is cut off, the other one's answers are worth more."""
    calls = (
        Call(caller="web", callee="db", traffic=50.0, soft=True),
        Call(caller="app", callee="db", traffic=50.0),
    )
    found = choose(
        Situation(origin="db", failing=0.3, slow=0.3, calls=calls, requests={"web": 50.0, "app": 50.0, "db": 100.0})
    )
    assert found.chosen is not None
    assert [(act.caller, act.target.service) for act in found.chosen.acts] == [("web", "db")]


def test_what_still_fails_after_a_reroute_is_cut_off() -> None:
    """Room for a part only, and a fallback for the rest: together they are better than either."""
    soft = (Call(caller="web", callee="orders", traffic=100.0, soft=True),)
    choice = choose(
        situation(
            replica("o1", 50, 60, 1.0),
            replica("o2", 50, 60, 0.5),
            endpoints=("o1",),
            slow=0.75,
            failing=0.75,
            calls=soft,
        )
    )
    assert does(choice) == ["isolate"]  # all of it: what is moved would be cut off as well
    partly = (*soft, Call(caller="app", callee="orders", traffic=100.0))
    requests = {"web": 100.0, "app": 100.0, "orders": 100.0}
    pool = (replica("o1", 50, 60, 1.0), replica("o2", 50, 60, 0.0))
    both = choose(situation(*pool, endpoints=("o1",), slow=0.5, calls=partly, requests=requests, entries=()))
    assert does(both) == ["reroute", "isolate"]
    assert both.chosen is not None
    assert both.chosen.acts[1].caller == "web"
    assert all((one.net or 0.0) < (both.chosen.net or 0.0) for one in both.considered[1:])


def test_an_edge_that_must_not_be_cut_is_not() -> None:
    """Where no other way is left, isolation is forbidden as a whole."""
    kept = (with_cuttable(WEB, cuttable=False),)
    assert option(choose(situation(failing=1.0, calls=kept)), "isolate").forbidden == "no_cut"


def test_what_users_call_themselves_cannot_be_cut_off_from_them() -> None:
    """The origin is the entry."""
    assert option(choose(situation(origin="web", failing=0.5, calls=())), "isolate").forbidden == "no_cut"


def test_an_overloaded_origin_sheds_the_least_important_first() -> None:
    """100 offered, 80 fit: 28 are refused, nine tenths of the capacity being used."""
    choice = choose(situation(failing=0.8, capacity=80.0, demand=(10.0, 50.0, 40.0)))
    assert choice.chosen is not None
    assert [(act.part, act.amount) for act in choice.chosen.acts] == [
        ("sheddable", pytest.approx(10)),
        ("default", pytest.approx(18)),
    ]
    assert choice.chosen.avoided == pytest.approx(80 - 0.8 * 28)  # of those 28 four in five would have failed anyhow
    assert choice.chosen.given_up == pytest.approx(0.2 * 28)


def test_load_is_shed_only_where_load_is_known_to_be_too_much() -> None:
    """Each reason has its name."""
    assert option(choose(situation(failing=0.8, capacity=200.0)), "shed").forbidden == "not_overloaded"
    assert option(choose(situation(failing=0.8)), "shed").forbidden == "unknown_capacity"
    assert option(choose(situation(failing=0.8, capacity=80.0, requests={"web": 1.0})), "shed").forbidden == (
        "invalid_data"
    )


def test_retries_that_keep_a_failure_alive_are_stopped() -> None:
    """R was above 1: without them it is gone."""
    loop = RetryCut(edges=(("web", "orders"),), before=1.4, after=0.5)
    choice = choose(situation(failing=0.5, retries=loop))
    assert does(choice) == ["cap_retries"]
    assert choice.chosen is not None
    assert choice.chosen.acts[0].caller == "web"
    assert choice.chosen.avoided == pytest.approx(50)


def test_what_retries_rescue_is_given_up() -> None:
    """And a trigger that lasts keeps its share: 0.1 / (1 - 0.5)."""
    loop = RetryCut(edges=(("web", "orders"),), before=1.4, after=0.5, rescued=7.0, trigger=0.1)
    found = option(choose(situation(failing=0.5, retries=loop)), "cap_retries")
    assert found.avoided == pytest.approx(30)
    assert found.given_up == pytest.approx(7)


def test_load_that_is_too_much_without_any_retry_keeps_its_share() -> None:
    """100 requests a second want to be served where 80 fit: a fifth goes on failing."""
    loop = RetryCut(edges=(("web", "orders"),), before=1.4, after=0.5, rescued=0.0)
    found = option(choose(situation(failing=0.5, retries=loop, capacity=80.0)), "cap_retries")
    assert found.avoided == pytest.approx(100 * (0.5 - 0.2))


def test_while_the_loop_feeds_itself_the_cause_alone_is_not_enough() -> None:
    """The endpoint is ejected and the retries are stopped; either alone is worth less."""
    loop = RetryCut(edges=(("web", "orders"),), before=1.2, after=0.4, trigger=0.2)
    choice = choose(pool(retries=loop))
    assert does(choice) == ["eject", "cap_retries"]
    assert option(choice, "eject").net == 0
    assert "without its cause" in option(choice, "eject").why


def test_retries_whose_end_does_not_help_are_let_be() -> None:
    """R stays above 1."""
    loop = RetryCut(edges=(("web", "orders"),), before=1.4, after=1.1)
    assert option(choose(situation(failing=0.5, retries=loop)), "cap_retries").forbidden == "no_effect"


def with_cuttable(call: Call, *, cuttable: bool) -> Call:
    return Call(caller=call.caller, callee=call.callee, traffic=call.traffic, cuttable=cuttable)


def slow(**more: object) -> Situation:
    """Every answer of orders takes two seconds instead of 20 ms, and comes; web's pool fills in six seconds."""
    given = {"slow": 1.0, "late": 1.0, "failing": 0.5, "usual_s": 0.02, "taking_s": 2.0, "impact_s": {"web": 6.0}}
    return chain(**(given | more))


def test_a_deadline_keeps_pools_from_filling_with_calls_that_wait() -> None:
    """Three times the usual latency: what waits longer fails at once, and its caller's slot is free again."""
    found = option(choose(slow()), "tighten")
    assert found.acts == (Act(do="tighten", target=Target("db"), to="60 ms", deadline_ms=60),)
    assert found.avoided is not None
    assert found.avoided > 0
    assert "6 s" in found.why


def test_a_deadline_is_no_option_where_no_pool_fills_or_nothing_is_slow() -> None:
    """The rule is named where the figures say so; where they are missing there is no such option."""
    assert option(choose(slow(impact_s={"web": 90.0})), "tighten").forbidden == "no_effect"
    assert option(choose(slow(taking_s=0.05)), "tighten").forbidden == "no_effect"
    for unknown in ({"usual_s": None}, {"taking_s": None}, {"impact_s": {}}, {"slow": 0.0}):
        acts = [act.do for one in choose(slow(**unknown)).considered for act in one.acts]
        assert "tighten" not in acts
