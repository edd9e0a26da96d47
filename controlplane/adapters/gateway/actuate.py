"""Commands, as calls of the native guard."""

from controlplane.adapters.gateway.service import EDGE, ServiceGuard
from controlplane.model.command import Command, Eject, Isolate, Limit, Probe, Restore, Weigh
from controlplane.model.errors import ActuationError


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
    """Put `command` in force for `lease_ns`. Raises ActuationError where intent and target do not go together."""
    guard, intent = service.guard, command.intent
    try:
        match intent:
            case Eject() if index != EDGE:
                guard.eject(index, lease_ns, command.signal_at)
                if service.enforced and not guard.is_ejected(index):
                    raise ActuationError(
                        f"{command.target} is the last usable endpoint here and stays",
                        retryable=False,
                        rule="healthy_floor",
                    )
            case Isolate() if index == EDGE:
                guard.isolate(lease_ns, command.signal_at)
            case Limit() if index == EDGE:
                guard.limit(intent.concurrency, lease_ns, command.signal_at)
            case Probe():
                guard.probe(index, lease_ns)
            case Weigh():
                guard.weigh(index, intent.percent, lease_ns)
            case Restore():
                guard.restore(index)
            case _:
                wanted = "an endpoint" if isinstance(intent, Eject) else "a service, not one endpoint of it"
                name = type(intent).__name__
                raise ActuationError(f"{name} is about {wanted}; its target is {command.target}", retryable=False)
    except (ValueError, OverflowError) as error:
        raise ActuationError(f"{type(intent).__name__} of {command.target}: {error}", retryable=False) from error
