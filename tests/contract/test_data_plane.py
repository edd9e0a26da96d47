"""Every data plane keeps order by itself: what an older engine or a slower task sends late overwrites nothing."""

import itertools
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native.guard import now_ns
from controlplane.adapters.clock import SystemClock
from controlplane.adapters.fence import Fence
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.proxies.wanted import Wanted
from controlplane.decide.engine import Engine
from controlplane.model.command import (
    CapRetries,
    Command,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    Probe,
    Restore,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError, StaleCommand, StaleEpoch
from controlplane.model.policy import GuardPolicy, ResponsePolicy
from controlplane.model.signal import Cause, Ordered, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from controlplane.ports import DataPlane
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import MemoryJournal, RecordingDataPlane

pytestmark = pytest.mark.anyio

TOPOLOGY = Topology(
    entry="web",
    services=(
        Service(name="web", calls=("orders",)),
        Service(
            name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}") for n in range(1, 5))
        ),
    ),
)
ONE = Target("orders", "o1")


def guards() -> GuardSet:
    return GuardSet(TOPOLOGY, {"default": GuardPolicy()}, seed=3)


class WantedPlane:
    """What every proxy adapter does with an order before it speaks to its proxy."""

    def __init__(self) -> None:
        self.wanted = Wanted({"orders": ("o1", "o2", "o3", "o4")})

    async def apply(self, command: Command) -> None:
        self.wanted.apply(command, Nanos(now_ns()))


PLANES: dict[str, Callable[[], Any]] = {"recording": RecordingDataPlane, "guards": guards, "wanted": WantedPlane}


@pytest.fixture(params=sorted(PLANES))
def plane(request: pytest.FixtureRequest) -> Any:
    return PLANES[request.param]()


def is_held(plane: Any, target: Target = ONE) -> bool:
    """Whether the endpoint is out of traffic."""
    if isinstance(plane, RecordingDataPlane):
        return target in plane.in_force and isinstance(plane.in_force[target].intent, Eject)
    if isinstance(plane, WantedPlane):
        return plane.wanted.endpoint(target).ejected
    return bool(plane.guard(target.service).is_ejected(int(target.endpoint.removeprefix("o")) - 1))


def order(number: int, intent: Intent, *, epoch: int = 1, target: Target = ONE) -> Command:
    return Command(
        id=CommandId(f"c{number}"),
        epoch=Epoch(epoch),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=Nanos(now_ns() + 60 * SECOND),
        signal_at=Nanos(now_ns()),
    )


async def test_twice_is_once(plane: Any) -> None:
    """The same command again, as after a restart or for a renewal, is taken and changes nothing."""
    eject = order(1, Eject())
    await plane.apply(eject)
    await plane.apply(eject)
    assert is_held(plane)


async def test_an_older_epoch_never_wins(plane: Any) -> None:
    """Whatever it orders and however high its numbers are."""
    await plane.apply(order(1, Restore(), epoch=2))
    for number, intent in enumerate((Eject(), Probe(), Restore()), 100):
        with pytest.raises(StaleEpoch) as refused:
            await plane.apply(order(number, intent, epoch=1))
        assert not refused.value.retryable
    assert not is_held(plane)


async def test_an_older_command_never_wins(plane: Any) -> None:
    """Within one epoch, too: a command that was overtaken on its way is refused, also by what gives back."""
    await plane.apply(order(3, Restore()))
    with pytest.raises(StaleCommand, match="c2 was overtaken by c3"):
        await plane.apply(order(2, Eject()))
    assert not is_held(plane)
    await plane.apply(order(4, Eject()))
    with pytest.raises(StaleCommand):
        await plane.apply(order(3, Restore()))
    assert is_held(plane)


async def test_orders_about_different_targets_do_not_overtake_each_other(plane: Any) -> None:
    """Their order is their own."""
    await plane.apply(order(5, Eject(), target=Target("orders", "o2")))
    await plane.apply(order(4, Eject(), target=ONE))
    assert is_held(plane)


@pytest.mark.parametrize("kind", sorted(PLANES))
async def test_a_stale_plan_from_a_slow_enactor_overwrites_nothing(kind: str) -> None:
    """Two control loops over one data plane; the older one is delayed after it decided, until the newer one has
    restored. Its order arrives last, and is refused."""
    plane = PLANES[kind]()
    store: Any = []
    released, refused = anyio.Event(), anyio.Event()

    class Delayed:
        """The same data plane, at the end of a slow way."""

        async def apply(self, command: Command) -> None:
            if not isinstance(command.intent, Eject):
                return
            with anyio.CancelScope(shield=True):
                await released.wait()
            try:
                await plane.apply(command)
            except ActuationError:
                refused.set()
                raise

    def loop_over(target: DataPlane) -> ControlLoop:
        return ControlLoop(
            Engine(TOPOLOGY, ResponsePolicy(blast_budget_percent=100)),
            clock=SystemClock(),
            journal=MemoryJournal(store),
            data_planes=[target],
            apply_timeout_s=60.0,
        )

    older, newer = loop_over(Delayed()), loop_over(plane)
    async with anyio.create_task_group() as tasks:
        await tasks.start(older.run)
        at = SystemClock().now()
        older.submit_nowait(Tripped(at=at, target=ONE, cause=Cause.ERRORS, calls=5, failures=5, contained=True))
        await anyio.wait_all_tasks_blocked()
        await tasks.start(newer.run)  # it orders the ejection again, under its own epoch
        with anyio.fail_after(20):
            while not is_held(plane):
                await anyio.wait_all_tasks_blocked()
        await newer.execute(Ordered(at=SystemClock().now(), order="observe", by="alice"))  # everything is given back
        assert not is_held(plane)
        released.set()
        with anyio.fail_after(20):
            await refused.wait()
        assert not is_held(plane)
        tasks.cancel_scope.cancel()


INTENTS: list[Intent] = [
    Eject(),
    Isolate(),
    Probe(),
    Weigh(50),
    Limit(1),
    FailOver(50),
    CapRetries(),
    Shed("critical"),
    Tighten(100),
    Restore(),
    Restore("shed"),
]
sent = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 10), st.booleans()), min_size=2, max_size=7)


@given(sent, st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_in_whatever_order_commands_arrive_the_newest_stands(plans: list[tuple[int, int, bool]], dice: Any) -> None:
    """Epochs, kinds and arrivals at random: what stands in the end is what would stand had all come in order."""
    ordered = [
        order(number, INTENTS[kind], epoch=epoch, target=ONE if first else Target("orders", "o2"))
        for number, (epoch, kind, first) in enumerate(sorted(plans), 1)
    ]
    arriving = list(ordered)
    dice.shuffle(arriving)
    assert _standing(arriving) == _standing(ordered)


def _standing(commands: list[Command]) -> dict[tuple[Target, str], str]:
    """What is in force after those of `commands` that a fence lets through."""
    fence, standing = Fence(), dict[tuple[Target, str], str]()
    newest = max(command.epoch for command in commands)
    for command in commands:
        try:
            fence.check(command)
        except (StaleEpoch, StaleCommand):
            continue
        fence.note(command)
        intent = command.intent
        kind = intent.what if isinstance(intent, Restore) else str(intent.__struct_config__.tag)
        kind = kind if kind in ("fail_over", "cap_retries", "shed", "tighten") else ""
        if isinstance(intent, Restore):
            for key in [key for key in standing if key[0] == command.target and (not intent.what or key[1] == kind)]:
                del standing[key]
        else:
            standing[command.target, kind] = f"{command.epoch} {command.id}"
    return {key: value for key, value in standing.items() if value.startswith(f"{newest} ")}


def test_a_fence_does_not_grow_with_time() -> None:
    """It remembers as much as there are targets, however many commands come."""
    fence = Fence()
    for number in itertools.count(1):
        command = order(number, Eject() if number % 2 else Restore(), target=Target("orders", f"o{number % 4}"))
        fence.check(command)
        fence.note(command)
        if number == 2_000:
            break
    assert len(fence._seen) + len(fence._restored) <= 8
