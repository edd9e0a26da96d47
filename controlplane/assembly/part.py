"""The parts of a plane that are made of its configuration, and the hands that join them."""

from typing import TYPE_CHECKING

from anyio.abc import TaskStatus

from controlplane.adapters.stores.memory import MemoryJournal
from controlplane.decide.state import State
from controlplane.model.command import Command, RollBack
from controlplane.model.config import Config
from controlplane.model.input import Setup
from controlplane.model.topology import Topology
from controlplane.ports import Journal

if TYPE_CHECKING:
    from controlplane.adapters.gateway.host import Host
    from controlplane.assembly.plane import Plane


class InMode:
    """The guards as a data plane that is never a mode behind: guards that only observe would ignore an order and say
    nothing, as at a restart whose configured mode is not the one ordered last."""

    def __init__(self, plane: "Plane") -> None:
        self._plane = plane

    async def apply(self, command: Command) -> None:
        """As `GuardSet.apply`, in the engine's mode; a roll-back goes to the deployer of its service."""
        if isinstance(command.intent, RollBack):
            await self._plane._deployers.apply(command)
            return
        self._plane._follow_mode()
        await self._plane._guards.apply(command)


class Started(TaskStatus[None]):
    """Tells the plane first, and then whoever waits, that the loop has started."""

    def __init__(self, plane: "Plane", task_status: TaskStatus[None]) -> None:
        self._plane, self._task_status = plane, task_status

    def started(self, value: None = None) -> None:
        """Pass it on."""
        self._plane._on_started()
        self._task_status.started(value)


def enforced(state: State) -> int:
    """1: reflexes and orders act; 0: observe only."""
    return int(state.mode == "enforce")


def host_of(config: Config, topology: Topology, *, steers: bool) -> "Host | None":
    """What this process shares with the others of its host; None without `[arena]`. Raises ArenaError."""
    if config.arena is None:
        return None
    from controlplane.adapters.gateway.host import Host

    return Host(config.arena.path, topology, workers=config.arena.workers, role="steers" if steers else "follows")


def journal_of(config: Config, *, steers: bool) -> Journal:
    """The configured journal; one in memory where none is named, or somebody else steers."""
    if not config.journal.path or not steers:
        return MemoryJournal()
    from controlplane.adapters.stores.sqlite import SqliteJournal

    return SqliteJournal(config.journal.path, inputs_max=config.journal.inputs_max)


def setup_of(config: Config, topology: Topology) -> Setup | None:
    """What a replay begins with, where inputs are kept."""
    if not config.journal.inputs_max:
        return None
    from controlplane import __version__
    from controlplane.decide.schema import schema_id

    policy = config.response_policy()
    return Setup(
        program=__version__,
        schema=schema_id(),
        topology=topology,
        policy=policy,
        graph=config.graph,
        playbooks=config.playbooks,
        people=config.people(),
    )
