"""The incoming side: user requests are counted, deadlines kept, overload is shed, causes of failure are named."""

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import anyio
import httpx
import msgspec

from controlplane.adapters.gateway.answer import GRPC_EXHAUSTED, Answer, answer_to
from controlplane.adapters.gateway.context import Inbound, inbound
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.headers import (
    ATTEMPT,
    CAUSE,
    DEADLINE_MS,
    ENVOY_ATTEMPT,
    PRIORITY,
    Priority,
    attempt,
    grpc_timeout_s,
    milliseconds_s,
    priority,
)
from controlplane.model.policy import Count, PositiveSeconds, Share

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SHED: Final = "shed"
TRY_AGAIN_LATER: Final = 1013  # of the registry that RFC 6455 begins
PRIORITY_FIELD: Final = PRIORITY.encode()
CAUSE_FIELD: Final = CAUSE.encode()
ATTEMPT_FIELDS: Final = (ATTEMPT.encode(), ENVOY_ATTEMPT.encode())
_DEADLINES: Final = {
    DEADLINE_MS.encode(): milliseconds_s,
    b"x-envoy-expected-rq-timeout-ms": milliseconds_s,
    b"grpc-timeout": grpc_timeout_s,
}
logger = logging.getLogger("controlplane.gateway")


class EntryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the incoming side is judged and protected.

    `slow_s` from the request to the answer's head. `concurrency_max` requests at a time (0: no limit), of which the
    classes below critical get a share, so that they are shed first. Where strangers call, switch `trust_priority`
    off: their `critical` is then worth no more than `default`.
    """

    slow_s: PositiveSeconds = 1.0
    concurrency_max: Count = 0
    sheddable_percent: Share = 70
    default_percent: Share = 90
    retry_after_s: PositiveSeconds = 1.0
    trust_priority: bool = True

    def admitted_max(self, wanted: Priority) -> int:
        """Requests in flight up to which one of priority `wanted` is admitted."""
        percent = (self.sheddable_percent, self.default_percent, 100)[wanted]
        return max(1, self.concurrency_max * percent // 100)


DEFAULTS: Final = EntryOptions()


class GuardMiddleware:
    """ASGI middleware around `app`; counts into `guards`. Only `http` scopes are its business.

    A request is in flight until its body is sent. A client that goes away, or a cancelled request, is neither success
    nor failure. An `httpx.TransportError` that escapes the application is answered: 503 for a refusal, 504 for a
    time-out, else 502. Every 5xx after a guarded call failed carries `controlplane-cause`, so that callers do not
    blame the messenger.
    """

    def __init__(self, app: App, guards: GuardSet, options: EntryOptions = DEFAULTS) -> None:
        self._app, self._guards, self._options = app, guards, options
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] != "http":
            if scope["type"] == "websocket" and self._guards.doors.refuses(scope.get("path", "")) is not None:
                await _turn_away(receive, send)
                return
            await self._app(scope, receive, send)
            return
        request = _Request(self, self._options, self._guards, send)
        request.read(scope["headers"])
        if (closed := self._guards.doors.refuses(scope.get("path", ""))) is not None:
            self._guards.entry.shed()
            await request.answer(
                Answer(503, refused=closed.part, cause=closed.guard, retry_after_s=closed.retry_after_s), send
            )
            return
        if self._options.concurrency_max and self.in_flight >= self._options.admitted_max(request.about.priority):
            self._guards.entry.shed()
            answer = Answer(503, refused=SHED, retry_after_s=self._options.retry_after_s, grpc_status=GRPC_EXHAUSTED)
            await request.answer(answer, send)
            return
        await request.serve(self._app, scope, receive)


async def _turn_away(receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it is accepted: a server answers 403 then."""
    if (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})


class _Request:
    """One request on its way through."""

    def __init__(self, owner: GuardMiddleware, options: EntryOptions, guards: GuardSet, send: Send) -> None:
        self._owner, self._options, self._guards, self._send = owner, options, guards, send
        self._started = anyio.current_time()
        self.about = Inbound()
        self._grpc = False
        self._status = 0
        self._head_s = 0.0
        self._in_flight = False
        self._gone = False
        self._late = False

    def read(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over deadline, priority and which attempt it is. What does not parse is ignored."""
        for name, value in headers:
            if (parse := _DEADLINES.get(name)) is not None:
                left_s = parse(value.decode("latin-1"))
                if left_s is not None:
                    self._late = self._late or left_s <= 0
                    self.about.deadline = min(self.about.deadline, self._started + left_s)
            elif name == PRIORITY_FIELD:
                wanted = priority(value.decode("latin-1"))
                ceiling = Priority.CRITICAL if self._options.trust_priority else Priority.DEFAULT
                self.about.priority = min(wanted, ceiling)
            elif name in ATTEMPT_FIELDS:
                self.about.attempt = max(self.about.attempt, attempt(value.decode("latin-1")))
            elif name == b"content-type":
                self._grpc = value.startswith(b"application/grpc")

    async def serve(self, app: App, scope: Scope, receive: Receive) -> None:
        """Run the application for this request."""
        self._owner.in_flight += 1
        self._in_flight = True

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and self._in_flight:
                self._gone = True
            return message

        token = inbound.set(self.about)
        try:
            await app(scope, heard, self._sent)
        except httpx.HTTPError as error:
            answer = answer_to(error, self.about.cause or "") if not self._status else None
            if answer is None or self._gone:
                self._end(failed=True)
                raise
            logger.warning("answered %d: %s", answer.status, error)
            await self.answer(answer, self._sent)
        except Exception:
            self._end(failed=True)
            raise
        finally:
            inbound.reset(token)
            # still in flight here: cancelled, or the application returned without a complete answer
            self._leave()

    async def answer(self, answer: Answer, send: Send) -> None:
        """Answer in the application's place."""
        status, headers, body = answer.render(grpc=self._grpc)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._head_s = anyio.current_time() - self._started
            if self._status >= 500 and self.about.cause is not None:
                message = self._named(message, self.about.cause)
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._end(failed=self._status >= 500)

    def _named(self, message: Message, cause: str) -> Message:
        headers = list(message.get("headers", ()))
        if any(name.lower() == CAUSE_FIELD for name, _ in headers):
            return message
        return {**message, "headers": [*headers, (CAUSE_FIELD, cause.encode())]}

    def _end(self, *, failed: bool) -> None:
        """Count once, unless the client went away first, or came without any time left: failing that is not ours."""
        if not self._in_flight:
            return
        self._leave()
        if self._gone or (failed and self._late):
            return
        waited_s = self._head_s if self._status else anyio.current_time() - self._started
        self._guards.entry.ended(failed=failed, slow=waited_s >= self._options.slow_s, again=self.about.attempt > 1)

    def _leave(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self._owner.in_flight -= 1


__all__ = ["App", "EntryOptions", "GuardMiddleware"]
