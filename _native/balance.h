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
    int64_t ewma_ns = word_load(&e->ewma_ns);
    double age = (double)(now_ns - word_load(&e->ewma_at_ns));
    if (latency_ns < 1) latency_ns = 1; /* 0 says: never measured */
    if (latency_ns < ewma_ns && age >= 0) { /* peak: worse is believed at once */
        double say = (double)EWMA_NS / ((double)EWMA_NS + age);
        latency_ns += (int64_t)((double)(ewma_ns - latency_ns) * say);
    }
    word_store(&e->ewma_ns, latency_ns); /* two words: another process may see one of them older, an error of one call */
    word_store(&e->ewma_at_ns, now_ns);
}

/* The latency to expect; without news an old peak fades. */
static inline double balance_latency(const struct endpoint *e, int64_t now_ns) {
    double age = (double)(now_ns - e->ewma_at_ns);
    return (double)e->ewma_ns * ((double)EWMA_NS / ((double)EWMA_NS + (age > 0 ? age : 0)));
}

static inline int64_t balance_better(struct seat *s, int64_t a, int64_t b, int64_t now_ns) {
    const struct edge *g = s->g;
    const struct endpoint *x = state_endpoint(g, a), *y = state_endpoint(g, b);
    uint64_t coins = random_next(&s->random) >> 32;
    double cost_x = (double)(state_flying(g, a) + 1), cost_y = (double)(state_flying(g, b) + 1);
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
static inline int64_t balance_two(struct seat *s, int64_t now_ns) {
    int64_t n = s->g->endpoints, a, b;
    if (n == 1) return 0;
    a = random_below(&s->random, n);
    b = random_below(&s->random, n - 1);
    return balance_better(s, a, b + (b >= a), now_ns);
}

/* The better of two random ones among the healthy other than `avoid`, as far as weights let them take part; or -1. */
static int64_t balance_usable(struct seat *s, const struct standing *st, int64_t now_ns, int64_t avoid, int weighed) {
    int64_t seen = 0, a = -1, b = -1, at;
    for (int64_t i = 0; i < s->g->endpoints; i++) {
        const struct place *e = state_place(st, i);
        if (i == avoid || e->state != HEALTHY) continue;
        if (weighed && e->weight < 100 && random_below(&s->random, 100) >= e->weight) continue;
        if (seen < 2) {
            if (seen++) b = i; else a = i;
            continue;
        }
        at = random_below(&s->random, ++seen); /* reservoir of two */
        if (at == 0) a = i;
        else if (at == 1) b = i;
    }
    if (seen < 2) return a;
    /* the reservoir keeps the order of the table; exploration wants the first of the two at random */
    return random_below(&s->random, 2) ? balance_better(s, a, b, now_ns) : balance_better(s, b, a, now_ns);
}

/* An endpoint on probation that can take this call as its probe, or -1. */
static int64_t balance_probe(const struct edge *g, const struct standing *st, int64_t now_ns) {
    for (int64_t i = 0; i < g->endpoints; i++) {
        const struct place *at = state_place(st, i);
        if (at->state == PROBATION && at->ready_ns <= now_ns && probes_free(st, i)) return i;
    }
    return -1;
}

/* This decision was made without the endpoints that are out: the first such one after a signal makes it effective. */
static void balance_effective(struct edge *g, const struct standing *st, int64_t picked) {
    int64_t now_ns = clock_now_ns(); /* read again: this is the time that the headline histogram is about */
    for (int64_t i = 0; i < g->endpoints; i++) {
        int64_t *signal = &state_endpoint(g, i)->signal_ns, signal_ns;
        if (!word_load(signal) || i == picked || !(signal_ns = signal_take(g, signal, 1))) continue;
        if (state_place(st, i)->state != HEALTHY) event_write(g, EFFECTIVE, i, now_ns, signal_ns, 0, 0);
    }
}

/* While only observing nothing is steered: any one but `avoid`. */
static int64_t balance_uniform(struct seat *s, int64_t avoid) {
    int64_t n = s->g->endpoints, i;
    if (avoid < 0 || n == 1) return random_below(&s->random, n);
    i = random_below(&s->random, n - 1);
    return i + (i >= avoid);
}

/* Where something is out, weighed or to be avoided. Retries and second lives are no probes: one gamble per call. */
static __attribute__((noinline)) int64_t balance_around(
    struct seat *s, const struct standing *st, int64_t now_ns, int64_t kind, int64_t avoid
) {
    struct edge *g = s->g;
    int64_t picked = -1;
    if (kind == REDRIVE && g->endpoints - (avoid >= 0) < 1) return -1;
    if (!st->policy.enforced) return balance_uniform(s, avoid);
    if (st->probation && kind == FIRST && st->state == EDGE_CLOSED) picked = balance_probe(g, st, now_ns);
    if (picked < 0) picked = balance_usable(s, st, now_ns, avoid, 1);
    if (picked < 0) picked = balance_usable(s, st, now_ns, avoid, 0);
    if (picked < 0 && kind != REDRIVE) picked = balance_usable(s, st, now_ns, -1, 0);
    if (word_load(&g->signals)) balance_effective(g, st, picked);
    return picked;
}

/* Index of the endpoint to call, -1: none is usable. */
ALWAYS_INLINE int64_t balance_pick(
    struct seat *s, const struct standing *st, int64_t now_ns, int64_t kind, int64_t avoid
) {
    if (__builtin_expect(st->policy.enforced && !(st->ejected + st->probation + st->weighted) && avoid < 0, 1))
        return balance_two(s, now_ns);
    return balance_around(s, st, now_ns, kind, avoid);
}

#endif
