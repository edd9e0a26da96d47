"""Authentication degrades, by errors, hangs or slow answers: what it guards answers 503, not 200, over real HTTP."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.integration.process import Backend, Served, World, load, wait_for

pytestmark = pytest.mark.integration

SHOP = Path(__file__).with_name("guarded_shop.py")
CONFIG = """
[plane]
name = "{name}"
[admin]
listen = "127.0.0.1:0"
{gateway}
[response]
enforcement = {{ close = {close}, harden = 100 }}
penalty_s = 0.3
service_penalty_s = 0.3
service_step_s = 0.3
probe_interval_s = 0.1
probe_timeout_s = 0.15
[policies.default]
slow_s = 0.1
stall_s = 0.2
attempt_timeout_s = 0.6
redrive = false
[[services]]
name = "auth"
guards = "authentication"
probe_path = "/healthz"
protects = ["orders"]
endpoints = [{{ name = "auth-1", url = "{auth}" }}]
"""
ORDERS = """
[[services]]
name = "orders"
endpoints = [{{ name = "orders-1", url = "{orders}" }}]
[[services]]
name = "stock"
endpoints = [{{ name = "stock-1", url = "{stock}" }}]
"""
GATEWAY = """
[gateway]
listen = "127.0.0.1:0"
routes = { "/auth" = "auth", "/orders" = "orders", "/stock" = "stock" }
"""


def fails(auth: Backend) -> None:
    auth.failing = True


def hangs(auth: Backend) -> None:
    auth.released.clear()


def slows(auth: Backend) -> None:
    auth.delay_s = 0.25


def heal(auth: Backend) -> None:
    auth.failing, auth.delay_s = False, 0.0
    auth.released.set()


def asking(url: str, clients: int = 4) -> AbstractContextManager[list[int]]:
    """Users who ask for one thing again and again; gives the statuses they get."""
    return load(url, clients, path="")


def served(world: World, *, close: int = 100) -> Served:
    """The reverse proxy in front of `auth` and `orders`; the backend of orders asks nobody and always answers 200."""
    text = CONFIG.format(name="gateway", gateway=GATEWAY, close=close, auth=world.good.url)
    world.config.write_text(text + ORDERS.format(orders=world.bad.url, stock=world.bad.url))
    return world.serve()


def embedded(world: World) -> Served:
    """A service of its own that asks `auth` and goes on without an answer."""
    world.config.write_text(CONFIG.format(name="orders", gateway="", close=100, auth=world.good.url) + SELF)
    return world._started([str(SHOP), str(world.config)])


SELF = """
[[services]]
name = "orders"
calls = ["auth"]
"""


def is_closed(process: Served) -> Callable[[], bool]:
    """Whether a request for an order is refused at the door."""

    def look() -> bool:
        answer = process.gateway.get("/orders/1")
        return answer.status_code == 503 and answer.headers.get("controlplane-refused") == "closed"

    return look


def test_what_the_reverse_proxy_leads_to_is_closed_while_authentication_is_degraded(world: World) -> None:
    """200 before, 503 with its reason while it fails, hangs or is slow, 200 again once it answers; others stay open."""
    proxy = served(world)
    with asking(f"{proxy.gateway_url}/auth/check"):
        wait_for("a healthy start", lambda: world.good.requests > 30)
        for degrade in (fails, hangs, slows):
            wait_for("orders to be open", lambda: proxy.gateway.get("/orders/1").status_code == 200)
            degrade(world.good)
            wait_for(f"orders to be closed when auth {degrade.__name__}", is_closed(proxy))
            before = world.bad.requests
            with asking(f"{proxy.gateway_url}/orders/1") as statuses:
                wait_for("many users", lambda: len(statuses) > 100)
            assert set(statuses) == {503}, degrade
            assert world.bad.requests == before
            answer = proxy.gateway.get("/orders/1")
            assert answer.headers["controlplane-cause"] == "auth"
            assert int(answer.headers["retry-after"]) >= 1
            assert proxy.gateway.get("/stock/1").status_code == 200
            (finding,) = proxy.get("/v1/posture")["findings"]
            assert (finding["guard"], finding["kind"], finding["closed"]) == ("auth", "authentication", ["orders"])
            assert finding["exposed"] == []
            heal(world.good)
        wait_for("orders to be open again", lambda: proxy.gateway.get("/orders/1").status_code == 200)
    assert proxy.get("/v1/posture")["findings_total"] >= 3


def test_a_service_that_would_go_on_without_authentication_is_closed_by_its_middleware(world: World) -> None:
    """Its own code answers 200 to everybody when the check fails. Closed, it asks nobody any more: probes open it."""
    shop = embedded(world)
    for degrade in (fails, hangs, slows):
        wait_for("the door to be open", lambda: shop.gateway.get("/orders/1").status_code == 200)
        with asking(f"{shop.gateway_url}/orders/1") as statuses:
            wait_for("a healthy start", lambda: statuses.count(200) > 30)
            degrade(world.good)
            wait_for(f"the door to be closed when auth {degrade.__name__}", is_closed(shop))
        # who was let in before has been answered by now
        with asking(f"{shop.gateway_url}/orders/1") as statuses:
            wait_for("many users", lambda: len(statuses) > 100)
        assert set(statuses) == {503}, degrade
        heal(world.good)
    wait_for("the door to be open again", lambda: shop.gateway.get("/orders/1").status_code == 200)


def test_in_shadow_nothing_is_closed_and_the_finding_says_so(world: World) -> None:
    """As a policy comes: what would have been closed is told, and stays open."""
    proxy = served(world, close=0)
    with asking(f"{proxy.gateway_url}/auth/check"):
        wait_for("a healthy start", lambda: world.good.requests > 50)
        fails(world.good)
        (finding,) = wait_for("a finding", lambda: proxy.get("/v1/posture")["findings"])
        assert finding["closed"] == []
        assert finding["exposed"] == [{"service": "orders", "why": "close is in shadow"}]
        assert proxy.gateway.get("/orders/1").status_code == 200
