/* Another policy, put in force at once for all processes and with calls in flight. What was counted stays counted: the
 * rate keeps what was taken, in calls (gcra.h); the window is carried over to its new width; who is out stays out until the time
 * that the old policy set.
 */
#ifndef CONTROLPLANE_RETUNE_H
#define CONTROLPLANE_RETUNE_H

#include "admit.h"
#include "concurrency.h"
#include "lapse.h"
#include "orders.h"

#define RATE_SPAN_MAX_NS ((int64_t)1 << 61) /* rate_burst * rate_interval_ns */

/* Another interval: what was taken is carried over by whoever meets it. Before that it is brought into the present terms. */
static void retune_rate(struct draft *d, int64_t interval_ns) {
    struct standing *st = d->st;
    if (!interval_ns || interval_ns == st->rate_ns) return;
    if (st->rate_ns) {
        int64_t most = RATE_SPAN_MAX_NS / st->rate_ns; /* a burst that was set while there was no rate was not held to it */
        int64_t burst = st->policy.rate_burst < most ? st->policy.rate_burst : most;
        struct gcra now = {&d->g->current, d->base, st->rate_ns, burst, st->rate_from_ns, st->rate_side};
        gcra_load(&d->g->tat, clock_now_ns(), &now);
        st->rate_from_ns = st->rate_ns;
        st->rate_side ^= 1;
    }
    st->rate_ns = interval_ns;
}

/* The highest burst that keeps rate_burst * rate_interval_ns in 61 bits; NEVER: any does. */
static inline int64_t retune_burst_max(const struct policy *p) {
    return p->rate_interval_ns ? RATE_SPAN_MAX_NS / p->rate_interval_ns : NEVER;
}

/* Puts the `fields` (bits, in the order of struct policy) of `policy` in force, and leaves the others as they are when it is
 * published: of two that change different fields at once none undoes the other. 0: with what the others hold by now it would be
 * no policy (rate_burst), and `policy` holds what was refused. */
static int retune(struct seat *s, int64_t now_ns, struct policy *policy, uint64_t fields) {
    DRAFT(d);
    int64_t *given = (int64_t *)policy;
    do {
        const int64_t *is;
        draft_begin(&d, s);
        is = (const int64_t *)&d.st->policy;
        for (size_t k = 0; k < sizeof *policy / sizeof(int64_t); k++)
            if (!(fields >> k & 1)) given[k] = is[k];
        policy->enforced = d.st->policy.enforced; /* a matter of orders: orders.h */
        if (policy->rate_burst > retune_burst_max(policy)) return 0;
        if (policy->window_ns != d.st->policy.window_ns) window_resize(&d, now_ns, policy->window_ns);
        retune_rate(&d, policy->rate_interval_ns);
        d.st->policy = *policy;
        d.st->routes++;
    } while (!draft_commit(&d));
    concurrency_retune(s->g, policy);
    return 1;
}

static void retune_slow_ns(struct seat *s, int64_t slow_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        d.st->policy.slow_ns = slow_ns;
    } while (!draft_commit(&d));
}

/* `share` of the calls fail when all is well; below 1 % is not believed. */
static void retune_failure_share(struct seat *s, double share) {
    int64_t rung = rung_of(share > FAILURE_SHARE_LOWEST ? share : FAILURE_SHARE_LOWEST);
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (d.st->failure_rung == rung) return;
        evidence_believe(d.st, rung);
    } while (!draft_commit(&d));
}

/* Worker `worker` is gone: what it had in flight has ended, and its probes are for others. Repeating it is harmless. */
static void reclaim(struct seat *s, int64_t worker, int64_t now_ns) {
    DRAFT(d);
    struct edge *g = s->g;
    for (int64_t i = -1; i < g->endpoints; i++) word_store(state_in_flight(g, i) + worker, 0);
    do {
        int64_t released = 0;
        draft_begin(&d, s);
        for (uint64_t busy = (uint64_t)d.st->busy; busy; busy &= busy - 1) {
            int64_t slot = __builtin_ctzll(busy), of = d.st->probes[slot].endpoint;
            if (d.st->probes[slot].worker != worker) continue;
            probes_release(&d, slot);
            if (of != EDGE) state_place(d.st, of)->ready_ns = now_ns + PROBE_PAUSE_NS;
            released++;
        }
        if (!released) return;
    } while (!draft_commit(&d));
}

/* This process goes on with a copy of its own: what any process had in flight is no longer of its world. */
static void alone(struct seat *s, int64_t now_ns) {
    for (int64_t w = 0; w < s->g->workers; w++) reclaim(s, w, now_ns);
}

#endif
