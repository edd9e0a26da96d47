"""One histogram as text: HdrHistogram's V2 compressed encoding, base64 around it, as `.hlog` files have it.

The outer header (cookie, length) is followed by a zlib stream: a second header with the shape, then the counts as
variable-length integers. The package does the counts. The headers are looked at here first, because it takes sizes on
trust: it unpacks whatever a stream holds, and a total above 31 bits comes back cut off.
"""

import base64
import binascii
import struct
import zlib
from typing import Final

import numpy as np
from hdrh.codec import V2_COMPRESSION_COOKIE_BASE, V2_ENCODING_COOKIE_BASE, HdrPayload, get_cookie_base
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from controlplane._native.histogram import Histogram

_OUTER: Final = struct.Struct(">II")  # cookie, bytes that follow
_INNER: Final = struct.Struct(">IIIIQQd")  # cookie, bytes that follow, index offset, digits, lowest, highest, ratio
_COUNT_BYTES_MAX: Final = 9
_COUNT_MAX: Final = (1 << 62) - 1  # what nine bytes of seven bits hold beside the sign
_TOTAL_MAX: Final = (1 << 63) - 1


def encode(histogram: Histogram) -> str:
    """V2 compressed encoding of `histogram` in base64. Values out of range are not part of it.

    Raises  ValueError when a counter holds more than 62 bits, which the encoding cannot say.
    """
    text: str = to_hdrh(histogram).encode().decode("ascii")
    return text


def decode(text: str | bytes) -> Histogram:
    """The histogram that `text` encodes, in its own shape.

    Raises  ValueError when text is not base64, not V2, cut off, damaged, or of a shape that no histogram has here.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # the second for what is not ASCII
        raise ValueError(f"an encoded histogram must be base64: {error}") from None
    if len(data) < _OUTER.size:
        raise ValueError(f"an encoded histogram must have {_OUTER.size} bytes or more, not {len(data)}")
    cookie, length = _OUTER.unpack_from(data)
    if get_cookie_base(cookie) != V2_COMPRESSION_COOKIE_BASE:
        raise ValueError(f"cookie must be {V2_COMPRESSION_COOKIE_BASE:#x} (V2, compressed), not {cookie:#x}")
    compressed = data[_OUTER.size :]
    if length != len(compressed):
        raise ValueError(f"an encoded histogram must have {length} bytes after its header, not {len(compressed)}")
    histogram = _empty(compressed)
    histogram.add_counts(_counts(compressed, len(histogram.counts)).data)
    return histogram


def _empty(compressed: bytes) -> Histogram:
    """A histogram of the shape that the inner header names, once the stream was found whole and no longer."""
    stream = zlib.decompressobj()
    try:
        inner = stream.decompress(compressed, _INNER.size)
        if len(inner) < _INNER.size:
            raise ValueError(f"the header inside must have {_INNER.size} bytes, not {len(inner)}")
        cookie, length, offset, digits, lowest, highest, ratio = _INNER.unpack(inner)
        if get_cookie_base(cookie) != V2_ENCODING_COOKIE_BASE:
            raise ValueError(f"cookie inside must be {V2_ENCODING_COOKIE_BASE:#x} (V2), not {cookie:#x}")
        if offset or ratio != 1.0:
            raise ValueError(f"shifted and floating-point histograms are not read: offset {offset}, ratio {ratio}")
        counts_max = Histogram.words(lowest, highest, digits) * _COUNT_BYTES_MAX
        found = len(stream.decompress(stream.unconsumed_tail, counts_max + 1))
    except zlib.error as error:
        raise ValueError(f"an encoded histogram is damaged: {error}") from None
    if not stream.eof or stream.unused_data or found != length:
        raise ValueError(f"an encoded histogram must hold {length} bytes of counts, at most {counts_max}, and no more")
    return Histogram(lowest, highest, digits)


def _counts(compressed: bytes, length: int) -> NDArray[np.int64]:
    """The counts of a stream whose size was checked."""
    payload = HdrPayload(8, compressed_payload=compressed)
    try:
        payload.init_counts(length)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"the counts of an encoded histogram are damaged: {error}") from None
    counts = np.frombuffer(payload.counts, dtype=np.int64)
    if sum(counts[counts != 0].tolist()) > _TOTAL_MAX:
        raise ValueError("the counts of an encoded histogram must add up to less than 64 bits")
    return counts


def to_hdrh(histogram: Histogram) -> HdrHistogram:
    """A copy as the package's `HdrHistogram`: for its iterators, and for whatever else takes one.

    Raises  ValueError when a counter holds more than 62 bits: its encoder would free memory that is not its own.
    """
    counts = np.array(histogram.counts)  # a copy: others may be recording
    filled = np.flatnonzero(counts)
    if len(filled) and int(counts.max()) > _COUNT_MAX:
        raise ValueError(f"a counter must hold at most {_COUNT_MAX}, not {counts.max()}")
    theirs = HdrHistogram(_like(histogram.lowest), histogram.highest, histogram.digits)
    theirs.lowest_trackable_value = theirs.encoder.payload.payload.lowest_trackable_value = histogram.lowest
    np.frombuffer(theirs.counts, dtype=np.int64)[:] = counts
    if len(filled):
        theirs.set_internal_tacking_values(int(filled[0]), int(filled[-1]), sum(counts[filled].tolist()))
    return theirs


def from_hdrh(theirs: HdrHistogram) -> Histogram:
    """A copy of the package's histogram.

    Raises  ValueError when its shape is none that a histogram has here.
    """
    shape = (theirs.lowest_trackable_value, theirs.highest_trackable_value, theirs.significant_figures)
    histogram = Histogram(*shape)
    histogram.add_counts(np.ctypeslib.as_array(theirs.counts).astype(np.int64).data)
    return histogram


def _like(lowest: int) -> int:
    """A value whose power of two is that of `lowest`, and which a logarithm does not mistake for the next one's.

    The package finds the power by floating point, and from 2^48 - 1 on that is one too many.
    """
    return 3 << lowest.bit_length() - 2 if lowest > 1 else 1
