"""Whether a failure feeds itself: the load-failure loop, its reproduction number, and which retries to stop.

Law of this room: where something is unknown that the answer depends on, the answer is None.
"""

from controlplane.decide.feedback.loop import Loop, Verdict, from_telemetry, reproduction_number, verdict
from controlplane.decide.feedback.retries import Retries, contain_retries

__all__ = [
    "Loop",
    "Retries",
    "Verdict",
    "contain_retries",
    "from_telemetry",
    "reproduction_number",
    "verdict",
]
