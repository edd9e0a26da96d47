"""The access log service: every stream of every proxy, told to whoever judges calls."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

import anyio.lowlevel

from controlplane._native.guard import TIMEOUT
from controlplane.adapters.proxies.envoy.call import INVALID_ARGUMENT, Call, Handler, RpcError
from controlplane.adapters.proxies.envoy.logs import Address, Entry, read_entry, read_logs
from controlplane.adapters.proxies.envoy.tell import told
from controlplane.adapters.proxies.envoy.wire import WireError
from controlplane.adapters.proxies.observe import Told, Whose, fold
from controlplane.ports import CallJudge, Clock

logger = logging.getLogger(__name__)

PATH: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
REQUESTS: Final = "controlplane.requests"  # the name of a log that is about whole calls, beside one of their attempts
TURN: Final = 100  # entries, about 3 ms, and then whoever has something to decide
CALLS_MAX: Final = 50_000  # calls that are open, or of which something is still to come


class AccessLogService:
    """Streams of entries. `entry`: what proxies are asked, users ask. `heard` is called with each message.

    `observed` calls were told; `strangers` were of endpoints that nobody declared; `malformed` messages were none.
    """

    def __init__(
        self,
        judge: CallJudge,
        endpoints: Callable[[], Mapping[tuple[str, Address], str]],
        clock: Clock,
        *,
        entry: bool,
        heard: Callable[[str, int], None] = lambda _node, _count: None,
    ) -> None:
        self.observed = self.strangers = self.malformed = 0
        self._judge, self._endpoints, self._clock, self._entry, self._heard = judge, endpoints, clock, entry, heard
        self._open: dict[tuple[str, Address | None], int] = {}  # since when we know of a call and where it is
        self._judged: dict[
            str, None
        ] = {}  # calls that were held against an endpoint before they ended, or at their end

    @property
    def handlers(self) -> dict[str, Handler]:
        """What `GrpcServer` is to serve."""
        return {PATH: self._serve}

    async def _serve(self, call: Call) -> None:
        node, name = "", ""
        while (data := await call.receive()) is not None:
            try:
                logs = read_logs(data)
                node, name = logs.node.id if logs.node else node, logs.name or name
                for number, entry in enumerate(logs.entries, 1):
                    self.tell(read_entry(entry), whole=name == REQUESTS)
                    if number % TURN == 0:
                        await anyio.lowlevel.checkpoint()
            except WireError as error:
                self.malformed += 1
                logger.warning("%s: its access log cannot be read: %s", node or call.peer, error)
                raise RpcError(INVALID_ARGUMENT, str(error)) from error
            self._heard(node, len(logs.entries))

    def tell(self, entry: Entry, *, whole: bool) -> None:
        """Tell of one entry. `whole`: attempts are told of elsewhere; what only the whole call shows is a time-out."""
        call = told(entry, self._endpoints())
        self.strangers += entry.address is not None and not call.endpoint
        if not entry.ended:
            self._overdue(entry, call)
            return
        self._open.pop((entry.request, entry.address), None)
        users = self._entry and not entry.attempt
        if self._is_evidence(entry, call, whole=whole):
            self.observed += 1
            fold(call, self._judge, entry=users)
        elif users and call.whose in (Whose.ENDPOINT, Whose.RELAYED):
            fold(call._replace(whose=Whose.PROXY), self._judge, entry=True)
        elif call.whose in (Whose.REFUSED, Whose.PROXY):
            fold(call, self._judge, entry=users)

    def _is_evidence(self, entry: Entry, call: Told, *, whole: bool) -> bool:
        """Whether a call that has ended says something about an endpoint that was not said before."""
        late = call.whose is Whose.CLIENT or call.outcome == TIMEOUT
        if late and entry.request:
            if entry.request in self._judged:
                return False
            if call.whose is Whose.ENDPOINT or call.latency_ns >= self._judge.stall_ns(call.service):
                self._note_judged(entry.request)
        return call.whose in (Whose.ENDPOINT, Whose.RELAYED, Whose.CLIENT) and (late or not whole)

    def _overdue(self, entry: Entry, call: Told) -> None:
        """A call is still open. How old it is, is how long we have known of it: clocks of two machines do not
        compare."""
        key, now = (entry.request, entry.address), self._clock.now()
        since = self._open.setdefault(key, now)
        while len(self._open) > CALLS_MAX:
            del self._open[next(iter(self._open))]
        age_ns = now - since
        if entry.request in self._judged or age_ns < self._judge.stall_ns(call.service):
            return
        self._note_judged(entry.request)
        self.observed += 1
        fold(call._replace(latency_ns=age_ns), self._judge, entry=False)

    def _note_judged(self, request: str) -> None:
        self._judged[request] = None
        while len(self._judged) > CALLS_MAX:
            del self._judged[next(iter(self._judged))]
