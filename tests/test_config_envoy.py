"""`[proxies]` of kind "envoy": what is taken, what is wrong and why, and what is missing on the machine."""

import socket
import sys

import pytest

from controlplane import Plane
from controlplane.config import parse_config
from controlplane.model.config import ProxySection
from controlplane.model.errors import ConfigError
from tests.test_config_proxies import SERVICES, wrong


def section(text: str) -> str:
    return f'[proxies.edge]\nkind = "envoy"\n{text}\n'


def test_an_envoy_is_taken_as_it_is_written() -> None:
    """An address to ask is enough; routes and a time to live are its owner's choice."""
    text = 'listen = "127.0.0.1:18000"\nroutes = { "/" = "orders", "/cart" = "cart" }\nttl_s = 30'
    config = parse_config(section(text) + SERVICES)
    routes = {"/": "orders", "/cart": "cart"}
    assert config.proxies == {"edge": ProxySection(kind="envoy", listen="127.0.0.1:18000", routes=routes, ttl_s=30.0)}


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("", "listen", "is missing; say where Envoy is to ask"),
        ('listen = "18000"', "listen", 'is not "host:port": it needs a port'),
        ('listen = "0.0.0.0:18000"', "listen", "or set allow_remote = true"),
        ('listen = "127.0.0.1:0"\nroutes = { "/" = "order" }', "routes", "did you mean 'orders'"),
        ('listen = "127.0.0.1:0"\nroutes = { "x" = "orders" }', "routes", "one begins with"),
        ('listen = "127.0.0.1:0"\nsocket = "/s"', "socket", "is for a proxy of kind 'haproxy'"),
        ('listen = "127.0.0.1:0"\nttl_s = 0.5', "ttl_s", "is not a number from 1 up to 300"),
        ('listen = "127.0.0.1:0"\nservices = ["mail"]', "services", "has no endpoints"),
    ],
)
def test_what_is_wrong_is_named(text: str, key: str, said: str) -> None:
    """The key, the value and what would be right."""
    assert said in wrong(section(text))[f"proxies.edge.{key}"]


def test_what_is_for_envoy_is_not_for_haproxy() -> None:
    """A key of another kind is a mistake and not ignored."""
    text = '[proxies.edge]\nkind = "haproxy"\nsocket = "/s"\nlisten = "127.0.0.1:18000"\n'
    assert "is for a proxy of kind 'envoy'" in wrong(text)["proxies.edge.listen"]


def test_without_h2_the_plane_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed is a problem of the configuration that asks for it."""
    for name in [name for name in sys.modules if name.startswith("controlplane.adapters.proxies.envoy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "h2", None)
    config = parse_config(section('listen = "127.0.0.1:0"') + SERVICES)
    with pytest.raises(ConfigError, match=r"pip install 'controlplane\[envoy\]'") as refused:
        Plane(config, steers=True)
    assert refused.value.key == "proxies.edge.kind"


def test_an_address_that_is_taken_is_named() -> None:
    """Two processes cannot answer at one address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = parse_config(section(f'listen = "{listen}"') + SERVICES)
        with pytest.raises(ConfigError, match=f"cannot listen on {listen}: Address already in use") as refused:
            Plane(config, steers=True)
    assert refused.value.key == "proxies.edge.listen"
