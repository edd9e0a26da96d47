"""The sentence in which a person supposes something."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.decide.whatif.grammar import suppose
from controlplane.model.topology import Endpoint, Service, Topology

ORDERS = Service(
    name="orders",
    endpoints=(
        Endpoint(name="orders-1", url="http://127.0.0.1:1", zone="eu-1a", version="v1"),
        Endpoint(name="orders-2", url="http://127.0.0.1:2", zone="eu-1b", version="v2"),
    ),
)
TOPOLOGY = Topology(services=(Service(name="web", calls=("orders",)), ORDERS), entry="web")


@pytest.mark.parametrize(
    "text",
    [
        "orders fails",
        "orders is slow",
        "orders is overloaded in eu-1b",
        "orders orders-2 fails",
        "orders fails in eu-1a version v1",
        "orders orders-1 is slow in eu-1a version v1",
    ],
)
def test_what_is_understood_is_said_in_the_same_words(text: str) -> None:
    """Every form of the grammar."""
    assert str(suppose(text, TOPOLOGY)) == text


def test_an_endpoint_may_be_written_as_everywhere_else() -> None:
    """With a slash; and blanks do not matter."""
    assert str(suppose("  orders/orders-2   is   slow ", TOPOLOGY)) == "orders orders-2 is slow"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write: SERVICE"),
        ("orders", "write: SERVICE"),
        ("orders breaks", "write: SERVICE"),
        ("orders fails in", "write: SERVICE"),
        ("orders fails version v1 in eu-1a", "write: SERVICE"),
        ("order fails", "declared: orders, web"),
        ("orders orders-3 fails", "declared: orders-1, orders-2"),
        ("orders fails in eu-2", "declared: eu-1a, eu-1b"),
        ("orders fails version v9", "declared: v1, v2"),
        ("orders fails" + " " * 600, "write: SERVICE"),
    ],
)
def test_what_is_not_understood_is_answered_with_what_would_be_right(text: str, reason: str) -> None:
    """Names as well as grammar."""
    with pytest.raises(ValueError, match=reason):
        suppose(text, TOPOLOGY)


@given(st.text(max_size=700))
def test_no_text_breaks_it(text: str) -> None:
    """It is understood or refused."""
    with contextlib.suppress(ValueError):
        assert suppose(text, TOPOLOGY).service in ("orders", "web")
