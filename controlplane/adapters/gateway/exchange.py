"""One guarded request from admission to the head of its answer: attempts, retries within budget, one redrive."""

import time
from contextlib import suppress
from random import random
from typing import Final

import anyio
import httpx

from controlplane._native.guard import CLOSED, CRITICAL, DEFAULT, ERROR, SHEDDABLE, TIMEOUT, Permit, now_ns
from controlplane.adapters.failure import failure_kind
from controlplane.adapters.gateway.address import Address
from controlplane.adapters.gateway.context import blame, inbound
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.headers import (
    ATTEMPT,
    DEADLINE_MS,
    PRIORITY,
    PUSHBACK,
    Priority,
    pushback_s,
    retry_after_s,
)
from controlplane.adapters.gateway.inflight import Attempt
from controlplane.adapters.gateway.once import report_once
from controlplane.adapters.gateway.refusal import DEADLINE, RefusedError
from controlplane.adapters.gateway.refusal import retry_after_s as refusal_retry_after_s
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.adapters.gateway.stream import SettlingStream
from controlplane.adapters.gateway.verdict import Relay, disown, relay, replayable

# what goes wrong on our side of the wire and says nothing about the callee: our own pool is full, the program made a
# request that cannot be sent, a guard further in refused
_OURS: Final = (httpx.PoolTimeout, httpx.LocalProtocolError, httpx.UnsupportedProtocol, RefusedError)


IMPORTANCE: Final = {Priority.CRITICAL: CRITICAL, Priority.DEFAULT: DEFAULT, Priority.SHEDDABLE: SHEDDABLE}
APART: Final = 0.1  # of the wait that a callee asked for: those it asked in one instant do not come back in one


class _Ended:
    """How an attempt ended: an answer or an error; `kind` 0: it may be delivered as it is."""

    __slots__ = ("cause", "endpoint", "error", "kind", "probe", "relief", "response")

    def __init__(self, permit: Permit) -> None:
        self.endpoint, self.probe = permit.endpoint, permit.probe
        self.response: httpx.Response | None = None
        self.error: httpx.TransportError | None = None
        self.kind = 0
        self.cause = ""  # whom a failure is laid to; empty: nobody
        self.relief: Permit | None = None

    async def discard(self) -> None:
        """Another attempt follows: give the connection back."""
        if self.response is not None:
            # a connection that is not closed is lost to the pool; one that breaks while closing is no news
            with anyio.CancelScope(shield=True), suppress(httpx.TransportError):
                await self.response.aclose()


class Exchange:
    """One request to `service`. `admit` first; where it returns None, `run`."""

    def __init__(self, guards: GuardSet, service: ServiceGuard, address: Address, request: httpx.Request) -> None:
        self._guards, self._service, self._address, self._request = guards, service, address, request
        self._policy = service.policy
        self._now = anyio.current_time()
        self._inbound = inbound.get()
        self._deadline = self._now + min(self._policy.deadline_s, _patience_s(request))
        # a caller's deadline, or an ordered one, may be shorter than any answer could be: missing it is then no
        # evidence against the endpoint
        self._hurried = self._inbound is not None and self._inbound.deadline < self._deadline
        if self._inbound is not None and self._hurried:
            self._deadline = self._inbound.deadline
        self._replayable = replayable(request, keys=self._policy.idempotency_keys)
        self._redrivable = self._replayable and self._policy.redrive
        self._head_only = request.method == "HEAD"
        self._attempts = 1
        self._permit: Permit | None = None

    def admit(self) -> RefusedError | None:
        """Ask the guard; the error to raise if it refuses, or if there is no time left."""
        name = self._service.name
        if self._deadline <= self._now:
            blame(name)
            return RefusedError(name, DEADLINE, request=self._request)
        answer = self._service.guard.try_acquire_for(self._importance(), self._deadline_ns())
        if isinstance(answer, Permit):
            self._permit = answer
            self._tighten()
            return None
        blame(self._guards.guard_of(name) if answer.reason == CLOSED else name)
        return RefusedError(name, answer.part, refusal_retry_after_s(answer), request=self._request)

    def _tighten(self) -> None:
        """The call is about to be made: an order may give it less time than its own deadline does."""
        ordered_ns = self._service.guard.deadline_ns()
        if ordered_ns and self._now + ordered_ns / 1e9 < self._deadline:
            self._deadline, self._hurried = self._now + ordered_ns / 1e9, True

    def _importance(self) -> int:
        """What the guard calls the priority of the request that is being served."""
        return DEFAULT if self._inbound is None else IMPORTANCE[self._inbound.priority]

    def _deadline_ns(self) -> int | None:
        """When a user stops waiting, as the guard's time; None: nobody said. Our own bound on a call is not that."""
        return now_ns() + round((self._deadline - self._now) * 1e9) if self._hurried else None

    async def run(self) -> httpx.Response:
        """The answer, or the transport error of the last attempt raised."""
        permit, started = self._permit, self._now
        assert permit is not None
        while True:
            ended = await self._attempt(permit, started)
            if not ended.kind and ended.relief is None:
                break  # nearly always
            following = await self._following(ended)
            if following is None:
                break
            permit, started = following, anyio.current_time()
        if ended.cause:
            blame(ended.cause)
        if ended.error is not None:
            raise ended.error
        assert ended.response is not None
        if ended.endpoint >= 0:
            ended.response.extensions["endpoint"] = self._service.endpoints[ended.endpoint]
        return ended.response

    async def _attempt(self, permit: Permit, started: float) -> _Ended:
        """Send once and settle, except for a success, which is settled by the end of its body."""
        ended = _Ended(permit)
        limit = min(self._deadline, started + self._policy.attempt_timeout_s)
        outgoing = self._address.rewrite(self._request, permit.endpoint, self._added(limit - started))
        send = self._address.sender(permit.endpoint)
        scope = anyio.CancelScope(deadline=limit)
        attempt = self._enter(permit, scope, started)
        try:
            with scope:
                ended.response = await send(outgoing)
        except httpx.TransportError as error:
            ended.error = error
        except BaseException:
            self._leave(attempt)
            self._settle(permit, 0)
            if attempt is not None and attempt.relief is not None:
                self._settle(attempt.relief, 0)
            raise
        self._leave(attempt)
        if attempt is not None and attempt.relief is not None:
            self._redrivable = False
            ended.relief = attempt.relief
        try:
            self._judge(ended, permit, started, limit)
        except Exception:
            report_once("judging an answer")
        if ended.response is None and ended.error is None:
            ended.error = httpx.ReadTimeout(f"no answer from {self._service.name} in time", request=self._request)
        if ended.relief is not None and ended.response is not None and not ended.kind:
            self._settle(ended.relief, 0)  # the answer came in the moment in which it was given up
            ended.relief = None
        return ended

    def _judge(self, ended: _Ended, permit: Permit, started: float, limit: float) -> None:
        """Settle `permit` by what happened, as far as it says something about the endpoint."""
        now = anyio.current_time()
        lagged = self._guards.stall.lagged_since(started, now, limit)
        response, error, name = ended.response, ended.error, self._service.name
        if response is not None:
            self._judge_response(ended, response, permit, started, now, lagged=lagged)
        elif ended.relief is not None and error is None:
            self._service.cancel(permit)  # given up in favour of another endpoint
        elif error is None or isinstance(error, httpx.TimeoutException):
            ours = isinstance(error, httpx.PoolTimeout)
            hurried = (
                error is None and self._hurried and limit == self._deadline and now - started < self._service.stall_s
            )
            ended.kind, ended.cause = TIMEOUT, name
            self._settle(permit, 0 if ours or hurried or lagged else TIMEOUT)
        elif isinstance(error, _OURS):
            self._service.cancel(permit)
        else:
            ended.kind, ended.cause = ERROR, name
            self._service.fail(permit, ERROR)

    def _judge_response(
        self, ended: _Ended, response: httpx.Response, permit: Permit, started: float, now: float, *, lagged: bool
    ) -> None:
        service = self._service
        if service.service.external:
            disown(response)
        kind = failure_kind(response.status_code)
        if not kind:
            permit.answered()
            doubtful = lagged and 0 < service.slow_ns <= (now - started) * 1e9
            stream = SettlingStream(
                response, service, permit, self._guards.stall, now, head_only=self._head_only, doubtful=doubtful
            )
            if response.is_closed:  # a transport without a wire hands over the whole body at once
                stream.finish()
            else:
                response.stream = stream
            return
        whose, ended.cause = relay(response, service.name, external=service.service.external)
        if whose is Relay.OWN:
            ended.kind = kind
            service.fail(permit, kind)
            return
        if whose is Relay.RELAYED:  # another replica would meet the same dead dependency: not worth a retry
            service.relay(permit)
            self._guards.relayed(service.name, ended.cause)
        else:
            permit.answered()  # refused is an answer, too: it has not stalled
            service.cancel(permit)
            ended.kind = kind

    async def _following(self, ended: _Ended) -> Permit | None:
        """The permit for another attempt, None to deliver what there is. Discards what is not delivered."""
        if ended.relief is None and ended.kind and self._replayable:
            try:
                ended.relief = self._redrive(ended) or await self._retry(ended)
            except Exception:
                report_once("deciding on a retry")
            except BaseException:
                await ended.discard()
                raise
        if ended.relief is not None:
            await ended.discard()
        return ended.relief

    def _redrive(self, ended: _Ended) -> Permit | None:
        """A second life for a call that failed on an endpoint which is out by now, perhaps by this very failure, or
        would be if it were not kept by a cap."""
        guard = self._service.guard
        if not self._redrivable or not self._service.enforced or ended.endpoint < 0:
            return None
        if not ended.probe and not guard.is_ejected(ended.endpoint) and not guard.is_kept(ended.endpoint):
            return None
        self._redrivable = False
        answer = guard.try_redrive(ended.endpoint)
        return answer if isinstance(answer, Permit) else None

    async def _retry(self, ended: _Ended) -> Permit | None:
        """One of the policy's own attempts, when the callee wishes, within deadline and budget."""
        if self._attempts >= self._policy.attempts or self._is_retry():
            return None
        now = anyio.current_time()
        wait_s = _wanted_s(ended.response)
        guard = self._service.guard
        if wait_s < 0 or now + wait_s >= self._deadline or not guard.may_retry():
            return None  # nobody is kept waiting for a retry that will not be made
        if wait_s:
            apart = 1 + APART * random()  # noqa: S311 - no secret: it only spreads callers out
            await anyio.sleep(min(wait_s * apart, self._deadline - now))
        answer = guard.try_again(ended.endpoint)
        if not isinstance(answer, Permit):
            return None
        self._attempts += 1
        return answer

    def _is_retry(self) -> bool:
        """Whether somebody above tries again already: tries at every layer multiply (n attempts in d layers are n^d
        calls at the bottom), and the one above will have another."""
        return self._inbound is not None and self._inbound.attempt > 1

    def _added(self, left_s: float) -> dict[str, str]:
        """Fields that tell our own services how long we wait and what the request is worth; none for strangers."""
        if self._service.service.external:
            return {}
        added = {DEADLINE_MS: str(max(1, int(left_s * 1e3)))}
        if self._inbound is not None and self._inbound.priority is not Priority.DEFAULT:
            added[PRIORITY] = self._inbound.priority.name.lower()
        attempt = max(self._attempts, 1 if self._inbound is None else self._inbound.attempt)
        if attempt > 1:
            added[ATTEMPT] = str(attempt)
        return added

    def _enter(self, permit: Permit, scope: anyio.CancelScope, now: float) -> Attempt | None:
        try:
            inflight = self._guards.stall.inflight
            return inflight.enter(self._service, permit, scope, now, redrivable=self._redrivable)
        except Exception:
            report_once("entering an attempt")
            return None

    def _leave(self, attempt: Attempt | None) -> None:
        if attempt is not None:
            self._guards.stall.inflight.leave(attempt)

    def _settle(self, permit: Permit, kind: int) -> None:
        if kind:
            self._service.fail(permit, kind)
        else:
            self._service.cancel(permit)


def _wanted_s(response: httpx.Response | None) -> float:
    """Seconds that the callee wishes to be left alone; below zero: it does not want to be asked again."""
    if response is None:
        return 0.0
    pushed_s = pushback_s(response.headers.get(PUSHBACK))
    if pushed_s is not None:
        return pushed_s
    return retry_after_s(response.headers.get("retry-after"), time.time()) or 0.0


def _patience_s(request: httpx.Request) -> float:
    """How long the program waits, by the timeouts it gave httpx: those of one attempt's phases, so their longest."""
    timeout = request.extensions.get("timeout")
    if not isinstance(timeout, dict) or timeout.get("read") is None:
        return float("inf")
    longest: float = max([value for value in timeout.values() if value is not None])
    return longest
