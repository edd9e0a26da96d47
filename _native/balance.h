/* Which endpoint gets the call: the pick of pick.h, from a table that this process makes from the standing whenever `routes`
 * has moved; before it, an endpoint on probation that may have this call as its probe.
 */
#ifndef CONTROLPLANE_BALANCE_H
#define CONTROLPLANE_BALANCE_H

#include "clock.h"
#include "endpoint.h"
#include "sides.h"

/* first calls, retries, second lives (see try_redrive) */
enum { FIRST = 0, AGAIN, REDRIVE };

/* Makes the table anew. Threads of one process that run at once make it one after the other. */
static __attribute__((noinline)) void balance_turn(struct seat *s, const struct standing *st) {
    struct pick *p = &s->pick;
    DRAFT(lock);
    lock.s = s;
    draft_lock(&lock, s);
    s->trial = 0;
    for (int64_t i = 0; i < p->endpoints; i++) {
        const struct place *at = state_place(st, i);
        p->sites[i].usable = at->state == HEALTHY;
        p->sites[i].percent = (at->weight * at->ramp + 99) / 100;
        if ((uint64_t)p->sites[i].percent > 100) p->sites[i].percent = 100; /* the words are shared, the sums are ours */
        if (at->state == PROBATION) s->trials[s->trial++] = i;
    }
    p->policy.overprovision_percent = st->policy.overprovision_percent;
    p->policy.panic_percent = st->policy.panic_percent;
    p->policy.fail_over_percent = side_is(st, PART_FAIL_OVER) ? st->side[PART_FAIL_OVER].value : 0;
    if ((uint64_t)p->policy.fail_over_percent > 100) p->policy.fail_over_percent = 100;
    pick_turn(p);
    s->routed = st->routes;
}

/* Percent of the calls that an order has moved to endpoints that stand by, as far as they have room. */
static int64_t balance_moved_percent(struct seat *s, const struct standing *st, int64_t current) {
    if (!s->g->endpoints || !side_is(st, PART_FAIL_OVER)) return 0;
    if (st->routes != s->routed) balance_turn(s, st);
    if (!state_still(1, s->g, current)) s->routed = UNROUTED;
    return (s->pick.route.moved + ROUTE_ONE / 200) / (ROUTE_ONE / 100);
}

/* An endpoint on probation that can take this call as its probe, or -1. Of several the one that has waited longest: where
 * probes of one say nothing (relayed failures), the others have theirs all the same. */
static int64_t balance_probe(const struct seat *s, const struct standing *st, int64_t now_ns) {
    int64_t found = -1, ready_ns = NEVER;
    for (int64_t k = 0; k < s->trial; k++) {
        const struct place *at = state_place(st, s->trials[k]);
        if (at->state != PROBATION || at->ready_ns > now_ns || at->ready_ns >= ready_ns) continue;
        if (!probes_free(st, s->trials[k])) continue;
        found = s->trials[k];
        ready_ns = at->ready_ns;
    }
    return found;
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

/* Where something is out, or to be avoided. Retries and second lives are no probes: one gamble per call. */
static __attribute__((noinline)) int64_t balance_around(
    struct seat *s, const struct standing *st, int64_t now_ns, int64_t kind, int64_t avoid
) {
    struct edge *g = s->g;
    int64_t picked = -1;
    if (kind == REDRIVE && g->endpoints - (avoid >= 0) < 1) return -1;
    if (!st->policy.enforced) return balance_uniform(s, avoid);
    if (st->probation && kind == FIRST && st->state == EDGE_CLOSED) picked = balance_probe(s, st, now_ns);
    if (picked < 0) picked = pick_one(&s->pick, avoid);
    if (picked < 0 && kind != REDRIVE) picked = pick_one(&s->pick, -1);
    if (word_load(&g->signals)) balance_effective(g, st, picked);
    return picked;
}

/* An endpoint that owes answers and has been silent for long may hang. The comparison keeps calls away from it, and so keeps it
 * from the test that would eject it: as many calls have to fail in any case, and the sooner they do the better. So one pick in
 * four looks at a random endpoint, and takes it if it is silent. */
#define BALANCE_SILENT_NS (SECOND_NS / 10)      /* and eight times its usual latency, ... */
#define BALANCE_SILENT_MAX_NS (3 * SECOND_NS / 10) /* ... but not more than this: to be asked does a slow one no harm */

ALWAYS_INLINE int64_t balance_silent(struct seat *s, int64_t now_ns) {
    uint64_t random;
    int64_t i, word, silent_ns, usual_ns;
    if (s->pick.endpoints < 2 || (random = random_next(&s->random)) & 3) return -1;
    i = alias_draw(s->pick.table, s->pick.endpoints, random);
    word = pick_latency(&s->pick, i);
    silent_ns = cost_ticks(word, now_ns >> COST_TICK_SHIFT) << COST_TICK_SHIFT;
    usual_ns = 8 * cost_ewma_ns(word);
    if (usual_ns > BALANCE_SILENT_MAX_NS) usual_ns = BALANCE_SILENT_MAX_NS;
    if (!word || silent_ns < BALANCE_SILENT_NS || silent_ns < usual_ns) return -1;
    /* in flight, or overdue and not in flight here any more */
    return pick_flying(&s->pick, i) || word_load(&state_endpoint(s->g, i)->since_kinds) & BITS(16) ? i : -1;
}

/* Index of the endpoint to call, -1: none is usable. */
ALWAYS_INLINE int64_t balance_pick(
    struct seat *s, const struct standing *st, int64_t now_ns, int64_t kind, int64_t avoid
) {
    int64_t silent;
    if (__builtin_expect(st->routes != s->routed, 0)) balance_turn(s, st);
    if (__builtin_expect(st->policy.enforced && !(st->ejected + st->probation) && avoid < 0, 1))
        return (silent = balance_silent(s, now_ns)) >= 0 ? silent : pick_one(&s->pick, -1);
    return balance_around(s, st, now_ns, kind, avoid);
}

#endif
