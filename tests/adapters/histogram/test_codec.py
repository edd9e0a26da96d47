"""Encoding both ways with the `hdrhistogram` package, and what damaged text is told."""

import base64
import ctypes
import struct
import zlib

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.histogram import Histogram, decode, encode, from_hdrh, to_hdrh

shapes = st.tuples(
    st.integers(min_value=1, max_value=100_000),
    st.integers(min_value=200_000, max_value=1 << 45),
    st.integers(min_value=1, max_value=3),
)
counted = st.lists(
    st.tuples(st.integers(min_value=0, max_value=200_000), st.integers(min_value=1, max_value=1 << 50)), max_size=30
)
SHAPE = (1, 1_000_000, 2)


def filled(shape: tuple[int, int, int], counts: list[tuple[int, int]]) -> Histogram:
    histogram = Histogram(*shape)
    for value, times in counts:
        histogram.record_times(value, times)
    return histogram


def shape_of(histogram: Histogram) -> tuple[int, int, int]:
    return histogram.lowest, histogram.highest, histogram.digits


def encoded(inner: bytes, *, cookie: int = 0x1C849314, cut: int = 0) -> bytes:
    """Base64 of a stream around `inner`, with the outer header that fits it; `cut` bytes short of the stream's end."""
    compressed = zlib.compress(inner)
    compressed = compressed[: len(compressed) - cut]
    return base64.b64encode(struct.pack(">II", cookie, len(compressed)) + compressed)


def header(*, cookie: int = 0x1C849313, length: int = 0, offset: int = 0, shape: tuple[int, int, int] = SHAPE) -> bytes:
    lowest, highest, digits = shape
    return struct.pack(">IIIIQQd", cookie, length, offset, digits, lowest, highest, 1.0)


@given(shapes, counted)
@settings(deadline=None)
def test_what_is_encoded_is_decoded(shape: tuple[int, int, int], counts: list[tuple[int, int]]) -> None:
    """Shape and every bucket, whatever the size of the counts."""
    histogram = filled(shape, counts)
    again = decode(encode(histogram))
    assert shape_of(again) == shape
    assert again.counts == histogram.counts


@given(shapes, st.lists(st.integers(min_value=0, max_value=1 << 44), max_size=30))
@settings(deadline=None)
def test_the_package_reads_and_writes_the_same_text(shape: tuple[int, int, int], values: list[int]) -> None:
    """Its encoding of the same values is ours to the byte, and each decodes the other's."""
    ours, theirs = Histogram(*shape), HdrHistogram(*shape)
    for value in values:
        assert ours.record(value) == theirs.record_value(value)
    text = theirs.encode().decode()
    assert encode(ours) == text
    assert decode(text).counts == ours.counts
    back = HdrHistogram.decode(encode(ours))
    assert list(back.counts) == ours.counts.tolist()
    assert back.get_total_count() == ours.total
    assert back.lowest_trackable_value == shape[0]


@given(shapes, counted)
@settings(deadline=None)
def test_copies_go_both_ways(shape: tuple[int, int, int], counts: list[tuple[int, int]]) -> None:
    """Into the package's object and back, without text between; its figures are ours."""
    histogram = filled(shape, counts)
    theirs = to_hdrh(histogram)
    assert theirs.get_total_count() == histogram.total
    assert theirs.get_min_value() == histogram.minimum
    assert theirs.get_max_value() == (histogram.maximum if theirs.max_value else 0)
    again = from_hdrh(theirs)
    assert shape_of(again) == shape
    assert again.counts == histogram.counts


@pytest.mark.parametrize("word_size", [2, 4, 8])
def test_small_counters_of_the_package_are_read(word_size: int) -> None:
    """It can keep counts in 16 or 32 bits."""
    theirs = HdrHistogram(*SHAPE, word_size=word_size)
    theirs.record_value(77, 1_000)
    assert from_hdrh(theirs).count_at(77) == 1_000


def test_totals_beyond_32_bits_survive() -> None:
    """The package's own decoder cuts them off."""
    assert decode(encode(filled(SHAPE, [(5, 1 << 32), (6, 1 << 31)]))).total == 3 << 31


@pytest.mark.parametrize("lowest", [(1 << 48) - 1, (1 << 50) - 1, 1 << 50])
def test_powers_of_two_are_not_mistaken(lowest: int) -> None:
    """Where the package's logarithm rounds up to the next one."""
    histogram = filled((lowest, 1 << 58, 1), [(lowest, 3), (1 << 57, 4)])
    again = decode(encode(histogram))
    assert again.counts == histogram.counts
    assert shape_of(again) == (lowest, 1 << 58, 1)


def test_a_count_beyond_the_encoding_is_refused() -> None:
    """The package would free memory that is not its own."""
    histogram = filled(SHAPE, [(5, (1 << 62) - 1), (5, 1)])
    with pytest.raises(ValueError, match="a counter must hold at most 4611686018427387903, not 4611686018427387904"):
        encode(histogram)


def test_every_cut_is_noticed() -> None:
    """Wherever the text ends too early, it is no histogram."""
    text = encode(filled(SHAPE, [(value, value + 1) for value in range(0, 50_000, 37)]))
    for length in range(0, len(text) - 1, 7):
        with pytest.raises(ValueError, match=r"^(an encoded histogram|cookie) must "):
            decode(text[:length])


@given(st.binary(max_size=200))
def test_nonsense_is_refused(data: bytes) -> None:
    """Bytes of any kind, as text and inside of it, end in a ValueError and nothing else."""
    for text in (data, base64.b64encode(data), encoded(data), encoded(header(length=len(data)) + data)):
        try:
            histogram = decode(text)
        except ValueError:
            continue
        assert histogram.total >= 0


@given(st.data())
@settings(max_examples=300)
def test_a_flipped_bit_is_refused_or_harmless(data: st.DataObject) -> None:
    """The stream has a checksum, so a change inside of it never passes for other counts."""
    histogram = filled(SHAPE, [(3, 9), (500, 1), (77_000, 1 << 40)])
    raw = bytearray(base64.b64decode(encode(histogram)))
    at = data.draw(st.integers(min_value=0, max_value=8 * len(raw) - 1))
    raw[at // 8] ^= 1 << at % 8
    try:
        again = decode(base64.b64encode(bytes(raw)))
    except ValueError:
        return
    assert again.counts == histogram.counts  # the word size inside a cookie says nothing in this version


COUNTS = b"\x02\x04\x06"
DAMAGE = {
    "must be base64": b"not*base64",
    "bytes or more, not 3": base64.b64encode(b"abc"),
    "cookie must be 0x1c849304 .* not 0x1c849312": encoded(header(), cookie=0x1C849312),
    "cookie inside must be 0x1c849303 .* not 0x1c849301": encoded(header(cookie=0x1C849301)),
    "header inside must have 40 bytes, not 39": encoded(header()[:39]),
    "floating-point histograms are not read: offset 7": encoded(header(offset=7)),
    "must hold 4 bytes of counts": encoded(header(length=4) + COUNTS),
    "must hold 3 bytes of counts": encoded(header(length=3) + COUNTS, cut=2),
    "must hold 1000000 bytes of counts, at most": encoded(header(length=1_000_000) + bytes(1_000_000)),
    "counts of an encoded histogram are damaged": encoded(header(length=2) + b"\x80\x80"),
    "are damaged: Destination array overrun": encoded(header(length=9) + b"\xff" * 4 + b"\x07" + bytes(4)),
    "add up to less than 64 bits": encoded(header(length=27) + (b"\xfe" + b"\xff" * 7 + b"\x7f") * 3),
    "digits must be between 1 and 5, not 9": encoded(header(shape=(1, 1_000_000, 9))),
    "highest must be between 2 and": encoded(header(shape=(1, 1 << 63, 2))),
    "lowest must be between 1 and": encoded(header(shape=(0, 1 << 40, 2))),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_damage_is_named(message: str) -> None:
    """What was found, and what would be right; a stream larger than its shape allows is not unpacked."""
    with pytest.raises(ValueError, match=message):
        decode(DAMAGE[message])


def test_another_shape_of_the_package_is_refused() -> None:
    """Counts that do not fit what their object says of itself."""
    theirs = HdrHistogram(*SHAPE)
    theirs.counts = (ctypes.c_ulonglong * 5)()
    with pytest.raises(ValueError, match=r"counts must be \d+, one a bucket, not 5"):
        from_hdrh(theirs)
