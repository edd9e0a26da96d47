"""What the real Envoy logs about calls, as evidence: of whom, for how long, and what is none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from anyio.abc import TaskGroup

from controlplane._native.guard import ERROR, OVERLOAD, STALLED, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.envoy.plane import EnvoyPlane
from controlplane.model.command import Isolate
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Target
from tests.integration.envoy_world import (
    Answers,
    Judge,
    Replica,
    ask,
    bootstrap,
    declared,
    envoy,
    order,
    plane_of,
    serving,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(
    params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"), pytest.param(("trio", {}), id="trio")]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Two loops of three: what is shown here is Envoy's part."""
    return request.param


class Heard(NamedTuple):
    """One replica behind an Envoy that logs, and what was heard of it."""

    replica: Replica
    judge: Judge
    plane: EnvoyPlane
    listen: int
    tasks: TaskGroup


@asynccontextmanager
async def heard(
    tmp_path: Path, *, policy: GuardPolicy | None = None, entry: bool = False, **more: Any
) -> AsyncIterator[Heard]:
    replica, judge = Replica("o0"), Judge()
    async with anyio.create_task_group() as tasks:
        await replica.start(tasks)
        ports = {"o0": replica.port}
        plane = plane_of(declared("orders", ports), judge=judge, policy=policy, routes={"/": "orders"}, entry=entry)
        async with serving(plane) as port:
            with envoy(bootstrap(port, {"orders": ports}, **more), tmp_path) as proxy:
                yield Heard(replica, judge, plane, await proxy.ready(), tasks)
        tasks.cancel_scope.cancel()


ONE = Target("orders", "o0")


@pytest.mark.parametrize("log", ["both", "calls"])
async def test_answers_are_evidence_by_their_status(tmp_path: Path, log: str) -> None:
    """Each call is told once, with its endpoint, its outcome and about the time that it took."""
    async with heard(tmp_path, log=log) as it:
        answers = Answers()
        it.tasks.start_soon(partial(ask, it.listen, answers, pause_s=0.01))
        for status, outcome in ((200, SUCCESS), (500, ERROR), (503, OVERLOAD), (404, SUCCESS)):
            it.replica.status = status
            seen = len(it.judge.results)
            await until("it is told", partial(it.judge.has, ONE, outcome, 10, after=seen))
        it.replica.status, it.replica.delay_s = 200, 0.05
        seen = len(it.judge.results) + 2
        await until("it is told", lambda: len(it.judge.results) > seen + 5)
        assert all(0.045e9 < latency < 0.15e9 for _, _, latency in it.judge.results[seen:])
        assert abs(len(it.judge.results) - len(answers.got)) < 10


@pytest.mark.parametrize("log", ["both", "calls"])
async def test_a_replica_that_hangs_is_told_of_before_its_time_out(tmp_path: Path, log: str) -> None:
    """A call that has not ended is overdue after a while, and told as such once; its end says nothing more."""
    async with heard(tmp_path, policy=GuardPolicy(deadline_s=1.0), routes="ours", log=log) as it:
        it.replica.delay_s = 3.0
        answers = Answers()
        it.tasks.start_soon(ask, it.listen, answers)
        await until("it is overdue", lambda: bool(it.judge.results))
        assert answers.got == []
        target, outcome, latency = it.judge.results[0]
        assert (target, outcome) == (ONE, STALLED)
        assert 0.2e9 <= latency < 0.9e9
        await until("it is given up", lambda: bool(answers.got))
        assert answers.got[0][2] == 504
        await until("the next one is overdue, too", lambda: len(it.judge.results) == 2)
        assert [outcome for _, outcome, _ in it.judge.results] == [STALLED, STALLED]


async def test_no_connection_is_the_endpoints_failure(tmp_path: Path) -> None:
    """Where nobody listens Envoy answers 503 itself, and it is the endpoint's failure nevertheless; cut off, too."""
    async with heard(tmp_path) as it:
        answers = Answers()
        it.replica.delay_s = 0.05
        it.tasks.start_soon(ask, it.listen, answers)
        await until("it is asked", lambda: bool(it.replica.arrivals))
        it.replica.stop()
        await until("failures are told", lambda: len([one for one in it.judge.results if one[:2] == (ONE, ERROR)]) > 20)
        assert {outcome for _, outcome, _ in it.judge.results} <= {SUCCESS, ERROR}


@pytest.mark.parametrize("log", ["both", "calls"])
async def test_time_outs_of_envoy_are_the_endpoints(tmp_path: Path, log: str) -> None:
    """A call that Envoy gives up before it was overdue is a time-out of its endpoint."""
    async with heard(tmp_path, policy=GuardPolicy(deadline_s=0.05), routes="ours", log=log) as it:
        it.replica.delay_s = 3.0
        it.tasks.start_soon(ask, it.listen, Answers())
        await until("it is told", lambda: bool(it.judge.results))
        assert it.judge.results[0][:2] == (ONE, TIMEOUT)


@pytest.mark.parametrize("log", ["both", "calls"])
async def test_what_the_plane_refuses_is_no_evidence(tmp_path: Path, log: str) -> None:
    """503s of an isolated service are refusals by order, seen by users and held against nobody."""
    async with heard(tmp_path, log=log, entry=True) as it:
        await it.plane.apply(order(Isolate(), "orders"))
        answers = Answers()
        it.tasks.start_soon(ask, it.listen, answers)
        await until("requests are refused", lambda: len(answers.got) > 100)
        assert {status for _, _, status, _ in answers.got} == {503}
        await until("they are told as refused", lambda: it.judge.refused > 50)
        assert it.judge.results == []
        assert it.judge.users == []


async def test_clients_that_leave_are_no_evidence(tmp_path: Path) -> None:
    """A call whose client left early says nothing about the endpoint."""
    async with heard(tmp_path) as it:
        it.replica.delay_s = 0.1
        for _ in range(5):
            async with await anyio.connect_tcp("127.0.0.1", it.listen) as client:
                before = len(it.replica.arrivals)
                await client.send(b"GET / HTTP/1.1\r\nhost: any\r\n\r\n")
                await until("it arrives", partial(lambda before: len(it.replica.arrivals) > before, before))
        it.replica.delay_s = 0.0
        it.tasks.start_soon(ask, it.listen, Answers())
        await until("calls are told", lambda: len(it.judge.results) > 20)
        assert {outcome for _, outcome, _ in it.judge.results} == {SUCCESS}


@pytest.mark.parametrize("log", ["both", "calls"])
async def test_a_relayed_failure_names_its_cause(tmp_path: Path, log: str) -> None:
    """An answer that names the service further down is held against that one; one that a guard refused against
    nobody."""
    async with heard(tmp_path, log=log, entry=True) as it:
        it.replica.status, it.replica.headers = 502, {"controlplane-cause": "database"}
        it.tasks.start_soon(partial(ask, it.listen, Answers(), pause_s=0.01))
        await until("it is told", lambda: ("orders", "database") in it.judge.relays)
        assert it.judge.results == []
        await until("the user's failure is told", lambda: bool(it.judge.users))
        assert all(it.judge.users)
        it.replica.headers = {"controlplane-refused": "concurrency"}
        await until("it is told", lambda: it.judge.refused > 5)
        assert it.judge.results == []
