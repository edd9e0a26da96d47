"""What a process that is ours alone sets for itself once it has started: `controlplane serve`, the demo's hosts.

A plane that is embedded leaves both to the program around it, whose other threads and objects it does not know
(docs/concepts/loops.md).
"""

import gc
import sys

SWITCH_S = 0.0005
"""A thread that wants the interpreter gets it from a busy one after this long; Python's default is 5 ms. An append to
the journal gives the interpreter back some eight times, and in a busy gateway may wait so long each time; so may the
event loop whenever the writing thread is at work."""


def settle() -> None:
    """Keep the garbage collector off what lives as long as the process, and no thread waiting long for another.

    Walking all that was imported and configured takes tens of milliseconds, in which nothing is answered.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
