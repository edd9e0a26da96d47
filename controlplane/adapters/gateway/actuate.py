"""Commands, as calls of the native guard.

Enforced for `percent` of the calls, an order becomes one of the same kind that is so much weaker: an endpoint that is
to be ejected, or a service that is to be isolated, keeps the rest of its share; what sheds, moves or caps a part of the
calls does so for that part of the part. Only a limit on what is in flight has no such half.
"""

from typing import Final, assert_never

from controlplane._native.guard import (
    CRITICAL,
    DEFAULT,
    HEALTHY,
    PART_CAP_RETRIES,
    PART_CLOSE,
    PART_FAIL_OVER,
    PART_HARDEN,
    PART_SHED,
    PART_TIGHTEN,
)
from controlplane.adapters.gateway.service import EDGE, ServiceGuard
from controlplane.adapters.share import part_of, share_of
from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    Eject,
    FailOver,
    Harden,
    Isolate,
    Limit,
    Probe,
    Restore,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError
from controlplane.model.unit import MILLISECOND

KEPT: Final = {"critical": CRITICAL, "default": DEFAULT}
PARTS: Final = {
    "fail_over": PART_FAIL_OVER,
    "cap_retries": PART_CAP_RETRIES,
    "shed": PART_SHED,
    "tighten": PART_TIGHTEN,
    "close": PART_CLOSE,
    "harden": PART_HARDEN,
}
_OF_A_SERVICE: Final = (Isolate, Limit, FailOver, CapRetries, Shed, Tighten, Close, Harden)


def endpoint_index(service: ServiceGuard, command: Command) -> int:
    """Native index of what `command` is about. Raises ActuationError where this process knows no such endpoint."""
    if not command.target.endpoint:
        return EDGE
    index = service.index(command.target.endpoint)
    if index is None:
        known = ", ".join(service.endpoints) or "none"
        raise ActuationError(f"no endpoint {command.target} here; known: {known}", retryable=False)
    return index


def actuate(service: ServiceGuard, index: int, command: Command, lease_ns: int) -> None:
    """Put `command` in force for `lease_ns`, for as many of the calls as it says.

    Raises ActuationError where intent and target do not go together, where the guard would not do it, and where it
    cannot be done to a part of the calls.
    """
    intent = command.intent
    wrong = index == EDGE if isinstance(intent, Eject) else isinstance(intent, _OF_A_SERVICE) and index != EDGE
    if wrong:
        wanted = "an endpoint" if isinstance(intent, Eject) else "a service, not one endpoint of it"
        raise ActuationError(
            f"{type(intent).__name__} is about {wanted}; its target is {command.target}", retryable=False
        )
    share = share_of(command)
    try:
        _order(service, index, command, lease_ns, share)
    except (ValueError, OverflowError) as error:
        raise ActuationError(f"{type(intent).__name__} of {command.target}: {error}", retryable=False) from error


def _order(service: ServiceGuard, index: int, command: Command, lease_ns: int, share: int) -> None:
    guard, signal_at = service.guard, command.signal_at
    match command.intent:
        case Eject():
            _eject(service, index, command, lease_ns, share)
        case Isolate() if share < 100:
            guard.weigh(EDGE, 100 - share, lease_ns)
        case Isolate():
            guard.isolate(lease_ns, signal_at)
        case Limit() if share < 100:
            raise ActuationError(
                f"Limit holds all calls in flight to {command.target}: it is not to be had for {share} % of them",
                retryable=False,
            )
        case Limit(concurrency=concurrency):
            guard.limit(concurrency, lease_ns, signal_at)
        case Probe():
            guard.probe(index, lease_ns)
        case Weigh(percent=percent):
            # -1 and 2**80 stay what they are, for the guard to refuse
            guard.weigh(index, percent if share == 100 else 100 - part_of(100 - percent, share), lease_ns)
        case FailOver(percent=percent):
            _fail_over(service, command, part_of(percent, share), lease_ns)
        case CapRetries(percent=percent):
            # the calls that are not meant keep the retries of the policy
            rest = guard.policy()["retry_percent"] * (100 - share)
            guard.cap_retries(percent if share == 100 else (percent * share + rest) // 100, lease_ns, signal_at)
        case Shed(keep=keep, percent=percent):
            guard.shed(KEPT[keep], part_of(percent, share), lease_ns, signal_at)
        case Tighten(deadline_ms=deadline_ms):
            guard.tighten(deadline_ms * MILLISECOND, lease_ns, signal_at, share)
        case Close():
            guard.close(share, lease_ns, signal_at)
        case Harden():
            raise ActuationError(f"{command.target} has no sensitive routes here: its own gateway has", retryable=False)
        case Restore(what=""):
            guard.restore(index)
        case Restore(what=what):
            guard.restore_part(index, PARTS[what])
        case RollBack():
            pass  # a deployer's
        case _ as unknown:
            assert_never(unknown)


def _eject(service: ServiceGuard, index: int, command: Command, lease_ns: int, share: int) -> None:
    guard = service.guard
    if share == 100:
        guard.eject(index, lease_ns, command.signal_at)
        stays = not guard.is_ejected(index)
    else:
        others = (other for other in range(len(service.endpoints)) if other != index)
        stays = not any(guard.endpoint(other)["state"] == HEALTHY for other in others)
        if not stays:
            guard.weigh(index, 100 - share, lease_ns)
    if service.enforced and stays:
        reason = f"{command.target} is the last usable endpoint here and stays"
        raise ActuationError(reason, retryable=False, rule="healthy_floor")


def _fail_over(service: ServiceGuard, command: Command, percent: int, lease_ns: int) -> None:
    guard = service.guard
    if len({endpoint.priority for endpoint in service.service.endpoints}) < 2:
        raise ActuationError(f"no endpoint of {command.target} stands by: all have the same priority", retryable=False)
    guard.fail_over(percent, lease_ns, command.signal_at)
    if service.enforced and not guard.describe()["failed_over"]:
        guard.restore_part(EDGE, PART_FAIL_OVER)
        raise ActuationError(f"the endpoints of {command.target} that stand by have no room", retryable=False)
