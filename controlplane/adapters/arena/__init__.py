"""One file of words that all processes of a host map: named regions, a place for each process, a bell for each place.

What is in the regions, and every change of it, is native code's affair (`_native/state.h` says how it stays right
without locks). Here is what no call passes through: laying the file out, who is attached, who has died, who is woken.
"""

from controlplane.adapters.arena.arena import Arena
from controlplane.adapters.arena.slots import Member

__all__ = ["Arena", "Member"]
