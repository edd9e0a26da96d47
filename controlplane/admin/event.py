"""Records as server-sent events: live, resumable by sequence number, never a burden on the loop that makes them.

Fifty who look on while fifty faults are answered are thousands of events, and the answers would wait behind each. So
events are written down once for all, everything that is at hand goes out as one part, a follower gets twenty parts a
second at most, and hardly two of them get theirs in the same turn of the loop.
"""

import anyio
import msgspec
from starlette.types import Receive, Scope, Send

from controlplane.admin.problem import Problem, problem_response
from controlplane.assembly import Plane
from controlplane.model.errors import JournalError
from controlplane.model.record import Record
from controlplane.runtime.follow import Follower

HEARTBEAT_S = 15.0  # proxies cut quiet connections after 30 to 60 s
FOLLOWERS_MAX = 100  # each one holds a connection, and takes its turn below
PACE_S = 0.05  # between two parts for one follower: people do not see the difference
TURN_S = 0.001  # from one follower to the next; loops know no shorter time
PART_RECORDS_MAX = 250
PARTS_KEPT = 32  # written down, for those who come to the same place a little later


class EventFeed:
    """Everybody who follows one plane's records."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.followers = 0
        self._ended = anyio.Event()
        self._parts: dict[int, tuple[int, bytes]] = {}

    def end(self) -> None:
        """End every stream: a server that stops would otherwise wait for its followers for ever."""
        self._ended.set()

    def stream(self, last_event_id: str | None) -> "EventStream":
        """A response that goes on after `last_event_id`. Raises Problem when it is no number or the feed is full."""
        after = self._plane.statistics().last_number
        if last_event_id:
            if not last_event_id.isdecimal() or len(last_event_id) > 18:
                raise Problem(400, f"Last-Event-ID {last_event_id[:40]!r} is not a sequence number")
            after = int(last_event_id)
        if not self._plane.ready:
            raise Problem(503, "the plane is not running, so there is nothing to follow", headers={"retry-after": "1"})
        if self.followers >= FOLLOWERS_MAX:
            raise Problem(503, f"{FOLLOWERS_MAX} clients follow already", headers={"retry-after": "5"})
        return EventStream(self, self._plane, after)

    def part(self, records: Follower, item: tuple[int, Record]) -> bytes:
        """`item` and what follows on it at hand, written down: once, for all who come to the same place."""
        first, known = item[0], self._parts.get(item[0])
        if known is None:
            lines, last = [_event(*item)], first
            while len(lines) < PART_RECORDS_MAX and (more := records.take_nowait()) is not None:
                lines.append(_event(*more))
                last = more[0]
            known = self._parts[first] = last, b"".join(lines)
            if len(self._parts) > PARTS_KEPT:
                del self._parts[next(iter(self._parts))]
        records.skip_to(known[0])
        return known[1]

    async def wait_ended(self) -> None:
        """Return when the feed is told to end."""
        await self._ended.wait()


class EventStream:
    """One follower's response: lasts until the client goes, the plane stops or the feed ends."""

    def __init__(self, feed: EventFeed, plane: Plane, after: int) -> None:
        self._feed, self._plane, self._after = feed, plane, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response. Streams live in tasks of this call, so nothing outlives the request."""
        if self._feed.followers >= FOLLOWERS_MAX:  # many may have been let in since `stream` looked
            await problem_response(Problem(503, "too many clients follow already"))(scope, receive, send)
            return
        turn_s = self._feed.followers * TURN_S
        self._feed.followers += 1
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
                group.start_soon(_cancel_when_ended, self._feed, group.cancel_scope)
                await self._send_all(send, turn_s)
                group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._feed.followers -= 1

    async def _send_all(self, send: Send, turn_s: float) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _send_part(send, b"retry: 1000\n: records of the control plane\n\n")
        async with self._plane.follow(self._after) as records:
            while True:
                item = None
                with anyio.move_on_after(HEARTBEAT_S):
                    try:
                        item = await records.receive()
                    except (anyio.EndOfStream, JournalError):
                        return  # the plane has stopped, or this follower is too slow: it comes back with its last id
                if item is None:
                    await _send_part(send, b": still here\n\n")
                    continue
                await anyio.sleep(turn_s)  # whoever is woken by the same record is woken now
                await _send_part(send, self._feed.part(records, item))
                await anyio.sleep(PACE_S)


def _event(sequence: int, record: Record) -> bytes:
    kind = str(record.__struct_config__.tag).encode()
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (sequence, kind, msgspec.json.encode(record))


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _cancel_when_gone(receive: Receive, cancel_scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    cancel_scope.cancel()


async def _cancel_when_ended(feed: EventFeed, cancel_scope: anyio.CancelScope) -> None:
    await feed.wait_ended()
    cancel_scope.cancel()
