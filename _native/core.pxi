# What guard.pyx uses of the headers: of the structs in state.h only the fields that it reads or sets.

cdef extern from "clock.h":
    int64_t CLOCK_MAX_NS
    int64_t clock_test_ns
    int64_t clock_now_ns()

cdef extern from "random.h":
    int64_t random_seeded(uint64_t seed)

cdef extern from "state.h":
    enum:
        _RATE "RATE", _CONCURRENCY "CONCURRENCY", _OPEN "OPEN", _PROBING "PROBING"
        _RETRY_BUDGET "RETRY_BUDGET", _NO_ENDPOINT "NO_ENDPOINT", _WEIGHT "WEIGHT"
        _SUCCESS "SUCCESS", _ERROR "ERROR", _TIMEOUT "TIMEOUT", _OVERLOAD "OVERLOAD"
        _ENDPOINT_TRIPPED "ENDPOINT_TRIPPED", _ENDPOINT_CAPPED "ENDPOINT_CAPPED"
        _ENDPOINT_PROBE_PASSED "ENDPOINT_PROBE_PASSED", _ENDPOINT_PROBE_FAILED "ENDPOINT_PROBE_FAILED"
        _EDGE_OPENED "EDGE_OPENED", _EDGE_PROBE_PASSED "EDGE_PROBE_PASSED", _EDGE_PROBE_FAILED "EDGE_PROBE_FAILED"
        _EFFECTIVE "EFFECTIVE", _LEASE_LAPSED "LEASE_LAPSED"
        _BY_CONSECUTIVE "BY_CONSECUTIVE", _BY_ERRORS "BY_ERRORS", _BY_SLOW "BY_SLOW"
        _BY_STALLED "BY_STALLED", _BY_OVERLOAD "BY_OVERLOAD"
        _HEALTHY "HEALTHY", _EJECTED "EJECTED", _PROBATION "PROBATION"
        EDGE_CLOSED, EDGE_OPEN, EDGE_HALF_OPEN
        EDGE_PROBE, ENDPOINT_PROBE, SETTLED, OVERDUE
        _EVENT_WORDS "EVENT_WORDS", _EVENTS_MAX "EVENTS_MAX", PROBE_SLOTS, LATENCY_LOWEST_NS, LATENCY_DIGITS
    int64_t LATENCY_HIGHEST_NS, NEVER
    struct hdr:
        int64_t counters
    struct policy:
        int64_t rate_interval_ns, rate_burst, concurrency_max
        int64_t breaker_consecutive, window_ns, window_calls_min, failure_percent, slow_percent, slow_ns
        int64_t open_ns, open_max_ns, probes_max, probe_successes, probe_timeout_ns
        int64_t endpoint_consecutive, endpoint_evidence_mnat, eject_ns, eject_max_ns, ejected_percent_max
        int64_t retry_percent, retry_floor_per_s, enforced
    struct tally:
        int64_t calls, failures, slow
    struct endpoint:
        int64_t state, until_ns, weight, in_flight, calls, failures, slow
        int64_t consecutive, evidence_mnat, slow_evidence_mnat, ejections, healthy_since_ns, ewma_ns
    struct edge:
        int64_t words, endpoints, endpoints_at, counts_at, events_at
        hdr hdr
        policy policy
        tally window
        int64_t random, due_ns, state, closed_since_ns, window_width_ns, weight, limit_milli
        int64_t retry_milli, retry_at_ns, retry_capacity_milli
        int64_t in_flight, calls, failures, slow, refused, cancelled, retries, events_lost
    struct ticket:
        int64_t endpoint, start_ns, answered_ns, flags
    endpoint *state_endpoint(edge *g, int64_t i)
    int64_t *state_counts(edge *g)

cdef extern from "hdr.h":
    hdr hdr_shape(int64_t lowest, int64_t highest, int64_t digits)
    int64_t hdr_quantile(const hdr *h, const int64_t *counts, int64_t permille)

cdef extern from "events.h":
    int64_t event_drain(edge *g, int64_t *out, int64_t rows)
    int event_tell(edge *g)

cdef extern from "window.h":
    void window_turn(edge *g, int64_t now_ns)

cdef extern from "lapse.h":
    void lapse(edge *g, int64_t now_ns)

cdef extern from "admit.h":
    enum: FIRST, AGAIN, REDRIVE
    struct refusal:
        int64_t reason, retry_after_ns
    int admit(edge *g, int64_t kind, int64_t avoid, ticket *t, refusal *why)
    int admit_would_refuse(edge *g)

cdef extern from "settle.h":
    int settle(edge *g, ticket *t, int64_t outcome)
    int settle_overdue(edge *g, ticket *t)
    void settle_cancel(edge *g, ticket *t)

cdef extern from "orders.h":
    void order_eject(edge *g, int64_t i, int64_t now_ns, int64_t lease_ns, int64_t signal_ns)
    void order_probe(edge *g, int64_t i, int64_t now_ns, int64_t lease_ns)
    void order_weigh(edge *g, int64_t i, int64_t now_ns, int64_t percent, int64_t lease_ns)
    void order_restore(edge *g, int64_t i, int64_t now_ns)
    void order_isolate(edge *g, int64_t now_ns, int64_t lease_ns, int64_t signal_ns)
    void order_probe_edge(edge *g, int64_t now_ns, int64_t lease_ns)
    void order_weigh_edge(edge *g, int64_t now_ns, int64_t percent, int64_t lease_ns)
    void order_limit(edge *g, int64_t now_ns, int64_t concurrency, int64_t lease_ns, int64_t signal_ns)
    void order_restore_edge(edge *g, int64_t now_ns)
    void order_enforce(edge *g, int64_t now_ns, int64_t on)
