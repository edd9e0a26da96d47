"""Whether those whom a signal speaks of are there at all.

An old agent or a typing error in a name must neither open an incident nor move an order. Who is not declared may still
be discovered: an `EdgeSampled` names services freely, and a relay names its cause in a header, which is judged later.
"""

from controlplane.model import signal as on
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology


def unknown(signal: Signal, topology: Topology) -> str:
    """Whom of those that `signal` names nobody has declared; empty: it names none such."""
    match signal:
        case on.Relayed() if topology.service(signal.caller) is None:
            return f"{signal.caller} is not in the topology"
        case on.FellBack() | on.Condition() | on.Changed() | on.VersionsCounted() if (
            topology.service(signal.service) is None
        ):
            return f"{signal.service} is not in the topology"
    target = getattr(signal, "target", None)
    if target is None or isinstance(signal, on.Ordered):
        return ""  # a person gets an answer, not a notice
    service = topology.service(target.service)
    if service is None:
        return f"{target.service} is not in the topology"
    if target.endpoint and all(endpoint.name != target.endpoint for endpoint in service.endpoints):
        return f"{target} is not in the topology"
    return ""
