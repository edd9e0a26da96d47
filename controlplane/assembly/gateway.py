"""The standalone process's reverse proxy, over a plane's own guards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from controlplane.adapters.gateway.middleware import EntryOptions
from controlplane.adapters.gateway.proxy import reverse_proxy
from controlplane.model.config import GatewaySection

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from controlplane.assembly.plane import Plane


@asynccontextmanager
async def gateway_of(plane: "Plane") -> "AsyncIterator[ASGIApp]":
    """The application that `[gateway]` of `plane` describes. Leaving closes its connections."""
    section = plane.config.gateway or GatewaySection()
    options = EntryOptions(
        slow_s=section.slow_s, concurrency_max=section.concurrency_max, trust_priority=section.trust_priority
    )
    # the guard policy of each service bounds its calls; a second clock in the client would only blur the verdict
    async with httpx.AsyncClient(transport=plane.transport(), timeout=None) as client:  # noqa: S113
        yield plane.middleware(reverse_proxy(section.routes, client), options)
