"""How trouble travels over a call graph: blame down the calls, blast up them, and how long until it fills a pool.

Law of this room: arrays in, arrays out, over the compiled kernels; what comes in wrong is refused by its name.
"""

from controlplane.decide.propagation.callgraph import CallGraph
from controlplane.decide.propagation.figures import Blame, Blast
from controlplane.decide.propagation.follow import Propagation
from controlplane.decide.propagation.sweep import blame_flow, blast_radius, time_to_impact, time_to_reach

__all__ = [
    "Blame",
    "Blast",
    "CallGraph",
    "Propagation",
    "blame_flow",
    "blast_radius",
    "time_to_impact",
    "time_to_reach",
]
