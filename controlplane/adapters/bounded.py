"""The body of a request that is read, and unpacked, no further than a bound."""

import zlib
from typing import Final

from starlette.requests import Request

STREAMS_MAX: Final = 64  # gzip streams one after the other: writers use one, and each costs a copy of what is left
_GZIP_WINDOW: Final = 31  # zlib's: gzip with the largest window


async def bounded_body(request: Request, bytes_max: int, too_large: Exception) -> bytes:
    """At most `bytes_max` bytes. Raises `too_large` as soon as more are declared, or come."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > bytes_max:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def expanded(packed: bytes, bytes_max: int) -> bytes:
    """What `packed` is without gzip, one stream or several. Raises ValueError: it is none; OverflowError: it is
    larger."""
    parts, left = [], bytes_max
    while packed:
        expand = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = expand.decompress(packed, left + 1)
        except zlib.error as error:
            raise ValueError(f"is not gzip: {error}") from error
        left -= len(part)
        if left < 0:
            raise OverflowError(f"is larger than {bytes_max} bytes when unpacked")
        if not expand.eof:
            raise ValueError("ends within its gzip stream")
        parts.append(part)
        if len(parts) > STREAMS_MAX:
            raise ValueError(f"has more than {STREAMS_MAX} gzip streams")
        packed = expand.unused_data
    return b"".join(parts)
