"""Rolls back by a gate: a progressive deployer asks us at each step, and is told to roll back.

Nothing is started here. The roll-back has begun when the deployer has asked and got the answer; whether it helped shows
at the endpoints, which are watched like after any other.
"""

import anyio

from controlplane.model.command import Command, RollBack


class GateDeployer:
    """A `ports.Deployer` for a service whose deployer asks `GET /v1/gates/{service}`."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._told: dict[str, anyio.Event] = {}

    def told(self, version: str) -> None:
        """The deployer has asked, and was told to roll `version` back; it may be quicker than the order is."""
        self._told.setdefault(version, anyio.Event()).set()

    async def roll_back(self, command: Command) -> tuple[bool, str]:
        """Wait until the deployer has asked."""
        assert isinstance(command.intent, RollBack)
        with anyio.move_on_after(self._timeout_s):
            await self._told.setdefault(command.intent.version, anyio.Event()).wait()
            return True, "its deployer asked the gate and was told to roll back"
        return False, f"no deployer has asked the gate within {self._timeout_s:g} s"
