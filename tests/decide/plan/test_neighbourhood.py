"""From arrays of a whole call graph to a choice."""

from typing import Any

import numpy as np
import pytest

from controlplane.decide.plan.neighbourhood import callers_of, neighbourhood, replicas_of, retry_cut
from controlplane.model.situation import Replica, RetryCut
from controlplane.model.topology import Endpoint, Service
from tests.decide.situations import does, plan_for

NAMES = ("web", "cart", "orders", "db", "mail", "app")
EDGES = ((0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (5, 4))  # (caller, callee)
INDPTR = np.array([0, 2, 3, 5, 5, 5, 6])
INDICES = np.array([1, 2, 3, 3, 4, 4])
TRAFFIC = np.array([30.0, 40.0, 30.0, 40.0, 5.0, 9.0])
REQUESTS = np.array([100.0, 30.0, 40.0, 70.0, 14.0, 9.0])


def ask(**more: Any) -> Any:
    given: dict[str, Any] = {"origin": 3, "failing": 0.9, "traffic": TRAFFIC, "requests": REQUESTS}
    return plan_for(NAMES, INDPTR, INDICES, **(given | more))


def test_a_graph_turned_round_lists_each_services_callers() -> None:
    """db is called by cart and orders, by way of edges 2 and 3."""
    callers = callers_of(INDPTR, INDICES)
    calls = slice(callers.start[3], callers.start[4])
    assert callers.caller[calls].tolist() == [1, 2]
    assert callers.edge[calls].tolist() == [2, 3]


def test_only_what_lies_between_origin_and_users_counts() -> None:
    """mail and app have no part in it; harm is that of web."""
    choice = ask()
    assert choice.harm == pytest.approx(100 * (1 - (1 - 0.3 * 0.9) * (1 - 0.4 * 0.9)))
    text = " ".join(str(one) for one in choice.considered)
    assert "mail" not in text
    assert "app" not in text


def test_a_recording_with_full_pools_gets_a_cut() -> None:
    """web would be full in three seconds: db is isolated from both of its callers at once."""
    choice = ask(slow=0.9, impact_s=np.array([3.0, np.nan, np.inf, np.nan, np.nan, np.nan]))
    assert does(choice) == ["isolate"]
    assert str(choice.chosen) == "isolate db"


def test_a_fallback_on_one_of_two_ways_is_used() -> None:
    """cart's call is soft: it is refused, orders' call goes on."""
    soft = np.array([False, False, True, False, False, False])
    choice = ask(failing=0.5, slow=0.5, soft=soft)
    assert str(choice.chosen) == "isolate cart -> db"


def test_entries_narrow_down_what_is_protected() -> None:
    """Those that the failure cannot reach suffer nothing, and nothing is done for them."""
    choice = ask(entries=(5,))
    assert choice.harm == 0
    assert choice.chosen is None


def test_callers_that_no_protected_entry_reaches_are_left_out() -> None:
    """mail is called by orders, which web reaches, and by app, which it does not."""
    whole, narrow = ask(origin=4, failing=1.0), ask(origin=4, failing=1.0, entries=(0,))
    assert str(whole.chosen) == "isolate mail"
    assert whole.harm > narrow.harm
    near = neighbourhood(NAMES, INDPTR, INDICES, origin=4, traffic=TRAFFIC, requests=REQUESTS, entries=(0,))
    assert [(call.caller, call.callee) for call in near.calls] == [("orders", "mail"), ("web", "orders")]


def test_what_is_nan_is_unknown() -> None:
    """Without a figure of web's requests there is nothing to weigh by; without one call's traffic there is."""
    assert ask(requests=np.full(6, np.nan)).harm is None
    some = TRAFFIC.copy()
    some[2] = np.nan
    assert ask(traffic=some).harm is not None
    assert ask(failing=float("nan")).why == "how much of db fails is not known"


def test_retries_are_stopped_on_the_edges_that_were_found() -> None:
    """The loop's figures come from decide/feedback/retries.py."""
    choice = ask(retries=RetryCut(edges=(("cart", "db"), ("orders", "db")), before=1.3, after=0.6))
    assert does(choice) == ["cap_retries", "cap_retries"]


def test_retry_edges_come_by_their_place_in_the_graph() -> None:
    """Edge 3 is the second call to db; the names are those of its ends."""
    found = retry_cut(NAMES, INDPTR, INDICES, [3], before=0.9, after=0.2, metastable=True)
    assert found is not None
    assert (found.edges, found.feeds_itself) == ((("orders", "db"),), True)
    assert retry_cut(NAMES, INDPTR, INDICES, [], before=0.9, after=0.9) is None


def test_declared_endpoints_become_replicas_with_what_is_known_of_them() -> None:
    """A figure that is missing stays unknown."""
    service = Service(name="db", endpoints=(Endpoint(name="d1", url="http://h:1", zone="a", weight=3),))
    assert replicas_of(service, load={"d1": 4.0}, failing={}) == (Replica(name="d1", zone="a", weight=3.0, load=4.0),)


def test_the_graph_may_be_turned_round_beforehand() -> None:
    """Whoever asks often passes it."""
    assert ask(callers=callers_of(INDPTR, INDICES)) == ask()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": 6}, "service 6"),
        ({"entries": (-1,)}, "service -1"),
        ({"traffic": TRAFFIC[:2]}, "6 edges and 2 figures"),
        ({"requests": REQUESTS[:2]}, "6 services, 6 rows and 2 requests"),
    ],
)
def test_shapes_that_disagree_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message names both."""
    with pytest.raises(ValueError, match=message):
        ask(**changes)
