# The native clock, and how a test has it stand still.

def now_ns():
    return clock_now_ns()


def set_test_clock(now_ns, /):
    global clock_test_ns
    clock_test_ns = integer(now_ns, "now_ns", -1, CLOCK_MAX_NS)
