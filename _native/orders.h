/* Orders of the control plane. Each is idempotent and expires by itself; while only observing they are ignored. */
#ifndef CONTROLPLANE_ORDERS_H
#define CONTROLPLANE_ORDERS_H

#include "lapse.h"

/* An order may not take the last healthy endpoint out: such an order is ignored. */
static int order_keeps_one(struct edge *g, int64_t i) {
    for (int64_t k = 0; k < g->endpoints; k++)
        if (k != i && state_endpoint(g, k)->state == HEALTHY) return 1;
    return 0;
}

static void order_eject(struct edge *g, int64_t i, int64_t now_ns, int64_t lease_ns, int64_t signal_ns) {
    struct endpoint *e = state_endpoint(g, i);
    if (!g->policy.enforced || !order_keeps_one(g, i)) return;
    if (e->state != EJECTED) {
        int already = e->state == PROBATION;
        endpoint_move(g, e, EJECTED, now_ns);
        if (!already) breaker_forget(g);
        endpoint_signal(g, e, signal_ns);
    }
    if (now_ns + lease_ns > e->until_ns) e->until_ns = now_ns + lease_ns;
    e->ordered = 1;
    state_due(g, e->until_ns);
}

static void order_probe(struct edge *g, int64_t i, int64_t now_ns, int64_t lease_ns) {
    struct endpoint *e = state_endpoint(g, i);
    if (!g->policy.enforced || !order_keeps_one(g, i)) return;
    if (e->state != PROBATION) endpoint_move(g, e, PROBATION, now_ns);
    e->until_ns = now_ns + lease_ns;
    e->ordered = 1;
    state_due(g, e->until_ns);
}

static void order_weigh(struct edge *g, int64_t i, int64_t now_ns, int64_t percent, int64_t lease_ns) {
    struct endpoint *e = state_endpoint(g, i);
    if (!g->policy.enforced) return;
    if (e->state == EJECTED && !e->ordered) return; /* a reflex has newer evidence than this order */
    if (e->state != HEALTHY) endpoint_move(g, e, HEALTHY, now_ns);
    endpoint_weigh(g, e, percent);
    e->weight_until_ns = now_ns + lease_ns;
    if (percent < 100) state_due(g, e->weight_until_ns);
}

static void order_restore(struct edge *g, int64_t i, int64_t now_ns) {
    struct endpoint *e = state_endpoint(g, i);
    if (e->state != HEALTHY) endpoint_move(g, e, HEALTHY, now_ns);
    endpoint_weigh(g, e, 100);
    evidence_clear(e);
}

static void order_isolate(struct edge *g, int64_t now_ns, int64_t lease_ns, int64_t signal_ns) {
    if (!g->policy.enforced) return;
    if (g->state != EDGE_OPEN) {
        breaker_move(g, EDGE_OPEN, now_ns);
        g->signal_ns = signal_ns;
    }
    if (now_ns + lease_ns > g->until_ns) g->until_ns = now_ns + lease_ns;
    g->ordered = 1;
    state_due(g, g->until_ns);
}

static void order_probe_edge(struct edge *g, int64_t now_ns, int64_t lease_ns) {
    if (!g->policy.enforced) return;
    if (g->state != EDGE_HALF_OPEN) breaker_move(g, EDGE_HALF_OPEN, now_ns);
    g->until_ns = now_ns + lease_ns;
    g->ordered = 1;
    state_due(g, g->until_ns);
}

static void order_weigh_edge(struct edge *g, int64_t now_ns, int64_t percent, int64_t lease_ns) {
    if (!g->policy.enforced) return;
    if (g->state != EDGE_CLOSED) breaker_move(g, EDGE_CLOSED, now_ns);
    g->weight = percent;
    g->weight_until_ns = now_ns + lease_ns;
    if (percent < 100) state_due(g, g->weight_until_ns);
}

static void order_limit(struct edge *g, int64_t now_ns, int64_t concurrency, int64_t lease_ns, int64_t signal_ns) {
    if (!g->policy.enforced) return;
    if (!g->limit) g->signal_ns = signal_ns;
    if (concurrency != g->limit) limit_begin(g, now_ns, concurrency); /* a renewal keeps what was learned */
    g->limit_until_ns = now_ns + lease_ns;
    state_due(g, g->limit_until_ns);
}

static void order_restore_edge(struct edge *g, int64_t now_ns) {
    if (g->state != EDGE_CLOSED) breaker_move(g, EDGE_CLOSED, now_ns);
    breaker_forget(g);
    g->weight = 100;
    limit_clear(g);
    g->signal_ns = g->retry_suspended_until_ns = 0;
}

/* From enforcing to observing everything is taken back. From observing to enforcing evidence starts at zero: nothing is
 * done about what happened while nothing was to be done.
 */
static void order_enforce(struct edge *g, int64_t now_ns, int64_t on) {
    if (on && !g->policy.enforced) {
        breaker_forget(g);
        for (int64_t i = 0; i < g->endpoints; i++) evidence_clear(state_endpoint(g, i));
    }
    if (!on) {
        order_restore_edge(g, now_ns);
        for (int64_t i = 0; i < g->endpoints; i++) {
            struct endpoint *e = state_endpoint(g, i);
            if (e->state != HEALTHY) endpoint_move(g, e, HEALTHY, now_ns);
            endpoint_weigh(g, e, 100);
        }
    }
    g->policy.enforced = on;
}

#endif
