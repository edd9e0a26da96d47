/* Admission: breaker, retry budget, weight, rate, concurrency, endpoint, in this order. Everything is asked before
 * anything is taken, so a refusal takes no token and no slot.
 */
#ifndef CONTROLPLANE_ADMIT_H
#define CONTROLPLANE_ADMIT_H

#include "balance.h"
#include "clock.h"
#include "lapse.h"
#include "limit.h"
#include "rate.h"
#include "retry.h"

struct refusal {
    int64_t reason, retry_after_ns;
};

static int admit_refuse(struct edge *g, struct refusal *why, int64_t reason, int64_t retry_after_ns) {
    g->refused++;
    why->reason = reason;
    why->retry_after_ns = retry_after_ns;
    return 0;
}

/* A refusal that is due to what a signal decided about the edge; the first one makes it effective. */
static int admit_contain(struct edge *g, struct refusal *why, int64_t reason, int64_t retry_after_ns) {
    if (g->signal_ns) {
        event_write(g, EFFECTIVE, -1, clock_now_ns(), g->signal_ns, 0, 0);
        g->signal_ns = 0;
    }
    return admit_refuse(g, why, reason, retry_after_ns);
}

/* The retry's own part: 1 when the budget has one. */
static int admit_retry(struct edge *g, int64_t now_ns, int64_t kind, struct refusal *why) {
    if (g->limit) return admit_contain(g, why, RETRY_BUDGET, 0);
    if (kind == REDRIVE) return 1;
    if (g->retry_suspended_until_ns > now_ns)
        return admit_contain(g, why, RETRY_BUDGET, g->retry_suspended_until_ns - now_ns);
    retry_refill(g, now_ns);
    if (g->retry_milli < RETRY_MILLI) return admit_refuse(g, why, RETRY_BUDGET, retry_wait_ns(g));
    return 1;
}

/* The parts before the endpoint, when enforced: 1 when all of them agree. */
static inline int admit_edge(struct edge *g, int64_t now_ns, int64_t kind, struct refusal *why) {
    const struct policy *p = &g->policy;
    int64_t wait;
    if (__builtin_expect(g->state != EDGE_CLOSED, 0)) {
        if (g->state == EDGE_OPEN) return admit_contain(g, why, OPEN, g->until_ns - now_ns);
        if (probes_free(&g->probes, p->probes_max) < 0) return admit_contain(g, why, PROBING, 0);
    }
    if (kind != FIRST && !admit_retry(g, now_ns, kind, why)) return 0;
    if (__builtin_expect(g->weight < 100, 0) && kind != REDRIVE && random_below(&g->random, 100) >= g->weight)
        return admit_refuse(g, why, WEIGHT, 0);
    if (p->rate_interval_ns && (wait = rate_wait_ns(g, now_ns))) return admit_refuse(g, why, RATE, wait);
    if (__builtin_expect(g->limit != 0, 0) && (wait = limit_wait_ns(g, now_ns)))
        return admit_contain(g, why, CONCURRENCY, wait > 0 ? wait : 0);
    if (p->concurrency_max && g->in_flight >= p->concurrency_max) return admit_refuse(g, why, CONCURRENCY, 0);
    return 1;
}

static inline void admit_take(struct edge *g, int64_t now_ns, int64_t kind, struct ticket *t) {
    const struct policy *p = &g->policy;
    if (p->enforced) {
        if (p->rate_interval_ns) rate_take(g, now_ns);
        if (kind == AGAIN) g->retry_milli -= RETRY_MILLI;
        if (g->state == EDGE_HALF_OPEN) {
            t->flags = EDGE_PROBE;
            t->slot = probes_free(&g->probes, p->probes_max);
            probes_take(&g->probes, t->slot, now_ns);
            state_due(g, now_ns + p->probe_timeout_ns);
        }
    }
    if (kind == FIRST) retry_earn(g, p->retry_percent * (RETRY_MILLI / 100));
    else g->retries += kind == AGAIN;
    g->in_flight++;
}

static inline void admit_take_endpoint(struct edge *g, int64_t now_ns, struct ticket *t) {
    struct endpoint *e = state_endpoint(g, t->endpoint);
    t->endpoint_generation = e->generation;
    e->in_flight++;
    if (__builtin_expect(e->state == PROBATION, 0)) {
        t->flags = ENDPOINT_PROBE;
        t->slot = probes_free(&e->probes, g->policy.probes_max);
        probes_take(&e->probes, t->slot, now_ns);
        state_due(g, now_ns + g->policy.probe_timeout_ns);
    }
}

/* 1 and a ticket, or 0 and why. */
static inline int admit(struct edge *g, int64_t kind, int64_t avoid, struct ticket *t, struct refusal *why) {
    int64_t now_ns = clock_now_ns();
    lapse(g, now_ns);
    if (g->policy.enforced && !admit_edge(g, now_ns, kind, why)) return 0;
    t->endpoint = -1;
    if (g->endpoints || kind == REDRIVE) {
        t->endpoint = balance_pick(g, now_ns, kind, avoid);
        if (t->endpoint < 0) return admit_refuse(g, why, NO_ENDPOINT, 0);
    }
    t->start_ns = now_ns;
    t->answered_ns = t->endpoint_generation = t->flags = t->slot = 0;
    t->generation = g->generation;
    admit_take(g, now_ns, kind, t);
    if (t->endpoint >= 0) admit_take_endpoint(g, now_ns, t);
    return 1;
}

/* 1 when breaker or isolation would refuse a call now. */
static int admit_would_refuse(const struct edge *g) {
    if (!g->policy.enforced || g->state == EDGE_CLOSED) return 0;
    return g->state == EDGE_OPEN || probes_free(&g->probes, g->policy.probes_max) < 0;
}

#endif
