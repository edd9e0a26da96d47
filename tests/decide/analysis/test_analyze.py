"""The whole answer about one window: origins, ties, evidence, spread."""

import msgspec
import numpy as np
import pytest

from controlplane.decide.analysis.analyze import analyze
from controlplane.decide.analysis.recorded import recording_of, window_of
from tests.decide.little_shop import CART, DB, NORMAL, SEARCH, SERVICES, WEB, Shop


def failing_db() -> Shop:
    shop = Shop(edges=False)
    shop.service["error_ratio"][shop.bad, DB] = 0.5
    shop.service["error_ratio"][shop.bad, CART] = 0.75
    shop.service["error_ratio"][shop.bad, WEB] = 0.37
    return shop


def test_evidence_is_sentences_with_numbers() -> None:
    """What db is accused of can be read and checked."""
    answer = analyze(failing_db().window())
    (first,) = answer.origins
    assert (first.service, first.score) == ("db", pytest.approx(1.0))
    assert first.evidence[0].startswith("fails 50 % of its requests, usually 0.1 %: ")
    assert first.evidence[0].endswith("none of them its callees'")


def test_scores_and_the_unexplained_sum_to_one() -> None:
    """Nothing is lost between them."""
    shop = failing_db()
    shop.service["error_ratio"][shop.bad, SEARCH] = 0.1
    answer = analyze(shop.window())
    assert sum(origin.score for origin in answer.origins) + answer.unexplained == pytest.approx(1.0)


def test_a_tie_is_stated() -> None:
    """Two that cannot be told apart are said to be equal, and come by name."""
    shop = Shop(edges=False)
    shop.service["requests"][:, SEARCH] = shop.service["requests"][:, CART]
    shop.service["error_ratio"][shop.bad, CART] = shop.service["error_ratio"][shop.bad, SEARCH] = 0.5
    answer = analyze(shop.window())
    assert answer.ties == (("cart", "search"),)
    assert [origin.service for origin in answer.origins] == ["cart", "search"]


def test_a_healthy_window_has_an_empty_answer() -> None:
    """No origin, no spread, no plan, nothing unexplained."""
    answer = analyze(Shop().window())
    assert (answer.origins, answer.blast, answer.plan, answer.unexplained) == ((), (), (), 0.0)


def test_the_spread_follows_the_calls_up() -> None:
    """db fails half; cart calls it twice, web calls cart every second time: 50 %, 50 %, 25 %."""
    answer = analyze(failing_db().window())
    expected = {impact.service: impact.expected for impact in answer.blast if impact.metric == "availability"}
    assert expected["db"] == pytest.approx(0.5, abs=0.01)
    assert expected["cart"] == pytest.approx(0.5, abs=0.01)
    assert expected["web"] == pytest.approx(0.25, abs=0.02)


def test_the_spread_of_time_adds_up() -> None:
    """0.3 s at db, two calls from cart, every second request of web: 0.3, 0.6, 0.3 s."""
    shop = Shop()
    shop.service["latency_s"][shop.bad] += [0.3, 0.6, 0.0, 0.3]
    shop.service["self_time_s"][shop.bad, DB] += 0.3
    for name in ("client_latency_s", "server_latency_s"):
        shop.edge[name][shop.bad] += [0.6, 0.0, 0.3]
    answer = analyze(shop.window(metric="latency"))
    expected = {impact.service: impact.expected for impact in answer.blast if impact.metric == "latency"}
    assert answer.origins[0].service == "db"
    assert [expected[name] for name in ("db", "cart", "web")] == pytest.approx([0.3, 0.6, 0.3], abs=0.02)


def test_the_answer_survives_the_wire() -> None:
    """A window written down and read again gives the same answer, byte for byte."""
    window = failing_db().window()
    again = window_of(recording_of(window))
    assert msgspec.json.encode(analyze(again)) == msgspec.json.encode(analyze(window))


@pytest.mark.parametrize("signals", [("requests",), ("error_ratio",), ("latency_s",), ("saturation",), ()])
def test_any_signal_may_be_missing(signals: tuple[str, ...]) -> None:
    """One signal alone, or none, is analysed without an error."""
    shop = failing_db()
    shop.service = {name: values for name, values in shop.service.items() if name in signals}
    window = shop.window()
    if not signals:
        window = msgspec.structs.replace(window, edge={"requests": np.ones((NORMAL + 3, 3))})
    assert {origin.service for origin in analyze(window).origins} <= set(SERVICES)


def test_a_lonely_service_is_its_own_origin() -> None:
    """No calls at all: whoever exceeds is accused."""
    shop = failing_db()
    window = msgspec.structs.replace(shop.window(entry=None), edges=np.empty((0, 2), np.int64))
    assert {origin.service for origin in analyze(window).origins} == {"web", "cart", "db"}


def test_a_caller_that_stays_calm_has_a_fallback() -> None:
    """db fails everything and cart, of which all is known, fails nothing: web is not foreseen to feel it either."""
    shop = Shop(edges=False)
    shop.service["error_ratio"][shop.bad, DB] = 0.9
    answer = analyze(shop.window())
    assert answer.origins[0].service == "db"
    assert [impact.service for impact in answer.blast if impact.metric == "availability"] == ["db"]
