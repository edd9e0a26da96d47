"""Posture in a configuration: what is taken, and what would leave something open, or closed for ever."""

import pytest

from controlplane.config import parse_config
from controlplane.model.errors import ConfigError

AUTH = """
[[services]]
name = "auth"
guards = "authentication"
protects = ["orders"]
probe_path = "/healthz"
endpoints = [{ name = "a1", url = "http://127.0.0.1:1" }]
"""
ORDERS = """
[[services]]
name = "orders"
endpoints = [{ name = "o1", url = "http://127.0.0.1:2" }]
"""


def wrong(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(text)
    return {problem.key: problem.reason for problem in refused.value.problems}


def test_a_posture_is_taken_as_it_is_written() -> None:
    """By either side's word; sensitive routes belong to the process."""
    text = '[posture]\nsensitive = [{ path = "/pay", rate_per_s = 5, while_degraded = ["auth"] }]\n'
    more = ORDERS.replace('"orders"', '"cart"').replace(":2", ":3") + 'guarded_by = ["auth"]\n'
    topology = parse_config(text + AUTH + ORDERS + more).topology()
    assert topology.protected == {"auth": ("orders", "cart")}
    assert topology.guarded == {"orders": ("auth",), "cart": ("auth",)}
    assert topology.sensitive[0].path == "/pay"


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        (AUTH.replace('protects = ["orders"]\n', "") + ORDERS, "services.auth.guards", "protects nobody"),
        (AUTH.replace('["orders"]', '["ordrs"]') + ORDERS, "services.auth.protects", "did you mean"),
        (AUTH.replace('["orders"]', '["auth"]') + ORDERS, "services.auth.protects", "the service itself"),
        (AUTH.replace('guards = "authentication"\n', "") + ORDERS, "services.auth.protects", "no guard"),
        (AUTH + "fallback = true\n" + ORDERS, "services.auth.fallback", "around a guard"),
        (AUTH.replace('probe_path = "/healthz"\n', "") + ORDERS, "services.auth.probe_path", "only a probe"),
        (AUTH + ORDERS + 'guarded_by = ["orders2"]\n', "services.orders.guarded_by", "not a declared service"),
        (
            AUTH + ORDERS + '[[services]]\nname = "web"\ncalls = ["auth"]\nsoft = ["auth"]\n',
            "services.web.soft",
            "unguarded",
        ),
        (
            AUTH
            + 'guarded_by = ["waf"]\n'
            + ORDERS
            + AUTH.replace("auth", "waf", 1).replace('"orders"', '"auth"').replace(":1", ":4")
            + 'guarded_by = ["auth"]\n',
            "services.waf.guarded_by",
            "neither opens again",
        ),
        (AUTH + ORDERS + 'trust = "inner"\n', "services.orders.trust", "posture.trust declares none"),
        (
            '[posture]\ntrust = ["inner"]\n' + AUTH + ORDERS + 'trust = "iner"\n',
            "services.orders.trust",
            "did you mean",
        ),
        (
            '[posture]\ntrust = ["inner", "partner"]\n' + AUTH + ORDERS.replace(':2"', ':2", trust = "partner"'),
            "services.orders.endpoints.o1.trust",
            "a service of its own",
        ),
        (
            AUTH + ORDERS.replace(':2"', ':2", validation = 1') + "validation = 2\n",
            "services.orders.endpoints.o1.validation",
            "1 is weaker than its service's 2",
        ),
        (
            AUTH + ORDERS.replace(':2"', ':2", validation = 3'),
            "services.orders.endpoints.o1.validation",
            "3 is stronger than its service's 0",
        ),
        (
            '[posture]\nsensitive = [{ path = "pay", rate_per_s = 1 }]\n' + AUTH + ORDERS,
            "posture.sensitive.'pay'",
            "begin with a slash",
        ),
        (
            '[posture]\nsensitive = [{ path = "/pay", rate_per_s = 1 }]\n' + ORDERS,
            "posture.sensitive.'/pay'",
            "never be tightened",
        ),
        (
            '[posture]\nsensitive = [{ path = "/pay", rate_per_s = 1, while_degraded = ["orders"] }]\n' + AUTH + ORDERS,
            "posture.sensitive.'/pay'.while_degraded",
            "no guard that protects",
        ),
    ],
)
def test_what_would_leave_it_open_is_refused(text: str, key: str, reason: str) -> None:
    """With the key, and what would be right."""
    assert reason in wrong(text)[key]
