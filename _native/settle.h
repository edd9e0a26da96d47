/* Settlement: the slot goes back, the result becomes evidence, and a reflex acts within the same instructions.
 *
 * A result is evidence only about what has not changed since its call was admitted: both generations must be current.
 * A call that probed an endpoint is evidence about that endpoint alone, because we sent it there on suspicion.
 */
#ifndef CONTROLPLANE_SETTLE_H
#define CONTROLPLANE_SETTLE_H

#include "balance.h"
#include "clock.h"
#include "lapse.h"
#include "limit.h"

static inline struct endpoint *settle_endpoint(struct edge *g, const struct ticket *t) {
    return t->endpoint < 0 ? (struct endpoint *)0 : state_endpoint(g, t->endpoint);
}

static inline void settle_release(struct edge *g, struct ticket *t) {
    t->flags |= SETTLED;
    g->in_flight--;
    if (t->endpoint >= 0) state_endpoint(g, t->endpoint)->in_flight--;
}

static inline void settle_count(
    struct edge *g, struct endpoint *e, int64_t now_ns, int64_t latency_ns, int failed, int slow
) {
    g->calls++;
    g->failures += failed;
    g->slow += slow;
    int64_t counted_ns = latency_ns < LATENCY_HIGHEST_NS ? latency_ns : LATENCY_HIGHEST_NS;
    if (!failed) state_counts(g)[hdr_index(&g->hdr, counted_ns)]++;
    if (!e) return;
    e->calls++;
    e->failures += failed;
    e->slow += slow;
    if (!failed) balance_learn(e, now_ns, latency_ns);
}

static inline void settle_judge(struct edge *g, const struct ticket *t, int64_t now_ns, int64_t outcome) {
    struct endpoint *e = settle_endpoint(g, t);
    int64_t latency_ns = (t->answered_ns ? t->answered_ns : now_ns) - t->start_ns;
    int failed = outcome != SUCCESS, slow, current, explained = 0;
    if (latency_ns < 0) latency_ns = 0;
    slow = !failed && g->policy.slow_ns && latency_ns >= g->policy.slow_ns;
    settle_count(g, e, now_ns, latency_ns, failed, slow);
    if (__builtin_expect(g->limit != 0, 0)) limit_learn(g, t->start_ns, now_ns, outcome);
    current = !e || t->endpoint_generation == e->generation;
    if (t->flags & ENDPOINT_PROBE) {
        if (current) endpoint_probed(g, t->endpoint, t->slot, failed || slow, now_ns);
        return;
    }
    if (!current && !(t->flags & EDGE_PROBE)) return; /* what an ejection explains is not held against the edge */
    if (t->generation != g->generation) return;
    if (e && current && e->state == HEALTHY) explained = endpoint_judge(g, t->endpoint, now_ns, outcome, slow);
    if (t->flags & EDGE_PROBE) breaker_probed(g, t->slot, failed || (slow && g->policy.slow_percent), now_ns);
    else if (!explained) breaker_judge(g, now_ns, outcome, slow);
}

/* The call ended. Returns 1 when there are new rows. */
static inline int settle(struct edge *g, struct ticket *t, int64_t outcome) {
    int64_t now_ns;
    if (t->flags & SETTLED) return 0;
    settle_release(g, t);
    if (t->flags & OVERDUE) return 0; /* it was judged when it became overdue */
    now_ns = clock_now_ns();
    lapse(g, now_ns);
    settle_judge(g, t, now_ns, outcome);
    return event_tell(g);
}

/* The call is overdue and goes on. */
static int settle_overdue(struct edge *g, struct ticket *t) {
    int64_t now_ns;
    if (t->flags & (SETTLED | OVERDUE)) return 0;
    t->flags |= OVERDUE;
    now_ns = clock_now_ns();
    lapse(g, now_ns);
    settle_judge(g, t, now_ns, STALLED);
    return event_tell(g);
}

/* The call ended without saying anything about the service; a probe gives its slot to the next one. */
static void settle_cancel(struct edge *g, struct ticket *t) {
    struct endpoint *e = settle_endpoint(g, t);
    if (t->flags & SETTLED) return;
    settle_release(g, t);
    if (t->flags & OVERDUE) return;
    g->cancelled++;
    if (t->flags & EDGE_PROBE && t->generation == g->generation) probes_release(&g->probes, t->slot);
    if (t->flags & ENDPOINT_PROBE && t->endpoint_generation == e->generation) {
        probes_release(&e->probes, t->slot);
        e->probes.ready_ns = clock_now_ns() + PROBE_PAUSE_NS;
    }
}

#endif
