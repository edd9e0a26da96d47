"""What must hold at every step of a plane, watched from outside.

Law of this room: nothing here is taken from the engine's own state or safety rules. The watcher keeps books of its own,
from what goes in (signals) and what comes out (records and commands), so that a bug in the engine's bookkeeping cannot
hide itself.
"""

from controlplane.sim.invariant.garbage import garbage
from controlplane.sim.invariant.sound import unsound
from controlplane.sim.invariant.watch import RULES, Invariants, Violation

__all__ = ["RULES", "Invariants", "Violation", "garbage", "unsound"]
