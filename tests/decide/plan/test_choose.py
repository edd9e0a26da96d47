"""The choice among options: figures, ties, rules, and what happens without figures."""

import msgspec
import pytest

from controlplane.decide.plan.choose import EASIER, choose
from controlplane.model.plan import Act, Choice
from controlplane.model.situation import Call, Replica, Situation
from tests.decide.situations import WEB, chain, does, option, replica, situation

POOL = (replica("o1", 40, 80, 1.0), replica("o2", 30, 80, 0.0), replica("o3", 30, 80, 0.0))
ONE_BAD = situation(*POOL, endpoints=("o1",))


def test_the_runner_up_is_there_with_the_reason_it_lost() -> None:
    """In figures: a reroute leaves a tenth where it fails."""
    choice = choose(ONE_BAD)
    assert choice.runner_up is not None
    assert [act.do for act in choice.runner_up.acts] == ["reroute", "reroute"]
    assert choice.why.endswith("net 36 against 40 requests/s: it avoids 4 less")


def test_what_was_considered_is_all_there_also_what_a_rule_forbids() -> None:
    """Feasible ones first, the best at the top."""
    choice = choose(ONE_BAD)
    assert choice.considered[0] == choice.chosen
    forbidden = [one.forbidden for one in choice.considered]
    assert forbidden == sorted(forbidden, key=bool)
    assert set(forbidden) == {"", "no_destination", "not_overloaded"}


def test_a_rule_forbids_an_option_and_stands_beside_the_next_best() -> None:
    """It would have won: the reason names the rule."""

    def floor(acts: tuple[Act, ...]) -> tuple[str, str] | None:
        return ("healthy_floor", "2 of 3 would be left") if acts[0].do == "eject" else None

    choice = choose(ONE_BAD, forbidden=floor)
    assert does(choice) == ["reroute", "reroute"]
    assert choice.runner_up == option(choice, "eject")
    assert choice.why == "eject orders/o1: healthy_floor forbids it: 2 of 3 would be left"
    assert choice.runner_up.net == pytest.approx(40)


def test_where_everything_is_forbidden_nothing_is_chosen() -> None:
    """And the answer says by which rule."""
    choice = choose(ONE_BAD, forbidden=lambda acts: ("freeze", "a person froze automation"))
    assert choice.chosen is None
    assert choice.why.startswith("nothing that is allowed helps; eject orders/o1: freeze forbids it")


def test_between_equals_the_act_that_is_easier_to_take_back_is_chosen() -> None:
    """The same zone, ejected or rolled back at once: the smaller act."""
    both = situation(*POOL, endpoints=("o1",), horizon_s=1e9)
    changed = msgspec.structs.replace(
        both, changed="v2", replicas=tuple(msgspec.structs.replace(one, version=_version(one)) for one in POOL)
    )
    choice = choose(changed)
    assert does(choice) == ["eject"]
    assert option(choice, "roll_back").net == pytest.approx(40)
    assert EASIER.index("eject") < EASIER.index("roll_back")
    assert choice.why.endswith("as good within 0.4 requests/s, but larger or harder to take back")


def test_a_slow_act_is_worth_more_the_longer_the_horizon() -> None:
    """A roll-back that takes 30 s helps nobody within 20."""
    whole = situation(failing=0.5, changed="v2", horizon_s=20.0)
    assert choose(whole).chosen is None
    assert does(choose(msgspec.structs.replace(whole, horizon_s=300.0))) == ["roll_back"]


def test_the_propagation_cores_figure_is_what_users_suffer() -> None:
    """The model only says which part of it an act takes away."""
    choice = choose(msgspec.structs.replace(ONE_BAD, blast={"web": 0.2}))
    assert choice.harm == pytest.approx(20)
    assert option(choice, "eject").avoided == pytest.approx(20)


def test_nobody_is_lost_twice() -> None:
    """Where nine in ten are harmed already, an act can take at most the tenth that is left."""
    found = option(choose(chain(0.5, blast={"web": 0.9})), "isolate")
    assert found.given_up == pytest.approx(10)


def test_harm_that_no_known_way_explains_is_not_promised_away() -> None:
    """The graph shows no way from orders to web: nothing is claimed."""
    blind = msgspec.structs.replace(ONE_BAD, calls=(), blast={"web": 0.4})
    choice = choose(blind)
    assert choice.harm == pytest.approx(40)
    assert choice.chosen is None


def test_unknown_is_not_zero() -> None:
    """Without the failing share, or without any figure of what users ask for, nothing is weighed."""
    assert choose(situation()).why == "how much of orders fails is not known"
    choice = choose(situation(failing=0.5, requests={}))
    assert (choice.chosen, choice.harm) == (None, None)
    assert all(one.net is None for one in choice.considered)


def test_an_act_that_refuses_users_whose_number_is_unknown_is_not_weighed() -> None:
    """One that refuses nobody is."""
    calls = (WEB, Call(caller="app", callee="orders", traffic=10.0))
    choice = choose(situation(*POOL, endpoints=("o1",), calls=calls, entries=("web", "app")))
    assert does(choice) == ["eject"]
    around = next(one for one in choice.considered if one.acts[0].do == "isolate" and not one.acts[0].caller)
    assert around.forbidden == "invalid_data"
    assert "app" in around.why


def test_the_failing_share_follows_from_the_endpoints_where_it_is_not_given() -> None:
    """Weighted by load; not where any of them is unknown."""
    assert choose(situation(*POOL, endpoints=("o1",))).harm == pytest.approx(40)
    unknown = (*POOL[:2], msgspec.structs.replace(POOL[2], failing=None))
    assert choose(situation(*unknown, endpoints=("o1",))).harm is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"failing": 1.7}, "failing is 1.7"),
        ({"failing": float("nan")}, "failing is nan"),
        ({"failing": 0.5, "requests": {"web": -1.0}}, "requests of web is -1.0"),
        ({"failing": 0.5, "endpoints": ("o9",)}, "endpoint o9 is bad"),
        ({"failing": 0.5, "horizon_s": 0.0}, "horizon_s is 0.0"),
        ({"failing": 0.5, "calls": (WEB, WEB)}, "call web -> orders is there twice"),
        ({"failing": 0.5, "replicas": (POOL[0], POOL[0])}, "endpoint o1 is there twice"),
        ({"failing": 0.5, "impact_s": {"web": -1.0}}, "impact_s of web is -1.0"),
        ({"failing": 0.5, "origin": ""}, "origin is empty"),
    ],
)
def test_nothing_acts_on_invalid_data(changes: dict[str, object], named: str) -> None:
    """The answer names the figure and what would be right."""
    choice = choose(msgspec.structs.replace(ONE_BAD, **changes))
    assert choice.chosen is None
    assert choice.considered == ()
    assert choice.why.startswith(f"invalid data: {named}")


def test_a_healthy_origin_is_let_be() -> None:
    """Nothing fails, nothing is done."""
    assert choose(situation(failing=0.0)).chosen is None
    assert choose(chain(0.0)).chosen is None


def test_a_plan_is_told_in_sentences() -> None:
    """One for each act, whatever number of edges it is about, and nothing where nothing is done."""
    told = choose(ONE_BAD).sentences()
    assert told[0] == "eject orders/o1"
    assert told[1].startswith("expected: harmed requests/s 40 -> 0: 40 avoided, 0 given up")
    assert told[2].startswith("runner-up: reroute 90 % of orders/o1 to o2, o3: net 36 against 40")
    assert choose(situation(failing=0.0)).sentences() == ()


def test_a_choice_is_a_value_that_can_be_written_down() -> None:
    """What was decided goes on record and comes back the same."""
    choice = choose(ONE_BAD)
    assert msgspec.json.decode(msgspec.json.encode(choice), type=Choice) == choice
    assert msgspec.json.decode(msgspec.json.encode(ONE_BAD), type=Situation) == ONE_BAD


def _version(one: Replica) -> str:
    return "v2" if one.name == "o1" else "v1"
