"""`[proxies]`: what is taken, and what is wrong and why."""

import socket

import pytest

from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.config import ProxySection
from controlplane.model.errors import ConfigError

SERVICES = """
[plane]
name = "www"
[[services]]
name = "orders"
endpoints = [{ name = "o1", url = "http://127.0.0.1:1" }, { name = "o2", url = "http://127.0.0.1:2" }]
[[services]]
name = "cart"
endpoints = [{ name = "c1", url = "http://127.0.0.1:3" }]
[[services]]
name = "mail"
"""


def section(text: str, name: str = "edge") -> str:
    return f'[proxies.{name}]\nkind = "haproxy"\n{text}\n'


def wrong(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(text + SERVICES)
    return {problem.key: problem.reason for problem in refused.value.problems}


def test_a_proxy_is_taken_as_it_is_written() -> None:
    """By default every service that has endpoints passes it, under its own names."""
    config = parse_config(section('socket = "/run/haproxy/admin.sock"\nlog_listen = "127.0.0.1:0"') + SERVICES)
    assert config.proxies == {
        "edge": ProxySection(kind="haproxy", socket="/run/haproxy/admin.sock", log_listen="127.0.0.1:0")
    }
    assert config.proxied(config.proxies["edge"]) == {"orders": ("o1", "o2"), "cart": ("c1",)}


def test_names_may_differ_and_services_be_few() -> None:
    """The runtime API may be on TCP, too."""
    text = """socket = "127.0.0.1:9999"
services = ["orders"]
backends = { orders = "be" }
servers = { "orders/o1" = "web1" }
entry = false"""
    config = parse_config(section(text) + SERVICES)
    assert config.proxied(config.proxies["edge"]) == {"orders": ("o1", "o2")}


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("", "socket", "is missing; name its runtime API"),
        ('socket = "admin.sock"', "socket", 'is not an absolute path or "host:port": it needs a port'),
        ('socket = "10.0.0.1:9999"', "socket", "is beyond this machine"),
        ('socket = "/s"\nlog_listen = "0.0.0.0:514"', "log_listen", "or set allow_remote = true"),
        ('socket = "/s"\nlog_listen = "514"', "log_listen", 'is not "host:port": it needs a port'),
        ('socket = "/s"\nservices = ["ordrs"]', "services", "not a declared service, did you mean 'orders'?"),
        ('socket = "/s"\nservices = ["mail"]', "services", "'mail' has no endpoints"),
        ('socket = "/s"\nservices = ["cart"]\nbackends = { orders = "x" }', "backends", "no service of this proxy"),
        ('socket = "/s"\nbackends = { orders = "cart" }', "backends", "'cart' is the backend of 2 services"),
        ('socket = "/s"\nservers = { "orders/o3" = "x" }', "servers", "did you mean 'orders/o"),
        ('socket = "/s"\nservers = { "o1" = "x" }', "servers", '"service/endpoint"'),
        ('socket = "/s"\nservers = { "orders/o1" = "o2" }', "servers", "'o2' is the server of 2 endpoints"),
        ('socket = "/s"\nbackends = { orders = "a;b" }', "", "'a;b' is no name in HAProxy"),
        ('socket = "/s"\nservers = { "orders/o1" = "limit" }', "", "cannot be told from a rule of that name"),
    ],
)
def test_what_is_wrong_is_named(text: str, key: str, said: str) -> None:
    """The key, the value and what would be right."""
    problems = wrong(section(text))
    full = f"proxies.edge.{key}" if key else "proxies.edge"
    assert said in problems[full], problems


def test_beyond_this_machine_must_be_said() -> None:
    """Who may send lines decides what is blamed."""
    text = 'socket = "10.0.0.1:9999"\nlog_listen = "0.0.0.0:514"\nallow_remote = true'
    assert parse_config(section(text) + SERVICES).proxies["edge"].allow_remote


def test_two_proxies_do_not_share_an_address() -> None:
    """Each is spoken to, and heard, on its own."""
    text = 'socket = "/s"\nlog_listen = "127.0.0.1:514"'
    problems = wrong(section(text) + section(text, "inner"))
    assert problems.keys() == {
        f"proxies.{name}.{field}" for name in ("edge", "inner") for field in ("socket", "log_listen")
    }
    free = 'socket = "{}"\nlog_listen = "127.0.0.1:0"'
    parse_config(section(free.format("/a")) + section(free.format("/b"), "inner") + SERVICES)


def test_another_kind_and_another_key_are_refused() -> None:
    """With those there are."""
    assert "one of 'envoy', 'haproxy'" in wrong('[proxies.edge]\nkind = "nginx"\n')["proxies.edge.kind"]
    assert "did you mean 'log_listen'?" in wrong(section('socket = "/s"\nlog_listn = "x"'))["proxies.edge.log_listn"]


def test_a_log_address_in_use_is_named() -> None:
    """Before anything was started."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        config = parse_config(section(f'socket = "/s"\nlog_listen = "{where}"') + SERVICES)
        with pytest.raises(ConfigError, match=f"cannot listen on {where}: Address already in use") as refused:
            Plane(config)
        assert refused.value.key == "proxies.edge.log_listen"
