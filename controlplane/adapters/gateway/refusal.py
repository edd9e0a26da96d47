"""What a refused call raises: at an httpx border that border's own error, elsewhere the guard's `Refused`."""

from typing import Final

import httpx

from controlplane._native.guard import ByGuard, Refusal

DEADLINE: Final = "deadline"  # the adapter's own, too: there was no time left for another attempt


class RefusedError(ByGuard, httpx.TransportError):
    """A guarded request was not sent; handlers of `httpx.TransportError` and `httpx.HTTPError` work as they are."""

    def __init__(
        self, service: str, part: str, retry_after_s: float = 0.0, *, request: httpx.Request | None = None
    ) -> None:
        self.service, self.part, self.retry_after_s = service, part, retry_after_s
        super().__init__(f"call to {service} refused: {part}", request=request)


def retry_after_s(refusal: Refusal) -> float:
    """Seconds after which the part that refused may admit again; 0 when that depends on other calls."""
    return refusal.retry_after_ns / 1e9
