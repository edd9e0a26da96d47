"""From `http://orders/path` to the endpoint that was chosen.

The Host field becomes the endpoint's authority, as any client that dials it would send: virtual hosts, certificates and
redirects of third parties depend on it. A Host field that the program set to something of its own is kept.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import httpx

from controlplane.model.topology import Service

_URLS_MAX: Final = 512  # per endpoint; parsing a URL costs more than everything else here together

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


class _Origin:
    __slots__ = ("authority", "base", "prefix", "urls")

    def __init__(self, url: str) -> None:
        self.base = httpx.URL(url)
        self.authority = self.base.netloc.decode()
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
    """Rewrites requests for one service to its endpoints; a service without endpoints is dialled by its own name.

    `sender` gives what sends to an endpoint's URL, or for the service of that name to whatever the request says.
    """

    def __init__(self, service: Service, sender: Callable[[httpx.URL | str], Send]) -> None:
        self._name = service.name
        self._origins = tuple(_Origin(endpoint.url) for endpoint in service.endpoints)
        self._senders = tuple(sender(origin.base) for origin in self._origins) or (sender(service.name),)

    def sender(self, endpoint: int) -> Send:
        """What sends a request that was rewritten to `endpoint`."""
        return self._senders[endpoint]  # -1, no endpoint, is the only one there then

    def rewrite(self, request: httpx.Request, endpoint: int, added: Mapping[str, str]) -> httpx.Request:
        """A copy of `request` addressed to `endpoint`, with the fields `added` in place of those of the same name."""
        url, authority = request.url, ""
        if 0 <= endpoint < len(self._origins):
            origin = self._origins[endpoint]
            asked = request.headers.get("host")
            if asked == self._name or asked == url.netloc.decode():  # the first spares building the second
                authority = origin.authority
            url = origin.url(url.raw_path)
        # the constructor copies the headers, so that the program's own request stays as it was
        copy = httpx.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        if authority:
            copy.headers["Host"] = authority
        for name, value in added.items():
            copy.headers[name] = value
        return copy
