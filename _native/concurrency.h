/* How many calls may be in flight: as many as the policy says, or, where it adapts, as the service has been found to bear. */
#ifndef CONTROLPLANE_CONCURRENCY_H
#define CONTROLPLANE_CONCURRENCY_H

#include "adaptive.h"

#define CONCURRENCY_FIRST 20 /* before anything is known: enough to learn from, little enough to bear */

static inline struct adaptive *concurrency_adaptive(const struct edge *g) {
    return (struct adaptive *)(state_words(g) + g->adaptive_at);
}

static inline struct adaptive_policy concurrency_policy(const struct policy *p) {
    struct adaptive_policy a = {
        .limit_min = p->concurrency_min, .limit_max = p->concurrency_max, .limit_initial = CONCURRENCY_FIRST,
        .window_ns = SECOND_NS / 10, .samples_min = 48, .slack_percent = 150, .check_ns = 10 * SECOND_NS,
    };
    if (!a.limit_max || a.limit_max > ADAPTIVE_LIMIT_MAX) a.limit_max = ADAPTIVE_LIMIT_MAX;
    if (a.limit_min > a.limit_max) a.limit_min = a.limit_max;
    if (a.limit_initial < a.limit_min) a.limit_initial = a.limit_min;
    if (a.limit_initial > a.limit_max) a.limit_initial = a.limit_max;
    return a;
}

/* 0: there is no limit. */
ALWAYS_INLINE int64_t concurrency_most(const struct edge *g, const struct policy *p) {
    return __builtin_expect(p->concurrency_adapts != 0, 0) ? adaptive_limit(concurrency_adaptive(g)) : p->concurrency_max;
}

/* A call ended, or became overdue, with `flying` in flight, itself included. */
static __attribute__((noinline)) void concurrency_learn(
    struct edge *g, const struct policy *p, const struct ticket *t, int64_t now_ns, int64_t latency_ns, int64_t outcome,
    int64_t flying
) {
    struct adaptive_policy a = concurrency_policy(p);
    adaptive_learn(1, concurrency_adaptive(g), &a, t->start_ns, now_ns, latency_ns, outcome, flying);
}

/* Another policy: what was learned stays within its bounds. */
static inline void concurrency_retune(struct edge *g, const struct policy *p) {
    struct adaptive_policy a = concurrency_policy(p);
    if (p->concurrency_adapts) adaptive_retune(1, concurrency_adaptive(g), &a);
}

#endif
