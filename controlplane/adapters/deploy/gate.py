"""Rolls back by a gate: a progressive deployer asks us at each step, and is told to roll back.

Nothing is started here. The roll-back has begun when the deployer has asked and got the answer; whether it helped shows
at the endpoints, which are watched like after any other.
"""

import anyio

from controlplane.model.command import Command


class GateDeployer:
    """A `ports.Deployer` for a service whose deployer asks `GET /v1/gates/{service}`."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._waiting: list[anyio.Event] = []

    def told(self) -> None:
        """The deployer has asked, and was told to roll back."""
        for event in self._waiting:
            event.set()

    async def roll_back(self, command: Command) -> tuple[bool, str]:
        """Wait until the deployer has asked."""
        del command  # what is to be rolled back stands in the answer to the deployer
        event = anyio.Event()
        self._waiting.append(event)
        try:
            with anyio.move_on_after(self._timeout_s):
                await event.wait()
                return True, "its deployer asked the gate and was told to roll back"
        finally:
            self._waiting.remove(event)
        return False, f"no deployer has asked the gate within {self._timeout_s:g} s"
