"""For which share of the calls an order holds, and what is left of it then: the same at every data plane."""

from controlplane.model.command import Command
from controlplane.model.errors import ActuationError


def share_of(command: Command) -> int:
    """Percent of the calls to which `command` applies. Raises ActuationError for a share that is none."""
    if command.enforcement == "full":
        return 100
    if not 1 <= command.percent <= 100:
        raise ActuationError(f"{command.id} is to be enforced for {command.percent} % of the calls", retryable=False)
    return command.percent


def part_of(percent: int, share: int) -> int:
    """`share` percent of `percent`; of something that is to happen, never nothing."""
    return percent if share == 100 else max(1 if percent > 0 else 0, round(percent * share / 100))
