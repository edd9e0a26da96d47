"""Protocol buffers as far as xDS needs them: a writer of fields and a bounded reader, no generated code, no
descriptors.

A message is its fields, one after the other, so that writing one is joining bytes and an unset field is an absent one.
What is read comes from a peer: everything is bounded by the bytes at hand, nothing is recursive, and whatever is not
well-formed is a `WireError`. Decision 0025 says why this is our own and not the protobuf runtime.

Source  protobuf.dev/programming-guides/encoding
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIELDS_MAX: Final = (
    200_000  # of one message: 100,000 resource names and some; reading so many takes a tenth of a second
)
NUMBER_MAX: Final = (1 << 29) - 1
_DOUBLE: Final = struct.Struct("<d")


class WireError(ValueError):
    """Bytes that are no such message."""


# writing


def varint(value: int) -> bytes:
    """`value`, 0 or more, in base 128."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=1024)
def _key(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def uint(number: int, value: int) -> bytes:
    """A field of a whole number, 0 or more, an enumeration or a bool; zero is written, too."""
    return _key(number, VARINT) + varint(value)


def double(number: int, value: float) -> bytes:
    """A field of type double."""
    return _key(number, FIXED64) + _DOUBLE.pack(value)


def message(number: int, *parts: bytes) -> bytes:
    """A field that holds the message, or the bytes, that `parts` add up to."""
    body = b"".join(parts)
    return _key(number, BYTES) + varint(len(body)) + body


def text(number: int, value: str) -> bytes:
    """A field of text."""
    return message(number, value.encode())


def wrapped(number: int, value: int) -> bytes:
    """A google.protobuf.UInt32Value: the only way to say zero and not nothing."""
    return message(number, uint(1, value))


def duration(number: int, nanos: int) -> bytes:
    """A google.protobuf.Duration of `nanos`, 0 or more."""
    seconds, rest = divmod(nanos, 1_000_000_000)
    return message(number, uint(1, seconds), uint(2, rest) if rest else b"")


def packed(number: int, type_url: str, *parts: bytes) -> bytes:
    """A google.protobuf.Any that holds the message of `parts`."""
    return message(number, text(1, type_url), message(2, *parts))


# reading


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field of a message: an int, or a view of the bytes. Raises WireError, midway perhaps."""
    at, end, seen = 0, len(data), 0
    while at < end:
        seen += 1
        if seen > FIELDS_MAX:
            raise WireError(f"a message of more than {FIELDS_MAX} fields")
        key = data[at]  # nearly every number is of one byte: a call for each would cost as much as all the rest
        if key < 0x80:
            at += 1
        else:
            key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if not 0 < number <= NUMBER_MAX:
            raise WireError(f"field number {number}")
        if kind == VARINT:
            value, at = _varint(data, at, end)
            yield number, value
        elif kind == BYTES:
            length = data[at] if at < end else 0x80
            if length < 0x80:
                at += 1
            else:
                length, at = _varint(data, at, end)
            if length > end - at:
                raise WireError(f"field {number} of {length} bytes, {end - at} are left")
            yield number, data[at : at + length]
            at += length
        elif kind in (FIXED64, FIXED32):
            width = 8 if kind == FIXED64 else 4
            if width > end - at:
                raise WireError(f"field {number} ends early")
            yield number, int.from_bytes(data[at : at + width], "little")
            at += width
        else:  # groups, which nobody has written since 2001
            raise WireError(f"field {number} of wire type {kind}")


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise WireError("a number of more than 64 bits")
            return value, at
        shift += 7
        if shift > 63:
            raise WireError("a number of more than ten bytes")
    raise WireError("a number ends early")


def as_text(value: int | memoryview) -> str:
    """What a field of text says. Raises WireError."""
    try:
        return str(as_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("text that is not UTF-8") from error


def as_bytes(value: int | memoryview) -> memoryview:
    """The bytes of a field. Raises WireError where it holds a number."""
    if isinstance(value, int):
        raise WireError("a number where bytes belong")
    return value


def as_int(value: int | memoryview) -> int:
    """The number of a field. Raises WireError where it holds bytes."""
    if not isinstance(value, int):
        raise WireError("bytes where a number belongs")
    return value


def nanos_of(value: int | memoryview) -> int:
    """Nanoseconds of a google.protobuf.Duration; a negative one is 0. Raises WireError."""
    seconds = nanos = 0
    for number, part in fields(as_bytes(value)):
        if number == 1:
            seconds = _signed(as_int(part))
        elif number == 2:
            nanos = _signed(as_int(part))
    return max(0, seconds * 1_000_000_000 + nanos)


def unwrapped(value: int | memoryview) -> int:
    """The number in a google.protobuf.UInt32Value. Raises WireError."""
    return next((as_int(part) for number, part in fields(as_bytes(value)) if number == 1), 0)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
