"""Protocol buffers by hand: what is written is read, what the rules forbid is refused, and nothing is unbounded."""

import struct
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.proxies.envoy import wire
from controlplane.adapters.proxies.envoy.wire import WireError, fields

numbers = st.integers(1, wire.NUMBER_MAX)
values = st.integers(0, (1 << 64) - 1)


@given(numbers, values)
def test_a_number_is_read_as_it_was_written(number: int, value: int) -> None:
    """Every 64-bit number under every field number survives."""
    assert list(fields(memoryview(wire.uint(number, value)))) == [(number, value)]


@given(numbers, st.text())
def test_text_is_read_as_it_was_written(number: int, said: str) -> None:
    """Any text survives, whatever its length."""
    ((at, view),) = fields(memoryview(wire.text(number, said)))
    assert (at, wire.as_text(view)) == (number, said)


@given(numbers, st.integers(0, 10**18))
def test_a_duration_is_read_as_it_was_written(number: int, nanos: int) -> None:
    """Nanoseconds survive."""
    ((_, view),) = fields(memoryview(wire.duration(number, nanos)))
    assert wire.nanos_of(view) == nanos


def test_bytes_on_the_wire_are_those_of_the_specification() -> None:
    """The examples of the encoding guide, byte for byte."""
    assert wire.uint(1, 150) == b"\x08\x96\x01"
    assert wire.text(2, "testing") == b"\x12\x07testing"
    assert wire.message(3, wire.uint(1, 150)) == b"\x1a\x03\x08\x96\x01"
    assert wire.double(1, 1.5) == b"\x09" + struct.pack("<d", 1.5)
    assert wire.wrapped(4, 0) == b"\x22\x02\x08\x00"
    assert wire.packed(1, "t", b"v") == b"\x0a\x06\x0a\x01t\x12\x01v"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x08", "ends early"),
        (b"\x08\x80", "ends early"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "more than ten bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        (b"\x12\x05abc", "5 bytes, 3 are left"),
        (b"\x12\xff\xff\xff\xff\x0f", "bytes, 0 are left"),
        (b"\x12", "ends early"),
        (b"\x09\x00", "ends early"),
        (b"\x0d\x00", "ends early"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0e", "wire type 6"),
        (b"\x00\x00", "field number 0"),
        (b"\x80\x80\x80\x80\x10\x00", "field number"),
    ],
)
def test_what_is_not_well_formed_is_refused(data: bytes, why: str) -> None:
    """Truncated, overlong, of an unknown or forgotten kind: a WireError says what is wrong."""
    with pytest.raises(WireError, match=why):
        list(fields(memoryview(data)))


def test_a_message_of_very_many_fields_is_refused() -> None:
    """Two bytes a field would make four megabytes two million steps; there is a bound before that."""
    many = fields(memoryview(b"\x08\x00" * (wire.FIELDS_MAX + 1)))
    assert sum(1 for _ in islice(many, wire.FIELDS_MAX)) == wire.FIELDS_MAX
    with pytest.raises(WireError, match="more than 200000 fields"):
        next(many)


def test_values_of_another_kind_are_refused() -> None:
    """A number where text belongs, and the reverse, is no message of ours; neither is text that is not UTF-8."""
    with pytest.raises(WireError):
        wire.as_text(7)
    with pytest.raises(WireError):
        wire.as_int(memoryview(b"7"))
    with pytest.raises(WireError):
        wire.as_text(memoryview(b"\xff"))


def test_a_negative_duration_is_nothing() -> None:
    """A clock that went back is no reason to count below zero."""
    assert wire.nanos_of(memoryview(wire.uint(1, (1 << 64) - 5))) == 0
