"""Whether a signal can be true at all: who it speaks of is there, and its numbers are possible.

An old agent, a broken exporter or a typing error in a name must neither open an incident nor move an order. Who is not
declared may still be discovered: an `EdgeSampled` names services freely, and only its numbers are looked at.
"""

from controlplane.model import signal as on
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology


def doubt(signal: Signal, topology: Topology) -> str:
    """Why `signal` is not to be believed; empty: it is. What is unknown by design (a relay's names) is judged later."""
    match signal:
        case on.EdgeSampled():  # the most frequent one; more may fail in a window than begin in it
            return "" if signal.window_ns > 0 and _counts(signal) else f"impossible counts of {signal.window_ns} ns"
        case on.Sampled() | on.CallsFinished() if not 0 <= signal.slow <= signal.calls:
            return f"{signal.slow} of {signal.calls} calls were slow"
        case on.Tripped() | on.Sampled() | on.CallsFinished() if not 0 <= signal.failures <= signal.calls:
            return f"{signal.failures} of {signal.calls} calls failed"
        case on.EntrySampled() if not (0 <= signal.failed <= signal.requests and 0 <= signal.slow <= signal.requests):
            return f"{signal.failed} failed and {signal.slow} slow of {signal.requests} requests"
        case on.Relayed() | on.FellBack() if signal.count < 1:
            return f"it happened {signal.count} times"
        case on.Heartbeat() if signal.every_ns < 0:
            return f"a beat every {signal.every_ns} ns"
        case on.Relayed() if topology.service(signal.caller) is None:
            return f"{signal.caller} is not in the topology"
        case on.FellBack() | on.Condition() if topology.service(signal.service) is None:
            return f"{signal.service} is not in the topology"
    target = getattr(signal, "target", None)
    if target is None or isinstance(signal, on.Ordered):
        return ""
    service = topology.service(target.service)
    if service is None:
        return f"{target.service} is not in the topology"
    if target.endpoint and all(endpoint.name != target.endpoint for endpoint in service.endpoints):
        return f"{target} is not in the topology"
    return ""


def _counts(signal: on.EdgeSampled) -> bool:
    if signal.calls < 0 or signal.failures < 0:
        return False
    optional = (signal.attempts, signal.timed, signal.client_latency_ns, signal.server_latency_ns, signal.in_flight)
    return all(count is None or count >= 0 for count in optional)
