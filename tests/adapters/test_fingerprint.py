"""The header by which endpoints tell their configuration along with answers to probes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.fingerprint import HEADER, ProbeFingerprints, parse
from controlplane.model.topology import Endpoint, Service, Topology

ENDPOINTS = (Endpoint(name="o1", url="http://127.0.0.1:1/"),)
OURS = Service(name="orders", endpoints=ENDPOINTS, probe_path="/ok")
TOPOLOGY = Topology(
    services=(
        OURS,
        Service(name="party", endpoints=(Endpoint(name="p", url="http://p"),), external=True, probe_path="/"),
    )
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3f9a", ("3f9a", {}, "")),
        ("3f9a; flag=on; schema=12; environment=eu", ("3f9a", {"flag": "on", "schema": "12"}, "eu")),
        ("", None),
        ("; flag=on", None),
        ("3f9a; flag", None),
        ("x" * 201, None),
        ("a; " + "; ".join(f"p{n}=1" for n in range(65)), None),
        ("a\x00b", None),
    ],
)
def test_a_header_is_read_or_left_out(text: str, found: object) -> None:
    """What is not in its form is no fingerprint."""
    assert parse(text) == found


@given(st.text(max_size=5000))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever a server sends."""
    parse(text)


def test_an_answer_of_a_declared_endpoint_is_told_once_and_a_third_party_is_not_believed() -> None:
    """The newest before each look."""
    source = ProbeFingerprints(TOPOLOGY, SystemClock())
    source.answered("http://127.0.0.1:1/ok", {HEADER: "a"})
    source.answered("http://127.0.0.1:1/ok", {HEADER: "b"})
    source.answered("http://p/", {HEADER: "c"})
    source.answered("http://elsewhere/", {HEADER: "d"})
    (told,) = source.drain()
    assert (str(told.target), told.fingerprint) == ("orders/o1", "b")
    assert source.drain() == []
