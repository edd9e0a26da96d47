/* The words of one guard. Every field is an int64; parts refer to one another by word offsets from the start, never
 * by pointers, so that the same words can be mapped at another address by another process.
 *
 * What changes with every call is a word of its own (struct edge, endpoint, counters): whoever changes it needs one
 * instruction. What changes seldom and together (policy, breaker, orders, who is ejected) is the *standing*: it is never
 * changed in place. A process copies it into a spare of its own, changes the copy, and publishes it by one
 * compare-and-swap of `current` (draft.h). So it is always whole, a process killed in the middle has changed nothing,
 * and nobody ever waits.
 */
#ifndef CONTROLPLANE_STATE_H
#define CONTROLPLANE_STATE_H

#include <stdint.h>

#include "atomic.h"
#include "hdr.h"
#include "pick.h"

#define NEVER INT64_MAX
#define SECOND_NS ((int64_t)1000000000)
#define WINDOW_BUCKETS 10
#define PROBE_SLOTS 16    /* concurrent probes of one thing at most; more than that is traffic, not a probe */
#define PROBES_OUT_MAX 64 /* of an edge and all its endpoints together: the bits of one word */
#define WORKERS_MAX 64
#define EVENTS_MAX 256
#define EVENT_WORDS 8 /* a cache line */
#define LATENCY_LOWEST_NS 1000 /* the guard's own histogram: a microsecond to a minute, two digits; 21 KiB */
#define LATENCY_HIGHEST_NS (60 * SECOND_NS)
#define LATENCY_DIGITS 2

/* why a call was refused */
enum { RATE = 1, CONCURRENCY, OPEN, PROBING, RETRY_BUDGET, NO_ENDPOINT, WEIGHT, SHED, DEADLINE, CLOSED, REASONS_END };
/* how a call ended; STALLED has not ended, but is overdue */
enum { SUCCESS = 0, ERROR, TIMEOUT, OVERLOAD, STALLED };
/* ... or it is the failure of somebody further down, and not told of in any of these ways: relay.h */
/* rows of the event ring */
enum {
    ENDPOINT_TRIPPED = 1, ENDPOINT_CAPPED, ENDPOINT_PROBE_PASSED, ENDPOINT_PROBE_FAILED,
    EDGE_OPENED, EDGE_PROBE_PASSED, EDGE_PROBE_FAILED, EFFECTIVE, LEASE_LAPSED
};
enum { BY_CONSECUTIVE = 1, BY_ERRORS, BY_SLOW, BY_STALLED, BY_OVERLOAD };
#define UNROUTED ((int64_t)-1) /* no standing's `routes` */
enum { HEALTHY = 0, EJECTED, PROBATION };          /* states of an endpoint */
enum { EDGE_CLOSED = 0, EDGE_OPEN, EDGE_HALF_OPEN }; /* states of the breaker */
/* what a call is for: the less important are refused sooner (admit.h) */
enum { CRITICAL = 0, DEFAULT, SHEDDABLE };
/* side orders (sides.h): they coexist with one another and with every other order; bit 1 << part of `sides` */
enum { PART_FAIL_OVER = 1, PART_CAP_RETRIES, PART_SHED, PART_TIGHTEN, PART_CLOSE, PART_HARDEN, PARTS_END };

struct tally {
    int64_t calls, failures, slow, overload;
};

struct policy {
    int64_t rate_interval_ns, rate_burst, concurrency_max, concurrency_min, concurrency_adapts;
    int64_t breaker_consecutive, window_ns, window_calls_min, failure_percent, slow_percent, slow_ns;
    int64_t open_ns, open_max_ns, probes_max, probe_successes, probe_timeout_ns;
    int64_t endpoint_consecutive, endpoint_evidence_mnat, eject_ns, eject_max_ns, ejected_percent_max;
    int64_t retry_percent, retry_floor_per_s;
    int64_t overprovision_percent, panic_percent, slow_start_ns; /* route.h, slow_start.h */
    int64_t reserve_percent; /* of every limit, kept from each lower priority */
    int64_t enforced, enforced_percent;
};

struct place { /* the standing of an endpoint */
    int64_t state, generation;
    int64_t until_ns; /* EJECTED: end of the penalty; PROBATION by order: end of the lease */
    int64_t ordered;  /* 1: the state is an order's, and its lapse is told */
    int64_t weight, weight_until_ns;
    int64_t ejections, healthy_since_ns; /* steps of doubling, and since when they may decay */
    int64_t clears;                      /* tag of its evidence: what carries another is no evidence any more */
    int64_t verified_ns, ramp;           /* slow start: since then, 0: none; percent of its share by now */
    int64_t probing, passed, ready_ns;   /* probes that are out; passed in a row; no probe starts before */
    int64_t capped_ns;                   /* when it was last condemned and had to stay, negative: for slowness; 0: never */
};

struct side { /* a side order */
    int64_t value;    /* percent; PART_TIGHTEN: nanoseconds */
    int64_t with;     /* PART_SHED: the priority that is kept; PART_TIGHTEN: percent of the calls */
    int64_t number;   /* rises with every order that changes something */
    int64_t until_ns; /* end of the lease */
};

struct probe { /* one that is out */
    int64_t endpoint, start_ns, worker;
};

struct standing {
    struct policy policy;
    int64_t due_ns; /* nothing lapses before */
    int64_t state, generation, until_ns, ordered; /* breaker; the last two as for endpoints */
    int64_t opens, closed_since_ns;               /* steps of doubling, and since when they may decay */
    int64_t probing, passed;
    int64_t forgets, window_width_ns, window_shift; /* tags of what is held against the edge: window.h */
    int64_t carried_ns, carried_until_ns;           /* retune: when the window was carried over, until when that counts */
    struct tally carried[WINDOW_BUCKETS];           /* by age at that time, in new widths */
    int64_t rate_ns, rate_from_ns, rate_side; /* the interval that the TAT counts in (also while there is no rate): gcra.h */
    int64_t weight, weight_until_ns, limit, limit_until_ns, limit_tag; /* orders; limit 0: none */
    int64_t sides;                                                     /* bits: the side orders in force */
    struct side side[PARTS_END];
    int64_t failure_rung, failed_step, passed_step; /* the share of failures that is normal, and what follows: evidence.h */
    int64_t ejected, probation; /* numbers of endpoints */
    int64_t routes;             /* rises with every change of who may be drawn, and how often */
    int64_t busy;                         /* bit i: probes[i] is out */
    struct probe probes[PROBES_OUT_MAX];
    /* struct place places[endpoints] follow */
};

struct endpoint { /* what its calls change */
    int64_t calls, failures, slow;
    int64_t evidence, slow_evidence, since, since_kinds; /* tagged words: evidence.h */
    int64_t latency;   /* cost.h */
    int64_t stalled_ns; /* of the last stall that was evidence */
    int64_t signal_ns; /* what decided an exclusion that no admission has met yet; 0: none */
    int64_t began;     /* tagged: evidence.h */
};

struct counters { /* of one worker, in a cache line of its own */
    int64_t calls, failures, slow, cancelled, retries, shadowed, shed_turn, tighten_turn;
};

struct edge {
    int64_t layout; /* kind, version and geometry in one number; 0: fresh memory */
    int64_t words, endpoints, workers;
    int64_t counters_at, adaptive_at, in_flight_at, endpoints_at, counts_at, events_at, standings_at, standing_words;
    struct hdr hdr;
    int64_t current; /* tag << 8 | which of the standings is in force */

    int64_t tat; /* rate: theoretical arrival time, and in whose terms: gcra.h */
    int64_t retry, retry_suspended_until_ns;
    int64_t capped_retry;                /* tagged: sides.h */
    int64_t consecutive, trouble;        /* tagged: window.h */
    int64_t suspicion, began;            /* tagged: breaker.h */
    int64_t window[WINDOW_BUCKETS][2];   /* tagged: window.h */
    int64_t limit_milli;                 /* tagged: limit.h */
    int64_t limit_since_ns, limit_bound_ns, limit_pause_ns, limit_ready_ns;
    int64_t typical_ns, deadline_trial_ns; /* deadline.h */
    int64_t relay, relay_since_ns;         /* relay.h */
    int64_t signal_ns, signals; /* as for endpoints; and the number of endpoints that have one */
    int64_t side_signal_ns[PARTS_END]; /* as `signal_ns`, for each side order */
    int64_t refused_by[REASONS_END], shadowed_by[REASONS_END];
    int64_t events_written;
};

/* One process's place at an edge. It lives in the process, not in the buffer. */
struct seat {
    struct edge *g;
    struct counters *counters;
    int64_t worker, random, drafting;
    int64_t era; /* of this place: a permit of an earlier one belongs to a place that was left */
    struct pick pick;       /* balance.h */
    int64_t routed;         /* the standing's `routes` that it was made for, or UNROUTED */
    int64_t *trials, trial; /* endpoints on probation, and how many */
    int64_t epoch_ns, epoch_width_ns, epoch; /* window.h: a division saved */
    int64_t events_read, events_lost, events_told, events_stuck_ns;
};

/* What a permit carries. It lives in the permit, not in the buffer. */
struct ticket {
    int64_t endpoint, start_ns, answered_ns, generation, endpoint_generation, flags, slot, era;
};
enum { EDGE_PROBE = 1, ENDPOINT_PROBE = 2, SETTLED = 4, OVERDUE = 8, FOREIGN = 16 /* observe.h */ };

static inline int64_t *state_words(const struct edge *g) { return (int64_t *)g; }

static inline struct endpoint *state_endpoint(const struct edge *g, int64_t i) {
    return (struct endpoint *)(state_words(g) + g->endpoints_at) + i;
}

static inline int64_t *state_counts(const struct edge *g) { return state_words(g) + g->counts_at; }

static inline struct counters *state_counters(const struct edge *g, int64_t worker) {
    return (struct counters *)(state_words(g) + g->counters_at) + worker;
}

/* Calls in flight, a word for each worker: of endpoint `i`, or of the edge where `i` is -1. */
static inline int64_t *state_in_flight(const struct edge *g, int64_t i) {
    return state_words(g) + g->in_flight_at + (i + 1) * g->workers;
}

static inline int64_t state_flying(const struct edge *g, int64_t i) {
    const int64_t *of = state_in_flight(g, i);
    int64_t sum = word_load(of);
    for (int64_t w = 1; w < g->workers; w++) sum += word_load(of + w);
    return sum;
}

static inline struct standing *state_standing(const struct edge *g, int64_t current) {
    return (struct standing *)(state_words(g) + g->standings_at + (current & 0xFF) * g->standing_words);
}

static inline struct place *state_place(const struct standing *st, int64_t i) { return (struct place *)(st + 1) + i; }

/* Whether what was read of the standing of `current` was all of it in force: a spare is rewritten only after another one
 * was published. */
ALWAYS_INLINE int state_still(int shared, const struct edge *g, int64_t current) {
    if (!shared) return 1;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return word_load(&g->current) == current;
}

static inline void state_due(struct standing *st, int64_t at_ns) {
    if (at_ns < st->due_ns) st->due_ns = at_ns;
}

#endif
