"""The body of a request that is read no further than a bound."""

from starlette.requests import Request


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
