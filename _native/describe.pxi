# What a guard says of itself: totals over all workers, and the state in force.


cdef dict edge_dict(seat *s):
    cdef edge *g = s.g
    cdef int64_t now = clock_now_ns(), current, i
    cdef const standing *st = lapse(s, now, &current)
    cdef tally window = window_sum(
        g, st, window_number(s, st.window_width_ns, st.window_shift, now), now
    )
    cdef counters sum, of
    cdef int64_t refused = 0
    memset(&sum, 0, sizeof(counters))
    for i in range(g.workers):
        of = state_counters(g, i)[0]
        sum.calls += of.calls
        sum.failures += of.failures
        sum.slow += of.slow
        sum.cancelled += of.cancelled
        sum.retries += of.retries
        sum.shadowed += of.shadowed
    for i in range(REASONS_END):
        refused += g.refused_by[i]
    return {
        "calls": sum.calls,
        "failures": sum.failures,
        "slow": sum.slow,
        "refused": refused,
        "cancelled": sum.cancelled,
        "retries": sum.retries,
        "shadowed": sum.shadowed,
        "in_flight": state_flying(g, -1),
        "open": <int>(st.state == EDGE_OPEN),
        "probing": <int>(st.state == EDGE_HALF_OPEN),
        "window_calls": window.calls,
        "window_failures": window.failures,
        "window_slow": window.slow,
        "weight": st.weight,
        "limit": limit_milli(g, st) // 1000,
        "fail_over": st.side[_PART_FAIL_OVER].value if side_is(st, _PART_FAIL_OVER) else 0,
        "failed_over": balance_moved_percent(s, st, current),
        "retry_cap": st.side[_PART_CAP_RETRIES].value if side_is(st, _PART_CAP_RETRIES) else -1,
        "shed": st.side[_PART_SHED].value if side_is(st, _PART_SHED) else 0,
        "shed_keep": st.side[_PART_SHED].part if side_is(st, _PART_SHED) else -1,
        "deadline_ns": st.side[_PART_TIGHTEN].value if side_is(st, _PART_TIGHTEN) else 0,
        "closed": st.side[_PART_CLOSE].value if side_is(st, _PART_CLOSE) else 0,
        "hardened": st.side[_PART_HARDEN].value if side_is(st, _PART_HARDEN) else 0,
        "retries_left": retry_balance(g.retry, &st.policy, now) // RETRY_MILLI,
        "retries_suspended": <int>(g.retry_suspended_until_ns > now),
        "retries_max": retry_capacity(&st.policy) // RETRY_MILLI,
        "concurrency": concurrency_most(g, &st.policy),
        "enforced": st.policy.enforced,
        "slow_ns": st.policy.slow_ns,
        "failure_ppm": <int64_t>(rung_share(st.failure_rung) * 1e6),
        "typical_ns": g.typical_ns,
    }


cdef dict endpoint_dict(edge *g, int64_t i, const place *at):
    cdef endpoint *e = state_endpoint(g, i)
    cdef evidence seen = evidence_read(e, at.clears)
    return {
        "state": at.state,
        "weight": at.weight,
        "ramp": at.ramp,
        "in_flight": state_flying(g, i),
        "calls": e.calls,
        "failures": e.failures,
        "slow": e.slow,
        "consecutive": seen.consecutive,
        "evidence_mnat": seen.mnat,
        "trickle_evidence_mnat": seen.trickle_mnat,
        "slow_evidence_mnat": seen.slow_mnat,
        "ejections": at.ejections,
        "until_ns": at.until_ns,
        "ewma_ns": cost_ewma_ns(e.latency),
        "began_ns": evidence_began_ns(e.began, evidence_tag(at.clears)) if seen.calls else 0,
    }


cdef tuple latency_totals(edge *g):
    """How many successful calls were recorded, and the nanoseconds that they took together."""
    cdef int64_t total
    cdef uint64_t sum_ns = hdr_values(&g.hdr, state_counts(g), &total)
    return total, sum_ns


cdef dict policy_dict(seat *s):
    """The policy in force, by field."""
    cdef int64_t current
    cdef policy whole
    cdef int64_t *fields = <int64_t *>&whole
    while True:
        whole = lapse(s, clock_now_ns(), &current).policy
        if state_still(1, s.g, current):
            break
    return {field[0]: fields[k] for k, field in enumerate(POLICY)}
