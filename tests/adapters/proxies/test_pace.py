"""Limits that proxies hold find their size as the guard's do: by how calls end."""

import anyio
import pytest

from controlplane._native.guard import ERROR, OVERLOAD, STALLED, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.pace import CALLS_MAX, STEP_S, Pace
from controlplane.adapters.proxies.wanted import Wanted
from controlplane.model.command import Command, Intent, Limit, Restore
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos
from tests.adapters.proxies.judge import RecordingJudge

ORDERS = Target("orders")
NOW = Nanos(0)


def paced() -> tuple[Pace, Wanted, RecordingJudge]:
    wanted, heard = Wanted({"orders": ("a", "b"), "stock": ("s",)}), RecordingJudge()
    return Pace(heard, wanted), wanted, heard


def order(pace: Pace, wanted: Wanted, intent: Intent, number: int = 1) -> None:
    wanted.apply(
        Command(
            id=CommandId(f"c{number}"),
            epoch=Epoch(1),
            incident=IncidentId("i1"),
            target=ORDERS,
            intent=intent,
            lease_until=Nanos(1_000),
        ),
        NOW,
    )
    pace.ordered()


def ends(pace: Pace, outcome: int, times: int, service: str = "orders") -> None:
    for _ in range(times):
        pace.ended(Target(service, "a"), outcome, 1_000)


def test_answers_let_it_grow_and_losses_take_a_call_each() -> None:
    """From where the order says, by a quarter for each round at first; whole numbers are what is wanted."""
    pace, wanted, _ = paced()
    order(pace, wanted, Limit(1))
    assert wanted.service("orders").concurrency == 1
    ends(pace, SUCCESS, 3)
    assert pace.step() == []
    ends(pace, SUCCESS, 4)
    assert pace.step() == ["orders"]
    assert wanted.service("orders").concurrency == 2
    ends(pace, SUCCESS, 160)
    pace.step()
    grown = wanted.service("orders").concurrency
    assert 11 <= grown <= 13
    ends(pace, TIMEOUT, 3)
    ends(pace, OVERLOAD, 2)
    assert pace.step() == ["orders"]
    assert wanted.service("orders").concurrency == grown - 5
    ends(pace, TIMEOUT, 100)
    pace.step()
    assert wanted.service("orders").concurrency == 1


def test_what_is_no_sign_of_load_does_not_count() -> None:
    """An error is none, nor is a call that is only overdue, nor what becomes of another service."""
    pace, wanted, _ = paced()
    order(pace, wanted, Limit(8))
    ends(pace, ERROR, 50)
    ends(pace, STALLED, 50)
    ends(pace, TIMEOUT, 50, service="stock")
    assert pace.step() == []
    assert wanted.service("orders").concurrency == 8


def test_a_limit_that_is_renewed_goes_on_and_one_that_is_new_begins() -> None:
    """A renewed lease is no reason to begin again; what was taken back is forgotten."""
    pace, wanted, _ = paced()
    order(pace, wanted, Limit(2))
    ends(pace, SUCCESS, 100)
    pace.step()
    grown = wanted.service("orders").concurrency
    assert grown > 2
    order(pace, wanted, Limit(2), 2)
    assert wanted.service("orders").concurrency == grown
    order(pace, wanted, Limit(3), 3)
    pace.step()
    assert wanted.service("orders").concurrency == 3
    order(pace, wanted, Restore(), 4)
    assert pace.step() == []
    assert wanted.sized == {}
    order(pace, wanted, Limit(2), 5)
    assert wanted.service("orders").concurrency == 2


def test_a_limit_never_grows_without_bound() -> None:
    """A million answers later it is one that nobody feels, and no more."""
    pace, wanted, _ = paced()
    order(pace, wanted, Limit(2))
    ends(pace, SUCCESS, 50_000)
    pace.step()
    assert wanted.service("orders").concurrency == CALLS_MAX


def test_the_judge_behind_it_hears_everything() -> None:
    """Whatever the limits make of it, nothing that was told is kept back."""
    pace, _, heard = paced()
    ends(pace, TIMEOUT, 1)
    pace.relayed("orders", "stock")
    pace.asked(failed=True, latency_ns=5)
    pace.shed()
    assert heard.calls == [("orders/a", TIMEOUT, 1_000)]
    assert (heard.relays, heard.requests, heard.refused) == ([("orders", "stock")], [(True, 5)], 1)
    assert pace.stall_ns("orders") == heard.stall_ns("orders")


@pytest.mark.anyio
async def test_proxies_are_told_a_few_times_a_second_while_there_is_a_limit() -> None:
    """Without one nothing wakes; with one, each change is told within a step."""
    pace, wanted, _ = paced()
    moved: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pace.run, moved.append)
        await anyio.wait_all_tasks_blocked()
        order(pace, wanted, Limit(1))
        ends(pace, SUCCESS, 8)
        with anyio.fail_after(20 * STEP_S):
            while not moved:
                await anyio.sleep(STEP_S)  # real time: the pace goes by it
        tasks.cancel_scope.cancel()
    assert moved == ["orders"]
