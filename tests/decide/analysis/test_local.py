"""What services prove about themselves, rule by rule."""

import numpy as np

from controlplane.decide.analysis.local import local_evidence
from tests.decide.little_shop import CART, DB, NORMAL, SEARCH, WEB, Shop


def test_the_network_before_a_service_is_held_against_the_service() -> None:
    """One caller's edge among several suffers: the callee's end is accused."""
    shop = Shop()
    shop.edge["client_latency_s"][shop.bad, 1] += 0.3
    local = local_evidence(shop.window())
    assert local.seconds.argmax() == SEARCH
    assert local.proven.tolist() == [False, False, True, False]
    assert 300 < local.seconds[SEARCH] < 400  # 1,200 calls, 0.3 s each


def test_a_caller_whose_calls_all_suffer_is_accused_itself() -> None:
    """Every call of one service waits on the network: it is the service that has no time to read the answers."""
    shop = Shop()
    shop.edge["client_latency_s"][shop.bad, :2] += 0.3
    local = local_evidence(shop.window())
    assert local.accused[:2].tolist() == [WEB, WEB]
    assert local.seconds.argmax() == WEB


def test_self_time_that_the_network_explains_is_not_held_against_the_caller() -> None:
    """A caller that measures its calls from outside counts the network as its own time."""
    shop = Shop()
    shop.edge["client_latency_s"][shop.bad, 2] += 0.3
    shop.service["self_time_s"][shop.bad, CART] += 0.6  # two calls each
    local = local_evidence(shop.window())
    assert local.seconds.argmax() == DB
    assert local.seconds[CART] < 0.1 * local.seconds[DB]


def test_a_processor_busy_with_more_requests_is_not_saturated() -> None:
    """Twice the requests, twice the processor: no evidence; the same load without the requests is."""
    shop = Shop()
    shop.service["saturation"][shop.bad, DB] *= 2
    assert local_evidence(shop.window()).saturation[DB] > 2
    shop.service["requests"][shop.bad, DB] *= 2
    assert local_evidence(shop.window()).saturation[DB] < 1


def test_calls_that_one_caller_no_longer_makes_are_its_own() -> None:
    """It answers its requests without what they need."""
    shop = Shop()
    shop.edge["requests"][shop.bad, 2] *= 0.2
    local = local_evidence(shop.window())
    assert local.lost.argmax() == CART
    assert local.lost_surprise[CART] > 2


def test_calls_that_every_caller_of_one_callee_loses_are_the_callees() -> None:
    """Requests that go wrong early make fewer calls; what the losing callers share is where they go wrong."""
    shop = Shop()
    window = shop.window()
    extra = np.array([[SEARCH, DB], [SEARCH, CART]])
    edges = np.vstack([window.edges, extra, [[CART, SEARCH]]])
    calls = np.hstack([shop.edge["requests"], np.tile([800.0, 400.0, 500.0], (NORMAL + 3, 1))])
    calls[shop.bad, 2] *= 0.3  # cart -> db
    calls[shop.bad, 3] *= 0.3  # search -> db
    window = Shop().window()
    broken = type(window)(
        bucket_s=60.0,
        services=window.services,
        edges=edges,
        incident_at=NORMAL,
        service={"requests": window.service["requests"]},
        edge={"requests": calls},
    )
    assert local_evidence(broken).lost.argmax() == DB


def test_a_service_that_is_not_heard_of_is_silent() -> None:
    """It was known in every bucket, and is in none any more, while others are."""
    shop = Shop()
    shop.service["requests"][shop.bad, DB] = np.nan
    assert local_evidence(shop.window()).silent.tolist() == [False, False, False, True]


def test_a_bucket_that_is_missing_for_everybody_silences_nobody() -> None:
    """Nothing is known of anybody: that is the recorder, not the services."""
    shop = Shop()
    shop.service["requests"][shop.bad] = np.nan
    assert not local_evidence(shop.window()).silent.any()


def test_where_buckets_are_missing_anyway_one_more_proves_nothing() -> None:
    """A service known half of the time is not missed after one bucket."""
    shop = Shop(incident=1)
    shop.service["requests"][::2, DB] = np.nan
    shop.service["requests"][shop.bad, DB] = np.nan
    assert not local_evidence(shop.window()).silent.any()


def test_a_calm_shop_proves_nothing() -> None:
    """Every rule at once, on normal operation."""
    local = local_evidence(Shop().window())
    assert not local.seconds.any()
    assert not local.lost.any()
    assert not local.silent.any()
    assert (local.saturation < 1).all()
