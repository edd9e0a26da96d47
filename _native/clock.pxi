# The native clock, and how a test has it stand still.

from cpython.pycapsule cimport PyCapsule_New

def now_ns():
    return clock_now_ns()


def set_test_clock(now_ns, /):
    global clock_test_ns
    clock_test_ns = integer(now_ns, "now_ns", -1, CLOCK_MAX_NS)


def test_clock():
    return PyCapsule_New(&clock_test_ns, b"controlplane.clock", NULL)
