"""Incident-response control plane: contains a failure faster than it spreads.

    plane = controlplane.Plane.load("controlplane.toml")
    async with plane, httpx.AsyncClient(transport=plane.transport()) as client:
        await client.get("http://orders/42")

Every name below is imported when it is first used, so that `import controlplane` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from controlplane._native.guard import Guard, Permit, Refusal
    from controlplane.adapters.gateway.transport import RefusedError
    from controlplane.admin import create_app as admin_app
    from controlplane.assembly import Plane
    from controlplane.config import load_config
    from controlplane.model.config import Config
    from controlplane.model.errors import ConfigError, ControlPlaneError, JournalBusy, JournalError
    from controlplane.model.notice import Notice
    from controlplane.model.policy import GuardPolicy, ResponsePolicy
    from controlplane.model.topology import Endpoint, Service, Topology

__all__ = [
    "Plane",
    "load_config",
    "Config",
    "Topology",
    "Service",
    "Endpoint",
    "GuardPolicy",
    "ResponsePolicy",
    "Guard",
    "Permit",
    "Refusal",
    "RefusedError",
    "Notice",
    "admin_app",
    "ControlPlaneError",
    "ConfigError",
    "JournalError",
    "JournalBusy",
    "__version__",
]

_HOMES = {
    "Plane": "assembly",
    "load_config": "config",
    "Config": "model.config",
    "Topology": "model.topology",
    "Service": "model.topology",
    "Endpoint": "model.topology",
    "GuardPolicy": "model.policy",
    "ResponsePolicy": "model.policy",
    "Guard": "_native.guard",
    "Permit": "_native.guard",
    "Refusal": "_native.guard",
    "RefusedError": "adapters.gateway.transport",
    "Notice": "model.outcome",
    "admin_app": "admin",
    "ControlPlaneError": "model.errors",
    "ConfigError": "model.errors",
    "JournalError": "model.errors",
    "JournalBusy": "model.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    value: object = getattr(home, "create_app" if name == "admin_app" else name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
