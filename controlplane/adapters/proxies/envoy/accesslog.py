"""The access log service: every stream of every proxy, told to whoever judges calls."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from controlplane.adapters.proxies.envoy.call import INVALID_ARGUMENT, Call, Handler, RpcError
from controlplane.adapters.proxies.envoy.logs import Address, Entry, read_logs
from controlplane.adapters.proxies.envoy.tell import told
from controlplane.adapters.proxies.envoy.wire import WireError
from controlplane.adapters.proxies.observe import Whose, fold
from controlplane.ports import CallJudge

logger = logging.getLogger(__name__)

PATH: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
REQUESTS: Final = "controlplane.requests"  # the name of a log that is about users' requests, beside one of attempts
OVERDUE_MAX: Final = 10_000  # calls of one stream that were told as overdue, and will be told of once more


class AccessLogService:
    """Streams of entries. `entry`: what proxies are asked, users ask. `heard` is called once for each message.

    `observed` calls were told; `strangers` were of no declared service or endpoint; `malformed` messages were none.
    """

    def __init__(
        self,
        judge: CallJudge,
        endpoints: Callable[[], Mapping[tuple[str, Address], str]],
        *,
        entry: bool,
        heard: Callable[[str, int], None] = lambda _node, _count: None,
    ) -> None:
        self.observed = self.strangers = self.malformed = 0
        self._judge, self._endpoints, self._entry, self._heard = judge, endpoints, entry, heard

    @property
    def handlers(self) -> dict[str, Handler]:
        """What `GrpcServer` is to serve."""
        return {PATH: self._serve}

    async def _serve(self, call: Call) -> None:
        node, name = "", ""
        overdue: dict[str, None] = {}
        while (data := await call.receive()) is not None:
            try:
                logs = read_logs(data)
            except WireError as error:
                self.malformed += 1
                logger.warning("%s: its access log cannot be read: %s", node or call.peer, error)
                raise RpcError(INVALID_ARGUMENT, str(error)) from error
            node, name = logs.node.id if logs.node else node, logs.name or name
            for entry in logs.entries:
                self._tell(entry, overdue, requests_only=name == REQUESTS)
            self._heard(node, len(logs.entries))

    def _tell(self, entry: Entry, overdue: dict[str, None], *, requests_only: bool) -> None:
        """Tell of one call, once: a call that was told as overdue was judged, however it ends."""
        call = told(entry, self._endpoints())
        if not call.service or (entry.address is not None and not call.endpoint):
            self.strangers += 1
        judged = entry.stream in overdue
        if not entry.ended:
            if judged or requests_only or call.latency_ns < self._judge.stall_ns(call.service):
                return
            overdue[entry.stream] = None
            while len(overdue) > OVERDUE_MAX:
                del overdue[next(iter(overdue))]
        elif judged or requests_only:  # what is left to say is what the user saw
            overdue.pop(entry.stream, None)
            call = call._replace(whose=Whose.PROXY) if call.whose in (Whose.ENDPOINT, Whose.RELAYED) else call
            if call.whose is Whose.CLIENT:
                return
        self.observed += 1
        fold(call, self._judge, entry=self._entry and entry.ended and not entry.attempt)
