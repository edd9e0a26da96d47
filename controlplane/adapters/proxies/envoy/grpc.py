"""The server's side of streaming gRPC over HTTP/2, as much as a discovery service needs.

Peers are proxies, and may be broken, hostile or gone: everything that a peer makes grow has a bound (`Limits`),
nobody is waited for without one, and one connection's trouble ends that connection and nothing else.
"""

import logging
from collections.abc import Mapping

import anyio
import h2.exceptions
from anyio.abc import ByteStream, Listener, TaskStatus

from controlplane.adapters.proxies.envoy.call import Gone, Handler, Limits, Room
from controlplane.adapters.proxies.envoy.connection import Connection

logger = logging.getLogger(__name__)


class GrpcServer:
    """Serves `handlers`, by path. `connections` are open now; `refused` were turned away, `broken` broke the
    protocol."""

    def __init__(self, handlers: Mapping[str, Handler], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.room = Room(self.limits.buffered_bytes_max)
        self.connections = self.refused = self.broken = 0
        self._handlers = dict(handlers)

    async def serve(
        self, listener: Listener[ByteStream], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept until cancelled; then close what is open."""
        async with listener:
            task_status.started()
            await listener.serve(self._connected)

    async def _connected(self, stream: ByteStream) -> None:
        async with stream:
            if self.connections >= self.limits.connections_max:
                self.refused += 1
                return
            self.connections += 1
            try:
                await Connection(stream, self._handlers, self.limits, self.room).run()
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError, Gone):
                pass  # peers leave
            except h2.exceptions.ProtocolError as error:
                self.broken += 1
                logger.warning("a peer of the discovery service does not speak HTTP/2: %s", error)
            except Exception:  # a mistake of ours ends one connection
                logger.exception("a connection of the discovery service broke")
            finally:
                self.connections -= 1
