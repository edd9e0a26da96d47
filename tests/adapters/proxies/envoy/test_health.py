"""The health discovery service without an Envoy: what is asked for, what is believed, what is left out."""

import anyio
import pytest

from controlplane.adapters.proxies.envoy.call import RpcError
from controlplane.adapters.proxies.envoy.health import HealthService, read
from controlplane.adapters.proxies.envoy.wire import WireError, fields, message, text, uint
from controlplane.model.signal import ProbeFinished, Target
from controlplane.model.topology import Endpoint, Service
from controlplane.model.unit import SECOND
from controlplane.testing import VirtualClock

pytestmark = pytest.mark.anyio

ORDERS = Service(
    name="orders",
    probe_path="health",
    endpoints=(Endpoint(name="a", url="http://10.0.0.1:80"), Endpoint(name="b", url="http://10.0.0.2:80")),
)
SECRET = Service(name="secret", probe_path="/", endpoints=(Endpoint(name="s", url="https://10.0.0.3:443"),))
QUIET = Service(name="quiet", endpoints=(Endpoint(name="q", url="http://10.0.0.4:80"),))
ADDRESSES = {
    ("orders", "a"): ("10.0.0.1", 80),
    ("orders", "b"): ("10.0.0.2", 80),
    ("secret", "s"): ("10.0.0.3", 443),
    ("quiet", "q"): ("10.0.0.4", 80),
}


class Line:
    """A call whose peer says what the test says."""

    peer = "an envoy"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.say, self._said = anyio.create_memory_object_stream[bytes | None](100)

    async def receive(self) -> bytes | None:
        return await self._said.receive()

    async def send(self, data: bytes) -> None:
        self.sent.append(data)


def health(cluster: str, host: str, status: int, port: int = 80) -> bytes:
    """A report about one endpoint."""
    endpoint = message(1, message(1, message(1, text(2, host), uint(3, port))))
    return message(2, message(2, text(1, cluster), message(2, message(2, endpoint, uint(2, status)))))


class Desk:
    """The service, its clock, and how often it rang."""

    def __init__(self) -> None:
        self.clock, self.rings = VirtualClock(), 0
        self.addresses = dict(ADDRESSES)
        self.service = HealthService(
            [ORDERS, SECRET, QUIET],
            lambda: self.addresses,
            self.clock,
            every_ns=SECOND,
            timeout_ns=3 * SECOND,
            ring=self._ring,
        )
        self.line = Line()

    def _ring(self) -> None:
        self.rings += 1

    async def hear(self, *said: bytes, after_s: float = 1.0) -> list[tuple[str, bool]]:
        """What is told after the peer has asked, and said that."""
        self.clock.advance(after_s)
        for one in (message(1), *said, None):
            self.line.say.send_nowait(one)
        with anyio.fail_after(5):
            await self.service.handlers.popitem()[1](self.line)  # type: ignore[arg-type]
        return [(str(one.target), one.ok) for one in self.service.take()]


async def test_only_services_with_a_path_that_speak_plainly_are_asked() -> None:
    """With the path, the interval, and a time-out within it."""
    clusters = [bytes(value) for number, value in fields(memoryview(Desk().service.specifier())) if number == 1]  # type: ignore[arg-type]
    assert len(clusters) == 1
    assert b"orders" in clusters[0]
    assert b"/health" in clusters[0]
    (check,) = [value for number, value in fields(memoryview(clusters[0])) if number == 2]
    timeout, interval = [bytes(value) for number, value in fields(check) if number in (1, 2)]  # type: ignore[arg-type]
    assert timeout == interval == uint(1, 1)


async def test_states_are_results_or_nothing() -> None:
    """Healthy and degraded answer; unhealthy and timed out do not; what was not asked yet, or leaves, says nothing."""
    for status, says in ((1, True), (5, True), (2, False), (4, False), (0, None), (3, None), (99, None)):
        expected = [] if says is None else [("orders/a", says)]
        assert await Desk().hear(health("orders", "10.0.0.1", status)) == expected


async def test_strangers_are_left_out() -> None:
    """Another address, another cluster, a service that nobody was to ask: no proxy speaks of what is not its matter."""
    desk = Desk()
    strange = [
        health("orders", "10.9.9.9", 2),
        health("orders", "10.0.0.1", 2, port=81),
        health("billing", "10.0.0.1", 2),
        health("quiet", "10.0.0.4", 2),
        message(2, message(2, text(1, "orders"), message(2, message(2, uint(2, 2))))),
    ]
    assert await desk.hear(*strange) == []
    assert desk.rings == 0


async def test_the_same_again_is_no_other_result() -> None:
    """An Envoy that reports in a loop passes no endpoint three times within an interval."""
    desk = Desk()
    assert await desk.hear(*[health("orders", "10.0.0.1", 1)] * 50) == [("orders/a", True)]
    assert desk.service.observed == 1
    assert desk.rings == 1


async def test_who_asks_is_told_again_when_endpoints_have_moved() -> None:
    """Whom to ask follows the addresses of now."""
    desk = Desk()
    async with anyio.create_task_group() as tasks:
        desk.line.say.send_nowait(message(1))
        tasks.start_soon(desk.service.handlers.popitem()[1], desk.line)
        await anyio.wait_all_tasks_blocked()
        desk.addresses["orders", "a"] = ("10.0.0.77", 80)
        desk.service.moved()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [b"10.0.0.77" in sent for sent in desk.line.sent] == [False, True]


async def test_what_is_no_message_ends_the_call_and_nothing_else() -> None:
    """It is counted, and nothing of it is believed."""
    desk = Desk()
    whole = health("orders", "10.0.0.1", 2)
    with pytest.raises(RpcError, match="33 are left"):
        await desk.hear(whole[:-1])
    assert desk.service.malformed == 1
    assert desk.service.take() == []
    for end in range(1, len(whole)):
        try:
            told = list(read(whole[:end]))
        except WireError:
            continue
        assert told == []
    (one,) = read(whole)
    assert (one.cluster, one.address, one.status) == ("orders", ("10.0.0.1", 80), 2)


async def test_results_are_probes_with_the_time_of_here() -> None:
    """Clocks of two machines are not compared."""
    desk = Desk()
    before = desk.clock.now()
    desk.line.say.send_nowait(health("orders", "10.0.0.2", 4))
    desk.line.say.send_nowait(None)
    await desk.service.handlers.popitem()[1](desk.line)  # type: ignore[arg-type]
    (probe,) = desk.service.take()
    assert before <= probe.at <= desk.clock.now()
    assert probe == ProbeFinished(at=probe.at, target=Target("orders", "b"), ok=False)
