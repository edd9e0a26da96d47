"""What the configuration says of the graph: soft edges, aliases, hosts, bounds; each mistake named by its key."""

import pytest

from controlplane.config import parse_config
from controlplane.model.errors import ConfigError
from controlplane.model.policy import GraphPolicy

GOOD = """
[graph]
services_max = 50
fade_s = 600
[[services]]
name = "orders"
calls = ["mail", "stock"]
soft = ["mail"]
aliases = ["orders-vip", "orders.internal"]
endpoints = [{ name = "a", url = "http://127.0.0.1:1", host = "h1" }]
[[services]]
name = "mail"
external = true
[[services]]
name = "stock"
"""


def problems(text: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        parse_config(text, environ)
    return {problem.key: problem.reason for problem in error.value.problems}


def test_what_is_written_is_read() -> None:
    """Bounds, soft edges, aliases and hosts; what is left out has its default, and old files hold."""
    config = parse_config(GOOD, {"CONTROLPLANE_GRAPH_EDGES_MAX": "70"})
    assert config.graph == GraphPolicy(services_max=50, edges_max=70, fade_s=600)
    orders = config.services[0]
    assert (orders.soft, orders.aliases) == (("mail",), ("orders-vip", "orders.internal"))
    assert orders.endpoints[0].host == "h1"
    assert parse_config("").graph == GraphPolicy()


def test_a_soft_edge_is_an_edge() -> None:
    """One can do without what one calls, and without nothing else."""
    with pytest.raises(ConfigError) as error:
        parse_config(GOOD.replace('soft = ["mail"]', 'soft = ["mial", "stock", "stock"]'))
    assert [(problem.key, problem.reason) for problem in error.value.problems] == [
        (
            "services.orders.soft",
            "'mial' is not among the services it calls, did you mean 'mail'?; calls: mail, stock",
        ),
        ("services.orders.soft", "'stock' is named twice"),
    ]


@pytest.mark.parametrize(
    ("aliases", "reason"),
    [
        ('["Mail"]', "'Mail' is the name of mail, too; an alias means one service"),
        ('["orders"]', "'orders' is its own name; name only others"),
        ('["gateway"]', "'gateway' is the name of gateway, too; an alias means one service"),
        ('["a b"]', "'a b' is no name; letters, digits, dots, dashes and underscores, 128 at most"),
        ('["vip", "vip"]', "'vip' is the name of orders, as an alias, too; an alias means one service"),
    ],
)
def test_an_alias_is_nobody_elses_name(aliases: str, reason: str) -> None:
    """Or the calls of one would be laid to the other."""
    assert problems(GOOD.replace('["orders-vip", "orders.internal"]', aliases)) == {"services.orders.aliases": reason}


def test_bounds_below_what_is_declared_are_no_bounds() -> None:
    """The message says how many there are."""
    found = problems(GOOD.replace("services_max = 50", "services_max = 3\nedges_max = 2"))
    assert found == {
        "graph.services_max": "3 is fewer than the 4 services that this file declares",
        "graph.edges_max": "2 is fewer than the 5 edges that this file declares",
    }


def test_an_unknown_key_is_refused_by_name() -> None:
    """In the section, on an endpoint, and in the environment."""
    assert "did you mean 'fade_s'?" in problems(GOOD.replace("fade_s", "fade"))["graph.fade"]
    assert "did you mean 'host'?" in problems(GOOD.replace("host =", "hosts ="))["services.orders.endpoints.a.hosts"]
    assert "EDGES_MAX" in problems(GOOD, {"CONTROLPLANE_GRAPH_EDGES": "1"})["CONTROLPLANE_GRAPH_EDGES"]
    assert "8" in problems(GOOD.replace("fade_s = 600", "buckets = 2"))["graph.buckets"]
