"""From `http://orders/path` to the endpoint that was chosen.

The Host field becomes the endpoint's authority, as any client that dials it would send: virtual hosts, certificates and
redirects of third parties depend on it. A Host field that the program set to something of its own is kept.
"""

from typing import Final

import httpx

from controlplane.model.topology import Service

_URLS_MAX: Final = 512  # per endpoint; parsing a URL costs more than everything else here together

Header = tuple[bytes, bytes]


class _Origin:
    __slots__ = ("authority", "base", "prefix", "urls")

    def __init__(self, url: str) -> None:
        self.base = httpx.URL(url)
        self.authority = self.base.netloc
        self.prefix = self.base.raw_path.rstrip(b"/")
        self.urls: dict[bytes, httpx.URL] = {}

    def url(self, raw_path: bytes) -> httpx.URL:
        found = self.urls.get(raw_path)
        if found is None:
            if len(self.urls) >= _URLS_MAX:
                self.urls.clear()
            found = self.urls[raw_path] = self.base.copy_with(raw_path=self.prefix + raw_path)
        return found


class Address:
    """Rewrites requests for one service to its endpoints; a service without endpoints is dialled by its own name."""

    def __init__(self, service: Service) -> None:
        self._origins = tuple(_Origin(endpoint.url) for endpoint in service.endpoints)

    def rewrite(self, request: httpx.Request, endpoint: int, added: list[Header]) -> httpx.Request:
        """A copy of `request` addressed to `endpoint`, with the fields `added` in place of those of the same name."""
        url, own = request.url, request.headers.raw
        replaced = {name for name, _ in added}
        authority: bytes | None = None
        if 0 <= endpoint < len(self._origins):
            origin = self._origins[endpoint]
            authority = origin.authority
            asked = url.netloc
            url = origin.url(url.raw_path)
        headers: list[Header] = []
        for name, value in own:
            key = name.lower()
            if key == b"host" and authority is not None and value == asked:
                headers.append((name, authority))
            elif key not in replaced:
                headers.append((name, value))
        headers += added
        return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
