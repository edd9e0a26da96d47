"""A process of our own settles once it has started."""

import subprocess
import sys

STARTED = """
import gc, sys
import controlplane
from controlplane.assembly.settle import settle
controlplane.Plane
settle()
before = gc.get_freeze_count()
gc.collect()
print(before, gc.get_freeze_count(), sys.getswitchinterval())
"""


def test_what_is_there_at_the_start_is_not_walked_again_and_threads_change_sooner() -> None:
    """Everything imported is out of the collector's reach, and a waiting thread waits a tenth of Python's 5 ms."""
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True, timeout=60)
    before, after, switch_s = done.stdout.split()
    assert int(before) == int(after) > 10_000
    assert float(switch_s) == 0.0005


def test_nobody_else_is_settled() -> None:
    """Importing the library leaves the settings of the program as they are."""
    code = "import gc, sys, controlplane; controlplane.Plane; print(gc.get_freeze_count(), sys.getswitchinterval())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0", "0.005"]
