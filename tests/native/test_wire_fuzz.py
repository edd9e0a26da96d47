"""A short form of `make fuzz`: the reader of OTLP under requests that are broken in every way that the format
offers."""

import random
import zlib

import pytest

from controlplane.adapters.bounded import STREAMS_MAX, expanded
from tests.fuzz.wire import MUTATIONS, Campaign


def test_what_is_broken_is_taken_or_refused() -> None:
    """Forty thousand inputs; every kind of answer turns up, and none but those."""
    campaign = Campaign()
    for number in range(4):
        campaign.run(number, 10_000)
    seen = campaign.outcomes
    assert set(seen) >= {"traces: taken", "traces: ValueError", "metrics: taken", "metrics: ValueError"}
    assert set(seen) >= {"gzip: taken", "gzip: ValueError", "gzip: OverflowError", "json: taken", "json: refused"}
    assert min(seen[name] for name in ("traces: taken", "traces: ValueError", "metrics: ValueError")) > 1_000


def test_every_way_to_break_a_request_does() -> None:
    """No mutation is a dead letter."""
    for mutation in set(MUTATIONS):
        draw, changed = random.Random(1), 0
        for _ in range(50):
            data = bytearray(b"\x0a\x03abc" * 5)
            mutation(draw, data)
            changed += data != b"\x0a\x03abc" * 5
        assert changed > 20, mutation.__name__


def test_gzip_within_gzip_and_many_streams_are_bounded() -> None:
    """A bomb is not unpacked, one stream after the other is, up to a bound, and what follows a stream must be one."""
    bomb = _packed(bytes(64 << 20))
    with pytest.raises(OverflowError, match="larger than 1000 bytes"):
        expanded(bomb, 1000)
    assert expanded(_packed(b"a") + _packed(b"b"), 2) == b"ab"
    with pytest.raises(OverflowError):
        expanded(_packed(b"a") + _packed(b"b"), 1)
    with pytest.raises(ValueError, match="gzip streams"):
        expanded(_packed(b"") * (STREAMS_MAX + 1), 10)
    with pytest.raises(ValueError, match="is not gzip"):
        expanded(_packed(b"a") + b"tail", 10)
    assert expanded(b"", 10) == b""


def _packed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()
