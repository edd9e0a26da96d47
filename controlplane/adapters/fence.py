"""Order at a data plane: a stale plan from a slow enactor never overwrites a newer one.

Enactors are delayed arbitrarily, so it is the data plane that must refuse what comes too late. Two numbers decide: the
epoch of the engine that ordered, and within one epoch the number of the command, which the engine counts up. What an
engine orders again (a renewal, a restart) has the same number and is taken; a renewal that an even later one has
overtaken does no more than let the order lapse sooner.
"""

import re
from typing import NamedTuple

from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    FailOver,
    Harden,
    Intent,
    Restore,
    RollBack,
    Shed,
    Tighten,
)
from controlplane.model.errors import StaleCommand, StaleEpoch
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Epoch

_NUMBER = re.compile(r"\d+$")
_SIDES: dict[type[Intent], str] = {
    FailOver: "fail_over",
    CapRetries: "cap_retries",
    Shed: "shed",
    Tighten: "tighten",
    Close: "close",
    Harden: "harden",
    RollBack: "roll_back",
}


class _Seen(NamedTuple):
    number: int
    command: CommandId
    gives_back: bool  # such a one and an older one that gives everything back do not contradict each other


class Fence:
    """What one data plane has taken so far: the newest epoch and, in it, the newest command about each thing.

    A target has one order about its traffic and one of each kind beside it (`Command.intent`); they do not overtake
    each other. Giving everything back overtakes them all. Grows with the topology, not with time.
    """

    def __init__(self) -> None:
        self.epoch = Epoch(0)
        self._seen: dict[tuple[Target, str], _Seen] = {}
        self._restored: dict[Target, _Seen] = {}

    def check(self, command: Command) -> None:
        """Raise StaleEpoch or StaleCommand if `command` comes too late. Its epoch is obeyed from now on, whether or not
        the command can be; whoever waits for something after this checks again before the effect."""
        if command.epoch < self.epoch:
            raise StaleEpoch(self.epoch, command.epoch)
        if command.epoch > self.epoch:
            self.epoch = command.epoch
            self._seen.clear()
            self._restored.clear()
            return
        number, what = _number(command), _what(command.intent)
        known = [self._seen.get((command.target, what)), self._restored.get(command.target)]
        if isinstance(command.intent, Restore) and not command.intent.what:
            known = [
                seen for (target, _), seen in self._seen.items() if target == command.target and not seen.gives_back
            ]
        for seen in known:
            if seen is not None and seen.number > number:
                raise StaleCommand(seen.command, command.id)

    def note(self, command: Command) -> None:
        """`command`, which was checked, is in force."""
        seen = _Seen(_number(command), command.id, isinstance(command.intent, Restore))
        if isinstance(command.intent, Restore) and not command.intent.what:
            before = self._restored.get(command.target)
            if before is None or before.number <= seen.number:
                self._restored[command.target] = seen
        key = command.target, _what(command.intent)
        before = self._seen.get(key)
        if before is None or before.number <= seen.number:
            self._seen[key] = seen


def _number(command: Command) -> int:
    found = _NUMBER.search(command.id)
    return int(found[0]) if found else 0


def _what(intent: Intent) -> str:
    return intent.what if isinstance(intent, Restore) else _SIDES.get(type(intent), "")
