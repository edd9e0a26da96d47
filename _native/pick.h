/* The pick: the better of two endpoints drawn from a table, in constant time however many there are.
 *
 * The table is each process's own; what it draws by (calls in flight, latencies) may be words that processes share.
 */
#ifndef CONTROLPLANE_PICK_H
#define CONTROLPLANE_PICK_H

#include "cost.h"
#include "route.h"

struct pick {
    int64_t endpoints, workers;
    const int64_t *in_flight;                /* a word for each endpoint and worker */
    const int64_t *latency;                  /* a word for each endpoint, ... */
    int64_t latency_step;                    /* ... so many words apart */
    struct site *sites;                      /* this process's own, as all that follows */
    int64_t *table, *burden, *scratch;
    int64_t random;
    struct route_policy policy;
    struct route route;
};

ALWAYS_INLINE int64_t pick_flying(const struct pick *p, int64_t i) {
    const int64_t *of = p->in_flight + i * p->workers;
    int64_t sum = word_load(of);
    for (int64_t w = 1; w < p->workers; w++) sum += word_load(of + w);
    return sum;
}

ALWAYS_INLINE int64_t pick_load(const struct pick *p, int64_t i) { return ROUTE_FAIR + pick_flying(p, i) * p->burden[i]; }

ALWAYS_INLINE int64_t pick_latency(const struct pick *p, int64_t i) { return word_load(p->latency + i * p->latency_step); }

/* Drawn as the table says, without `avoid`. Where that one has nearly all of the odds, the first other one that has a share:
 * the only pick that looks at more than a few. */
static __attribute__((noinline)) int64_t pick_other(struct pick *p, int64_t avoid) {
    int64_t n = p->endpoints, other = -1, at;
    for (int k = 0; k < 4 && other < 0; k++) other = alias_draw_other(p->table, n, &p->random, avoid);
    if (other >= 0) return other;
    at = random_below(&p->random, n);
    for (int64_t k = 0; k < n; k++) {
        int64_t entry = word_load(&p->table[at]);
        if ((uint64_t)entry >> 32 && at != avoid) return at;
        if ((int64_t)(uint32_t)entry != avoid) return (int64_t)(uint32_t)entry;
        at = at + 1 < n ? at + 1 : 0;
    }
    return -1;
}

/* The endpoint for one call, other than `avoid` (-1: any), or -1. */
ALWAYS_INLINE int64_t pick_one(struct pick *p, int64_t avoid) {
    uint64_t random = random_next(&p->random);
    int64_t first, second;
    if (__builtin_expect(!p->route.drawable, 0)) return -1;
    if (p->endpoints == 1) return avoid ? 0 : -1;
    first = alias_draw(p->table, p->endpoints, random);
    if (avoid >= 0 && first == avoid && (first = pick_other(p, avoid)) < 0) return -1;
    if (random % COST_EXPLORE_ONE_IN == 0) return first;
    second = alias_draw_other(p->table, p->endpoints, &p->random, first);
    if (second >= 0 && second != avoid
        && cost_second_wins(pick_latency(p, first), pick_load(p, first), pick_latency(p, second), pick_load(p, second)))
        return second;
    return first;
}

static void pick_turn(struct pick *p) {
    p->route = route_build(p->sites, p->endpoints, &p->policy, p->table, p->burden, p->scratch);
}

#endif
