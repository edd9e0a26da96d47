"""How an HTTP status failed, as a guard counts it: the same for calls made here and for those a log tells of."""

from typing import Final

from controlplane._native.guard import ERROR, OVERLOAD

_KINDS: Final = {500: ERROR, 502: ERROR, 504: ERROR, 429: OVERLOAD, 503: OVERLOAD}


def failure_kind(status: int) -> int:
    """How an answer of that status failed, as the guard counts it; 0: it did not. 429 is never success."""
    return _KINDS.get(status, 0)
