# The fields of struct policy (state.h) in its order: name, default, lowest, highest.
# Bounds: with times up to 2^62 ns no sum or product in the headers leaves 63 bits.

cdef int64_t DURATION_MAX_NS = 1_000_000_000_000_000  # 11.5 days
cdef int64_t COUNT_MAX = 1_000_000_000
cdef int64_t BURST_SPAN_MAX_NS = <int64_t>1 << 61  # rate_burst * rate_interval_ns

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


cdef int policy_take(int64_t *fields, dict given) except -1:
    """Put what is given into `fields`, which hold a whole policy; all of it or, where something is wrong, nothing."""
    cdef int64_t[64] wanted
    cdef policy *p = <policy *>wanted
    cdef Py_ssize_t k
    assert sizeof(policy) == len(POLICY) * sizeof(int64_t) and len(POLICY) <= 64
    for k, (name, _, low, high) in enumerate(POLICY):
        wanted[k] = fields[k]
        if name in given:
            value = given[name]
            wanted[k] = switch(value, name) if name in ("enforced", "concurrency_adapts") else integer(value, name, low, high)
    if p.rate_interval_ns and p.rate_burst > BURST_SPAN_MAX_NS // p.rate_interval_ns:
        raise ValueError(
            f"rate_burst must be between 1 and {BURST_SPAN_MAX_NS // p.rate_interval_ns} "
            f"for this rate_interval_ns, not {p.rate_burst}"
        )
    unknown = given.keys() - {field[0] for field in POLICY}
    if unknown:
        raise TypeError(f"no such part of a policy: {', '.join(sorted(unknown))}")
    for k in range(len(POLICY)):
        fields[k] = wanted[k]
    return 0
