/* What changes by itself: penalties and leases that end, probes that never came back. Nothing runs on a timer here:
 * the next call, settlement, order or reading that finds `due_ns` passed brings everything up to date first.
 */
#ifndef CONTROLPLANE_LAPSE_H
#define CONTROLPLANE_LAPSE_H

#include "endpoint.h"
#include "limit.h"

static void lapse_edge(struct edge *g, int64_t now_ns) {
    if (g->state == EDGE_HALF_OPEN && probes_due(&g->probes, g->policy.probe_timeout_ns) <= now_ns)
        breaker_probe_failed(g, now_ns);
    if (g->ordered && g->until_ns <= now_ns) {
        event_write(g, LEASE_LAPSED, -1, now_ns, 0, 0, 0);
        g->ordered = 0; /* a half-open edge stays so: its probes are the reflex's own */
    }
    if (g->state == EDGE_OPEN && g->until_ns <= now_ns) breaker_move(g, EDGE_HALF_OPEN, now_ns);
    if (g->weight < 100 && g->weight_until_ns <= now_ns) {
        g->weight = 100;
        event_write(g, LEASE_LAPSED, -1, now_ns, 0, 0, 0);
    }
    if (g->limit && g->limit_until_ns <= now_ns) {
        limit_clear(g);
        if (g->state == EDGE_CLOSED) g->signal_ns = 0;
        event_write(g, LEASE_LAPSED, -1, now_ns, 0, 0, 0);
    }
    if (g->state == EDGE_OPEN || g->ordered) state_due(g, g->until_ns);
    if (g->state == EDGE_HALF_OPEN) state_due(g, probes_due(&g->probes, g->policy.probe_timeout_ns));
    if (g->weight < 100) state_due(g, g->weight_until_ns);
    if (g->limit) state_due(g, g->limit_until_ns);
}

static void lapse_endpoint(struct edge *g, int64_t i, int64_t now_ns) {
    struct endpoint *e = state_endpoint(g, i);
    if (e->state == PROBATION && probes_due(&e->probes, g->policy.probe_timeout_ns) <= now_ns)
        endpoint_probe_failed(g, i, now_ns);
    if (e->ordered && e->until_ns <= now_ns) {
        event_write(g, LEASE_LAPSED, i, now_ns, 0, 0, 0);
        e->ordered = 0;
    }
    if (e->state == EJECTED && e->until_ns <= now_ns) endpoint_move(g, e, PROBATION, now_ns);
    if (e->weight < 100 && e->weight_until_ns <= now_ns) {
        endpoint_weigh(g, e, 100);
        event_write(g, LEASE_LAPSED, i, now_ns, 0, 0, 0);
    }
    if (e->state == EJECTED || e->ordered) state_due(g, e->until_ns);
    if (e->state == PROBATION) state_due(g, probes_due(&e->probes, g->policy.probe_timeout_ns));
    if (e->weight < 100) state_due(g, e->weight_until_ns);
}

static void lapse_all(struct edge *g, int64_t now_ns) {
    g->due_ns = NEVER;
    lapse_edge(g, now_ns);
    for (int64_t i = 0; i < g->endpoints; i++) lapse_endpoint(g, i, now_ns);
}

static inline void lapse(struct edge *g, int64_t now_ns) {
    if (__builtin_expect(now_ns >= g->due_ns, 0)) lapse_all(g, now_ns);
}

#endif
