# The fields of struct policy (state.h) in its order: name, default, lowest, highest.
# Bounds: with times up to 2^62 ns no sum or product in the headers leaves 63 bits.

cdef int64_t DURATION_MAX_NS = 1_000_000_000_000_000  # 11.5 days
cdef int64_t COUNT_MAX = 1_000_000_000

POLICY = (
    ("rate_interval_ns", 0, 0, DURATION_MAX_NS),
    ("rate_burst", 1, 1, COUNT_MAX),
    ("concurrency_max", 0, 0, COUNT_MAX),
    ("concurrency_min", 1, 1, COUNT_MAX),
    ("concurrency_adapts", 0, 0, 1),
    ("breaker_consecutive", 0, 0, COUNT_MAX),
    ("window_ns", 10_000_000_000, 10, DURATION_MAX_NS),
    ("window_calls_min", 20, 1, COUNT_MAX),
    ("failure_percent", 50, 0, 100),
    ("slow_percent", 0, 0, 100),
    ("slow_ns", 0, 0, DURATION_MAX_NS),
    ("open_ns", 5_000_000_000, 1, DURATION_MAX_NS),
    ("open_max_ns", 300_000_000_000, 1, DURATION_MAX_NS),
    ("probes_max", 1, 1, PROBE_SLOTS),
    ("probe_successes", 3, 1, COUNT_MAX),
    ("probe_timeout_ns", 10_000_000_000, 1, DURATION_MAX_NS),
    ("endpoint_consecutive", 5, 0, 60_000),  # counted in 16 bits, as evidence is: a limit beyond 65.5 nats is never reached
    ("endpoint_evidence_mnat", 13_800, 0, COUNT_MAX),
    ("eject_ns", 5_000_000_000, 1, DURATION_MAX_NS),
    ("eject_max_ns", 300_000_000_000, 1, DURATION_MAX_NS),
    ("ejected_percent_max", 10, 0, 100),
    ("retry_percent", 20, 0, 100),
    ("retry_floor_per_s", 3, 0, 1_000_000),  # ten seconds of it are kept in 36 bits of thousandths
    ("overprovision_percent", 140, 100, ROUTE_OVERPROVISION_MAX),
    ("panic_percent", 0, 0, 100),
    ("slow_start_ns", 0, 0, DURATION_MAX_NS),
    ("reserve_percent", 0, 0, 50),
    ("enforced", 1, 0, 1),
    ("enforced_percent", 100, 1, 100),
)


cdef uint64_t policy_take(int64_t *fields, dict given) except? 0:
    """Put what is given into `fields`, each in its bounds; the answer has a bit for each field that was given."""
    cdef Py_ssize_t k
    cdef uint64_t taken = 0
    assert sizeof(policy) == len(POLICY) * sizeof(int64_t) and len(POLICY) <= 64
    for k, (name, _, low, high) in enumerate(POLICY):
        if name in given:
            value = given[name]
            fields[k] = switch(value, name) if name in ("enforced", "concurrency_adapts") else integer(value, name, low, high)
            taken |= <uint64_t>1 << k
    unknown = given.keys() - {field[0] for field in POLICY}
    if unknown:
        raise TypeError(f"no such part of a policy: {', '.join(sorted(unknown))}")
    return taken


cdef int policy_refuse(const policy *p) except -1:
    """Say which bounds the fields of a policy set one another."""
    raise ValueError(
        f"rate_burst must be between 1 and {retune_burst_max(p)} for this rate_interval_ns, not {p.rate_burst}"
    )


cdef int64_t a_lease(object value) except? -1:
    """How long an order lasts."""
    return integer(value, "lease_ns", 0, DURATION_MAX_NS)


cdef int64_t a_signal(object value) except? -1:
    """The time of the result that decided on an order; 0: not known."""
    return integer(value, "signal_ns", 0, CLOCK_MAX_NS)
