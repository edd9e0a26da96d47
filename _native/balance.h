/* Which endpoint gets the call: the better of two random ones (P2C), by calls in flight times peak-EWMA latency.
 *
 * Latency is compared only where it differs by more than a factor of two: below that it is noise, and would starve a
 * replica that is as good. And one pick in sixteen takes the first of the two without comparing: a balancer that
 * quietly avoids a sick endpoint also hides it from the tests that would eject it.
 */
#ifndef CONTROLPLANE_BALANCE_H
#define CONTROLPLANE_BALANCE_H

#include "clock.h"
#include "endpoint.h"

#define EWMA_NS SECOND_NS /* time in which an old latency loses half of its say */
#define EXPLORE_ONE_IN 16

/* first calls, retries, second lives (see try_redrive) */
enum { FIRST = 0, AGAIN, REDRIVE };

static inline void balance_learn(struct endpoint *e, int64_t now_ns, int64_t latency_ns) {
    double age = (double)(now_ns - e->ewma_at_ns);
    if (latency_ns < 1) latency_ns = 1; /* 0 says: never measured */
    if (latency_ns >= e->ewma_ns || age < 0) {
        e->ewma_ns = latency_ns; /* peak: worse is believed at once */
    } else {
        double say = (double)EWMA_NS / ((double)EWMA_NS + age);
        e->ewma_ns = latency_ns + (int64_t)((double)(e->ewma_ns - latency_ns) * say);
    }
    e->ewma_at_ns = now_ns;
}

/* The latency to expect; without news an old peak fades. */
static inline double balance_latency(const struct endpoint *e, int64_t now_ns) {
    double age = (double)(now_ns - e->ewma_at_ns);
    return (double)e->ewma_ns * ((double)EWMA_NS / ((double)EWMA_NS + (age > 0 ? age : 0)));
}

static inline int64_t balance_better(struct edge *g, int64_t a, int64_t b, int64_t now_ns) {
    const struct endpoint *x = state_endpoint(g, a), *y = state_endpoint(g, b);
    uint64_t coins = random_next(&g->random) >> 32;
    double cost_x = (double)(x->in_flight + 1), cost_y = (double)(y->in_flight + 1);
    if (coins % EXPLORE_ONE_IN == 0) return a;
    if (x->ewma_ns && y->ewma_ns) {
        double expect_x = balance_latency(x, now_ns), expect_y = balance_latency(y, now_ns);
        if (expect_x > 2 * expect_y || expect_y > 2 * expect_x) {
            cost_x *= expect_x;
            cost_y *= expect_y;
        }
    }
    if (cost_x == cost_y) return coins / EXPLORE_ONE_IN % 2 ? a : b;
    return cost_x < cost_y ? a : b;
}

/* Two distinct endpoints out of all, when nothing is wrong with any. */
static inline int64_t balance_two(struct edge *g, int64_t now_ns) {
    int64_t n = g->endpoints, a, b;
    if (n == 1) return 0;
    a = random_below(&g->random, n);
    b = random_below(&g->random, n - 1);
    return balance_better(g, a, b + (b >= a), now_ns);
}

/* The better of two random ones among the healthy other than `avoid`, as far as weights let them take part; or -1. */
static int64_t balance_usable(struct edge *g, int64_t now_ns, int64_t avoid, int weighed) {
    int64_t seen = 0, a = -1, b = -1, at;
    for (int64_t i = 0; i < g->endpoints; i++) {
        const struct endpoint *e = state_endpoint(g, i);
        if (i == avoid || e->state != HEALTHY) continue;
        if (weighed && e->weight < 100 && random_below(&g->random, 100) >= e->weight) continue;
        if (seen < 2) {
            if (seen++) b = i; else a = i;
            continue;
        }
        at = random_below(&g->random, ++seen); /* reservoir of two */
        if (at == 0) a = i;
        else if (at == 1) b = i;
    }
    if (seen < 2) return a;
    /* the reservoir keeps the order of the table; exploration wants the first of the two at random */
    return random_below(&g->random, 2) ? balance_better(g, a, b, now_ns) : balance_better(g, b, a, now_ns);
}

/* An endpoint on probation that can take this call as its probe, or -1. */
static int64_t balance_probe(struct edge *g, int64_t now_ns) {
    for (int64_t i = 0; i < g->endpoints; i++) {
        const struct endpoint *e = state_endpoint(g, i);
        if (e->state == PROBATION && e->probes.ready_ns <= now_ns && probes_free(&e->probes, g->policy.probes_max) >= 0)
            return i;
    }
    return -1;
}

/* This decision was made without the endpoints that are out: the first such one after a signal makes it effective. */
static void balance_effective(struct edge *g, int64_t picked) {
    int64_t now_ns = clock_now_ns(); /* read again: this is the time that the headline histogram is about */
    for (int64_t i = 0; i < g->endpoints; i++) {
        struct endpoint *e = state_endpoint(g, i);
        if (!e->signal_ns || i == picked) continue;
        event_write(g, EFFECTIVE, i, now_ns, e->signal_ns, 0, 0);
        endpoint_signal(g, e, 0);
    }
}

static int64_t balance_uniform(struct edge *g, int64_t avoid) {
    int64_t n = g->endpoints, i;
    if (avoid < 0 || n == 1) return random_below(&g->random, n);
    i = random_below(&g->random, n - 1);
    return i + (i >= avoid);
}

/* Index of the endpoint to call, -1: none is usable. Retries and second lives are no probes: one gamble per call. */
static int64_t balance_pick(struct edge *g, int64_t now_ns, int64_t kind, int64_t avoid) {
    int64_t picked = -1;
    if (kind == REDRIVE && g->endpoints - (avoid >= 0) < 1) return -1;
    if (!g->policy.enforced) return balance_uniform(g, avoid);
    if (__builtin_expect(!(g->ejected + g->probation + g->weighted) && avoid < 0, 1)) return balance_two(g, now_ns);
    if (g->probation && kind == FIRST && g->state == EDGE_CLOSED) picked = balance_probe(g, now_ns);
    if (picked < 0) picked = balance_usable(g, now_ns, avoid, 1);
    if (picked < 0) picked = balance_usable(g, now_ns, avoid, 0);
    if (picked < 0 && kind != REDRIVE) picked = balance_usable(g, now_ns, -1, 0);
    if (g->signals) balance_effective(g, picked);
    return picked;
}

#endif
