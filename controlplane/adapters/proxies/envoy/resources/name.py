"""What things are called in a proxy's configuration; people write these names in theirs."""

from typing import Final

CONTAINED: Final = ".contained"
LAYER: Final = "controlplane"  # of the runtime
ROUTES: Final = "controlplane"  # of the routes, where the plane serves them


def contained(service: str) -> str:
    """The cluster that has what the plane leaves of `service`."""
    return service + CONTAINED


def service_of(cluster: str) -> str:
    """The service that a cluster is of."""
    return cluster.removesuffix(CONTAINED)


def led_key(service: str) -> str:
    """The runtime key that leads so many percent of the calls to the contained cluster."""
    return f"controlplane.{service}.contained"


def shed_key(service: str, keep: str) -> str:
    """The runtime key that refuses so many percent of the calls less important than `keep`."""
    return f"controlplane.{service}.shed_below_{keep}"


def deadline_key(service: str) -> str:
    """The runtime key that bounds so many percent of the calls by the deadline in force."""
    return f"controlplane.{service}.deadline"


def shed_route(service: str) -> str:
    """The route that refuses calls to `service`, as a log names it."""
    return _SHED + service


def service_shed(route: str) -> str:
    """The service whose calls that route refuses; "" where it is another route."""
    return route.removeprefix(_SHED) if route.startswith(_SHED) else ""


_SHED: Final = "controlplane.shed."
