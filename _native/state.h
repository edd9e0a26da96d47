/* The words of one guard. Every field is an int64; parts refer to one another by word offsets from the start, never
 * by pointers, so that the same words can be mapped at another address by another process.
 */
#ifndef CONTROLPLANE_STATE_H
#define CONTROLPLANE_STATE_H

#include <stdint.h>

#include "hdr.h"

#define NEVER INT64_MAX
#define SECOND_NS ((int64_t)1000000000)
#define WINDOW_BUCKETS 10
#define PROBE_SLOTS 16 /* concurrent probes at most; more than that is traffic, not a probe */
#define EVENTS_MAX 256
#define EVENT_WORDS 7
#define LATENCY_LOWEST_NS 1000 /* the guard's own histogram: a microsecond to a minute, two digits; 21 KiB */
#define LATENCY_HIGHEST_NS (60 * SECOND_NS)
#define LATENCY_DIGITS 2

/* why a call was refused */
enum { RATE = 1, CONCURRENCY, OPEN, PROBING, RETRY_BUDGET, NO_ENDPOINT, WEIGHT };
/* how a call ended; STALLED has not ended, but is overdue */
enum { SUCCESS = 0, ERROR, TIMEOUT, OVERLOAD, STALLED };
/* rows of the event ring */
enum {
    ENDPOINT_TRIPPED = 1, ENDPOINT_CAPPED, ENDPOINT_PROBE_PASSED, ENDPOINT_PROBE_FAILED,
    EDGE_OPENED, EDGE_PROBE_PASSED, EDGE_PROBE_FAILED, EFFECTIVE, LEASE_LAPSED
};
enum { BY_CONSECUTIVE = 1, BY_ERRORS, BY_SLOW, BY_STALLED, BY_OVERLOAD };
enum { HEALTHY = 0, EJECTED, PROBATION };          /* states of an endpoint */
enum { EDGE_CLOSED = 0, EDGE_OPEN, EDGE_HALF_OPEN }; /* states of the breaker */

struct tally {
    int64_t calls, failures, slow, overload;
};

struct probes {
    int64_t busy;     /* bit i: slot i is taken */
    int64_t passed;   /* in a row, since this state began */
    int64_t ready_ns; /* no probe starts before */
    int64_t start_ns[PROBE_SLOTS];
};

struct policy {
    int64_t rate_interval_ns, rate_burst, concurrency_max;
    int64_t breaker_consecutive, window_ns, window_calls_min, failure_percent, slow_percent, slow_ns;
    int64_t open_ns, open_max_ns, probes_max, probe_successes, probe_timeout_ns;
    int64_t endpoint_consecutive, endpoint_evidence_mnat, eject_ns, eject_max_ns, ejected_percent_max;
    int64_t retry_percent, retry_floor_per_s;
    int64_t enforced;
};

struct endpoint {
    int64_t state, generation;
    int64_t until_ns;  /* EJECTED: end of the penalty; PROBATION by order: end of the lease */
    int64_t ordered;   /* 1: the state is an order's, and its lapse is told */
    int64_t weight, weight_until_ns;
    int64_t signal_ns; /* what decided an exclusion that no admission has met yet; 0: none */
    int64_t in_flight, calls, failures, slow;
    int64_t consecutive, evidence_mnat, slow_evidence_mnat;
    struct tally since;    /* since both tests last stood at zero */
    int64_t since_stalled;
    int64_t ejections, healthy_since_ns; /* steps of doubling, and since when they may decay */
    int64_t ewma_ns, ewma_at_ns;
    struct probes probes;
};

struct edge {
    int64_t words, endpoints, endpoints_at, counts_at, events_at; /* length, number, word offsets */
    struct hdr hdr;
    struct policy policy;
    int64_t random;
    int64_t due_ns; /* nothing changes by itself before */

    int64_t state, generation, until_ns, ordered; /* breaker; the last two as for endpoints */
    int64_t opens, closed_since_ns, consecutive;  /* steps of doubling, and since when they may decay */
    struct probes probes;
    int64_t window_width_ns, window_epoch, window_turn_ns;
    struct tally window; /* sums of the buckets */
    struct tally buckets[WINDOW_BUCKETS];

    int64_t weight, weight_until_ns, limit, limit_until_ns; /* orders; limit 0: none */
    int64_t limit_milli, limit_since_ns, limit_bound_ns, limit_pause_ns, limit_ready_ns; /* limit.h */
    int64_t signal_ns;                                      /* as for endpoints */
    int64_t tat_ns;                                         /* rate: theoretical arrival time */
    int64_t retry_milli, retry_carry, retry_at_ns, retry_capacity_milli, retry_suspended_until_ns;

    int64_t ejected, probation, weighted, signals; /* numbers of endpoints: by state, weight < 100, signal_ns set */
    int64_t in_flight, calls, failures, slow, refused, cancelled, retries;
    int64_t events_written, events_read, events_lost, events_told;
};

/* What a permit carries. It lives in the permit, not in the buffer. */
struct ticket {
    int64_t endpoint, start_ns, answered_ns, generation, endpoint_generation, flags, slot;
};
enum { EDGE_PROBE = 1, ENDPOINT_PROBE = 2, SETTLED = 4, OVERDUE = 8 };

static inline int64_t *state_words(struct edge *g) { return (int64_t *)g; }

static inline struct endpoint *state_endpoint(struct edge *g, int64_t i) {
    return (struct endpoint *)(state_words(g) + g->endpoints_at) + i;
}

static inline int64_t *state_counts(struct edge *g) { return state_words(g) + g->counts_at; }

static inline void state_due(struct edge *g, int64_t at_ns) {
    if (at_ns < g->due_ns) g->due_ns = at_ns;
}

#endif
