# What guard.pyx uses of the headers: of the structs in state.h only the fields that it reads or sets.

cdef extern from "clock.h":
    int64_t CLOCK_MAX_NS
    int64_t clock_test_ns
    int64_t clock_now_ns()

cdef extern from "random.h":
    int64_t random_seeded(uint64_t seed)

cdef extern from "atomic.h":
    int64_t word_load(const int64_t *word)
    void word_store(int64_t *word, int64_t value)

cdef extern from "state.h":
    enum:
        _RATE "RATE", _CONCURRENCY "CONCURRENCY", _OPEN "OPEN", _PROBING "PROBING"
        _RETRY_BUDGET "RETRY_BUDGET", _NO_ENDPOINT "NO_ENDPOINT", _WEIGHT "WEIGHT", _SHED "SHED", _DEADLINE "DEADLINE"
        _CLOSED "CLOSED"
        REASONS_END
        _SUCCESS "SUCCESS", _ERROR "ERROR", _TIMEOUT "TIMEOUT", _OVERLOAD "OVERLOAD"
        _STALLED "STALLED"
        _ENDPOINT_TRIPPED "ENDPOINT_TRIPPED", _ENDPOINT_CAPPED "ENDPOINT_CAPPED"
        _ENDPOINT_PROBE_PASSED "ENDPOINT_PROBE_PASSED", _ENDPOINT_PROBE_FAILED "ENDPOINT_PROBE_FAILED"
        _EDGE_OPENED "EDGE_OPENED", _EDGE_PROBE_PASSED "EDGE_PROBE_PASSED", _EDGE_PROBE_FAILED "EDGE_PROBE_FAILED"
        _EFFECTIVE "EFFECTIVE", _LEASE_LAPSED "LEASE_LAPSED"
        _BY_CONSECUTIVE "BY_CONSECUTIVE", _BY_ERRORS "BY_ERRORS", _BY_SLOW "BY_SLOW"
        _BY_STALLED "BY_STALLED", _BY_OVERLOAD "BY_OVERLOAD"
        _HEALTHY "HEALTHY", _EJECTED "EJECTED", _PROBATION "PROBATION"
        _CRITICAL "CRITICAL", _DEFAULT "DEFAULT", _SHEDDABLE "SHEDDABLE"
        _PART_FAIL_OVER "PART_FAIL_OVER", _PART_CAP_RETRIES "PART_CAP_RETRIES"
        _PART_SHED "PART_SHED", _PART_TIGHTEN "PART_TIGHTEN"
        _PART_CLOSE "PART_CLOSE", _PART_HARDEN "PART_HARDEN", PARTS_END
        EDGE_CLOSED, EDGE_OPEN, EDGE_HALF_OPEN
        EDGE_PROBE, ENDPOINT_PROBE, SETTLED, OVERDUE, THREADS
        _EVENT_WORDS "EVENT_WORDS", _EVENTS_MAX "EVENTS_MAX", PROBE_SLOTS, WORKERS_MAX, LATENCY_LOWEST_NS, LATENCY_DIGITS
    int64_t LATENCY_HIGHEST_NS, NEVER
    struct hdr:
        int64_t counters
    struct policy:
        int64_t rate_interval_ns, rate_burst, window_ns, slow_ns, enforced, enforced_percent, retry_floor_per_s
    struct tally:
        int64_t calls, failures, slow
    struct place:
        int64_t state, until_ns, weight, weight_until_ns, ejections, healthy_since_ns, clears, probing, ramp
    struct side:
        int64_t value
        int64_t part "with"
    struct standing:
        policy policy
        side *side
        int64_t failure_rung, due_ns, rate_ns, state, closed_since_ns, window_width_ns, window_shift, weight, limit, probing, routes
    struct endpoint:
        int64_t calls, failures, slow, latency, began
    struct counters:
        int64_t calls, failures, slow, cancelled, retries, shadowed
    struct edge:
        int64_t layout, words, endpoints, workers
        int64_t counters_at, adaptive_at, in_flight_at, endpoints_at, counts_at, events_at, standings_at, standing_words
        hdr hdr
        int64_t current, retry, events_written, typical_ns, retry_suspended_until_ns
        int64_t *refused_by
        int64_t *shadowed_by
    struct site:
        int64_t priority, locality, weight
    struct route_policy:
        int64_t levels, localities, local
    struct pick:
        int64_t endpoints, workers, latency_step, random
        const int64_t *in_flight
        const int64_t *latency
        site *sites
        int64_t *table
        int64_t *burden
        int64_t *scratch
        route_policy policy
    struct seat:
        edge *g
        counters *counters
        pick pick
        int64_t *trials
        int64_t worker, random, routed, era, events_read, events_told
    struct ticket:
        int64_t endpoint, start_ns, answered_ns, flags
    endpoint *state_endpoint(edge *g, int64_t i)
    int64_t *state_counts(edge *g)
    int64_t *state_in_flight(edge *g, int64_t i)
    int64_t cost_ewma_ns(int64_t word)
    int64_t route_scratch_words(int64_t n, int64_t levels, int64_t localities)
    int64_t ROUTE_WEIGHT_MAX, ROUTE_LEVELS_MAX, ROUTE_LOCALITIES_MAX, ROUTE_OVERPROVISION_MAX
    counters *state_counters(edge *g, int64_t worker)
    int64_t state_flying(edge *g, int64_t i)
    standing *state_standing(edge *g, int64_t current)
    place *state_place(const standing *st, int64_t i)
    int state_still(int shared, edge *g, int64_t current)

cdef extern from "hdr.h":
    hdr hdr_shape(int64_t lowest, int64_t highest, int64_t digits)
    int64_t hdr_quantile(const hdr *h, const int64_t *counts, int64_t permille)

cdef extern from "summary.h":
    uint64_t hdr_values(const hdr *h, const int64_t *counts, int64_t *total)

cdef extern from "retry.h":
    int64_t retry_word(int64_t balance, int64_t now_ns)
    int64_t retry_balance(int64_t word, const policy *p, int64_t now_ns)
    int64_t retry_capacity(const policy *p)
    int RETRY_MILLI

cdef extern from "spared.h":
    int spared_from(const edge *g, const standing *st, int64_t i, int64_t now_ns)

cdef extern from "events.h":
    int64_t event_drain(seat *s, int64_t now_ns, int64_t *out, int64_t rows)
    int64_t event_lost(seat *s)
    int event_tell(seat *s)

cdef extern from "window.h":
    int64_t window_number(seat *s, int64_t width_ns, int64_t shift, int64_t now_ns)
    tally window_sum(edge *g, const standing *st, int64_t v, int64_t now_ns)

cdef extern from "evidence.h":
    struct evidence:
        int64_t consecutive, mnat, trickle_mnat, slow_mnat, calls
    double FAILURE_SHARE_LOWEST
    int64_t rung_of(double share)
    double rung_share(int64_t rung)
    evidence evidence_read(endpoint *e, int64_t clears)
    void evidence_believe(standing *st, int64_t rung)
    int64_t evidence_tag(int64_t clears)
    int64_t evidence_began_ns(int64_t word, int64_t tag)

cdef extern from "concurrency.h":
    int64_t ADAPTIVE_WORDS
    struct adaptive:
        pass
    struct adaptive_policy:
        pass
    void adaptive_begin(adaptive *a, const adaptive_policy *p, int64_t now_ns)
    adaptive *concurrency_adaptive(const edge *g)
    adaptive_policy concurrency_policy(const policy *p)
    int64_t concurrency_most(const edge *g, const policy *p)

cdef extern from "limit.h":
    int64_t limit_milli(edge *g, const standing *st)

cdef extern from "sides.h":
    bint side_is(const standing *st, int64_t part)

cdef extern from "balance.h":
    int64_t balance_moved_percent(seat *s, const standing *st, int64_t current)

cdef extern from "lapse.h":
    const standing *lapse(seat *s, int64_t now_ns, int64_t *current)

cdef extern from "admit.h":
    enum: FIRST, AGAIN, REDRIVE
    struct ask:
        int64_t kind, avoid, priority, deadline_ns
    struct refusal:
        int64_t reason, retry_after_ns
    int admit(int shared, seat *s, const ask *ask, ticket *t, refusal *why)
    int admit_would_refuse(const standing *st)
    int admit_would_retry(seat *s, const standing *st, int64_t now_ns)
    int64_t admit_deadline_ns(seat *s)
    int admit_door(seat *s)

cdef extern from "settle.h":
    int settle(int shared, seat *s, ticket *t, int64_t outcome)
    int settle_overdue(seat *s, ticket *t)
    void settle_cancel(seat *s, ticket *t)
    int settle_relayed(seat *s, ticket *t)

cdef extern from "observe.h":
    enum: _OBSERVED "OBSERVED", _OBSERVED_PROBE "OBSERVED_PROBE"
    int observe(seat *s, int64_t i, int64_t outcome, int64_t latency_ns)

cdef extern from "orders.h":
    void order_eject(seat *s, int64_t i, int64_t now_ns, int64_t lease_ns, int64_t signal_ns)
    void order_probe(seat *s, int64_t i, int64_t now_ns, int64_t lease_ns)
    void order_weigh(seat *s, int64_t i, int64_t now_ns, int64_t percent, int64_t lease_ns)
    void order_restore(seat *s, int64_t i, int64_t now_ns)
    void order_isolate(seat *s, int64_t now_ns, int64_t lease_ns, int64_t signal_ns)
    void order_probe_edge(seat *s, int64_t now_ns, int64_t lease_ns)
    void order_weigh_edge(seat *s, int64_t now_ns, int64_t percent, int64_t lease_ns)
    void order_limit(seat *s, int64_t now_ns, int64_t concurrency, int64_t lease_ns, int64_t signal_ns)
    void order_restore_edge(seat *s, int64_t now_ns)
    void order_side(
        seat *s, int64_t part, int64_t value, int64_t with_, int64_t now_ns, int64_t lease_ns, int64_t signal_ns
    )
    void order_restore_side(seat *s, int64_t part)
    void order_enforce(seat *s, int64_t now_ns, int64_t on)

cdef extern from "retune.h":
    int retune(seat *s, int64_t now_ns, policy *p, uint64_t fields)
    int64_t retune_burst_max(const policy *p)
    void retune_slow_ns(seat *s, int64_t slow_ns)
    void retune_failure_share(seat *s, double share)
    void reclaim(seat *s, int64_t worker, int64_t now_ns)
    void alone(seat *s, int64_t now_ns)
