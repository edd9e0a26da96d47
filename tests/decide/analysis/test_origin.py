"""Where it began, told by services alone, by calls, or by what a service bears about itself."""

import msgspec
import numpy as np
import pytest

from controlplane.decide.analysis.origin import aliases, judge
from controlplane.decide.analysis.window import Window
from controlplane.model.recording import Metric
from tests.decide.little_shop import CART, DB, NORMAL, SEARCH, WEB, Shop


def origin(window: Window) -> int:
    """The first, or -1."""
    score = judge(window).score
    return int(score.argmax()) if score.any() else -1


@pytest.mark.parametrize("edges", [True, False])
def test_a_calm_shop_has_no_origin(edges: bool) -> None:
    """Nothing is accused in normal operation."""
    for seed in range(20):
        assert origin(Shop(seed=seed, edges=edges).window()) == -1


@pytest.mark.parametrize("metric", [None, "availability"])
def test_a_relayed_error_is_not_blamed_on_the_relay(metric: Metric | None) -> None:
    """db fails half of its calls, cart and web pass it on: db it is, and cart has nothing of its own."""
    shop = Shop(edges=False)
    shop.service["error_ratio"][shop.bad, DB] = 0.5
    shop.service["error_ratio"][shop.bad, CART] = 0.75
    shop.service["error_ratio"][shop.bad, WEB] = 0.37
    score = judge(shop.window(metric=metric)).score
    assert score.argmax() == DB
    assert score[CART] == score[SEARCH] == 0.0


def test_relayed_latency_is_not_blamed_on_the_relay() -> None:
    """Every call to db takes 0.3 s longer; cart makes two of them."""
    shop = Shop(edges=False)
    shop.service["latency_s"][shop.bad] += [0.3, 0.6, 0.0, 0.3]
    shop.service["self_time_s"][shop.bad, DB] += 0.3
    assert origin(shop.window(metric="latency")) == DB


def test_what_callees_do_not_explain_stays() -> None:
    """cart fails on its own while db is well."""
    shop = Shop(edges=False)
    shop.service["error_ratio"][shop.bad, CART] = 0.6
    shop.service["error_ratio"][shop.bad, WEB] = 0.3
    assert origin(shop.window()) == CART


def test_time_outs_are_blamed_on_the_slow_callee() -> None:
    """cart fails because it waits for db, which is slow and fails nothing."""
    shop = Shop(edges=False)
    shop.service["latency_s"][shop.bad] += [0.5, 1.0, 0.0, 2.0]
    shop.service["self_time_s"][shop.bad, DB] += 2.0
    shop.service["error_ratio"][shop.bad, CART] = 0.8
    shop.service["error_ratio"][shop.bad, WEB] = 0.4
    assert origin(shop.window(metric="availability")) == DB


def test_failures_behind_a_silent_service_are_its_own() -> None:
    """db is not heard of any more and its caller fails."""
    shop = Shop(edges=False)
    for values in shop.service.values():
        values[shop.bad, DB] = np.nan
    shop.service["error_ratio"][shop.bad, CART] = 0.9
    shop.service["error_ratio"][shop.bad, WEB] = 0.45
    assert origin(shop.window(metric="availability")) == DB


def test_blame_passes_through_a_service_of_which_nothing_is_known() -> None:
    """cart was never instrumented; db behind it fails."""
    shop = Shop(edges=False)
    for values in shop.service.values():
        values[:, CART] = np.nan
    shop.service["error_ratio"][shop.bad, DB] = 0.5
    shop.service["error_ratio"][shop.bad, WEB] = 0.37
    assert origin(shop.window(metric="availability")) == DB


def test_requests_decide_before_shares() -> None:
    """A busy service that fails a tenth outweighs a quiet one that fails everything."""
    shop = Shop(edges=False)
    shop.service["requests"][:, SEARCH] = 20.0
    shop.service["error_ratio"][shop.bad, SEARCH] = 1.0
    shop.service["error_ratio"][shop.bad, CART] = 0.4
    shop.service["error_ratio"][shop.bad, WEB] = 0.22
    score = judge(shop.window(metric="availability")).score
    assert score[CART] > 5 * score[SEARCH] > 0


def test_the_network_is_blamed_from_either_entry() -> None:
    """With calls observed, named entry or not."""
    shop = Shop()
    shop.edge["client_latency_s"][shop.bad, 2] += 0.3
    assert origin(shop.window()) == origin(shop.window(entry=None)) == DB


def test_a_hot_processor_that_nobody_waits_for_needs_twice_the_surprise() -> None:
    """Half as hot again is no incident while everybody is served as usual; ten times as hot is."""
    shop = Shop()
    shop.service["saturation"][shop.bad, DB] *= 1.5
    assert origin(shop.window()) == -1
    shop.service["saturation"][shop.bad, DB] *= 7
    assert origin(shop.window()) == DB


def test_a_load_balancer_is_the_service_behind_it() -> None:
    """It has one callee, as many requests, and takes no longer; a service that works is none."""
    requests = np.tile([100.0, 100.0, 100.0], (NORMAL + 3, 1))
    latency = np.tile([0.2, 0.101, 0.1], (NORMAL + 3, 1))
    window = Window(
        bucket_s=60.0,
        services=("web", "balancer", "app"),
        edges=np.array([[0, 1], [1, 2]]),
        incident_at=NORMAL,
        service={"requests": requests, "latency_s": latency},
        entry=0,
    )
    assert aliases(window).tolist() == [0, 2, 2]
    chain = msgspec.structs.replace(
        window,
        services=("web", "outer", "balancer", "app"),
        edges=np.array([[0, 1], [1, 2], [2, 3]]),
        service={"requests": requests[:, [0, 1, 1, 2]], "latency_s": latency[:, [0, 1, 1, 2]]},
    )
    assert aliases(chain).tolist() == [0, 3, 3, 3]
    latency[NORMAL:, :2] += 0.5  # the app answers nobody, and says nothing
    latency[NORMAL:, 2] = np.nan
    requests[NORMAL:, 2] = np.nan
    assert origin(window) == 2


def test_what_callers_hardly_show_is_found_where_it_is() -> None:
    """db is slow for cart's rare calls: cart's mean stays within its bound, and accounts for nothing."""
    shop = Shop()
    shop.edge["requests"][:, 2] = 20.0
    shop.service["requests"][:, DB] = 20.0
    for values in (shop.service["latency_s"], shop.service["self_time_s"]):
        values[shop.bad, DB] += 0.05
    for name in ("client_latency_s", "server_latency_s"):
        shop.edge[name][shop.bad, 2] += 0.05
    assert origin(shop.window(metric="latency")) == DB


def test_equal_services_have_equal_scores() -> None:
    """Two that cannot be told apart tie."""
    shop = Shop(edges=False)
    shop.service["requests"][:, SEARCH] = shop.service["requests"][:, CART]
    shop.service["error_ratio"][shop.bad, CART] = shop.service["error_ratio"][shop.bad, SEARCH] = 0.5
    score = judge(shop.window()).score
    assert score[CART] == pytest.approx(score[SEARCH])
    assert score[CART] == pytest.approx(0.5)
