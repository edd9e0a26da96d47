/* The breaker of the edge.
 *
 *     CLOSED --evidence--> OPEN --until_ns--> HALF_OPEN --probe_successes--> CLOSED
 *                            ^------one failure or a lost probe------'
 *
 * Every move raises the generation: results of calls admitted before it are no evidence after it.
 */
#ifndef CONTROLPLANE_BREAKER_H
#define CONTROLPLANE_BREAKER_H

#include "events.h"
#include "penalty.h"
#include "probes.h"
#include "window.h"

/* Forgets what the edge holds against the service: it was acted upon, or an ejection explains it. */
static inline void breaker_forget(struct edge *g) {
    g->consecutive = 0;
    window_clear(g);
}

static void breaker_move(struct edge *g, int64_t state, int64_t now_ns) {
    g->state = state;
    g->generation++;
    g->ordered = 0;
    g->until_ns = 0;
    g->closed_since_ns = now_ns;
    g->weight = 100;
    probes_clear(&g->probes);
    breaker_forget(g);
    if (state == EDGE_CLOSED) g->signal_ns = 0;
}

static void breaker_open(struct edge *g, int64_t now_ns) {
    breaker_move(g, EDGE_OPEN, now_ns);
    g->until_ns = now_ns + penalty_ns(g, g->policy.open_ns, g->policy.open_max_ns, g->opens);
    if (g->opens < 62) g->opens++;
    state_due(g, g->until_ns);
}

static inline void breaker_probe_failed(struct edge *g, int64_t now_ns) {
    event_write(g, EDGE_PROBE_FAILED, -1, now_ns, 0, 0, 0);
    breaker_open(g, now_ns);
}

/* A probe of this generation came back. */
static void breaker_probed(struct edge *g, int64_t slot, int failed, int64_t now_ns) {
    probes_release(&g->probes, slot);
    if (failed) {
        breaker_probe_failed(g, now_ns);
    } else if (++g->probes.passed >= g->policy.probe_successes) {
        event_write(g, EDGE_PROBE_PASSED, -1, now_ns, 0, 0, 0);
        breaker_move(g, EDGE_CLOSED, now_ns);
    }
}

static inline int64_t breaker_verdict(const struct edge *g) {
    const struct policy *p = &g->policy;
    if (p->breaker_consecutive && g->consecutive >= p->breaker_consecutive) return BY_CONSECUTIVE;
    if (g->window.calls < p->window_calls_min) return 0;
    if (p->failure_percent && g->window.failures * 100 >= p->failure_percent * g->window.calls) return BY_ERRORS;
    if (p->slow_percent && g->window.slow * 100 >= p->slow_percent * g->window.calls) return BY_SLOW;
    return 0;
}

/* A call of this generation ended while the breaker was closed. */
static void breaker_judge(struct edge *g, int64_t now_ns, int64_t outcome, int slow) {
    int failed = outcome != SUCCESS;
    int64_t cause, calls, bad;
    window_add(g, now_ns, failed, slow, failed && outcome != ERROR);
    g->consecutive = failed ? g->consecutive + 1 : 0;
    cause = breaker_verdict(g);
    if (__builtin_expect(!cause, 1)) {
        /* a whole window of closed operation, ended by a success: the next penalty is one step shorter */
        if (g->opens && !failed && now_ns - g->closed_since_ns >= g->policy.window_ns) {
            g->opens--;
            g->closed_since_ns = now_ns;
        }
        return;
    }
    calls = cause == BY_CONSECUTIVE ? g->consecutive : g->window.calls;
    bad = cause == BY_CONSECUTIVE ? g->consecutive : cause == BY_SLOW ? g->window.slow : g->window.failures;
    if (cause != BY_SLOW && g->window.overload * 2 > g->window.failures) cause = BY_OVERLOAD;
    event_write(g, EDGE_OPENED, -1, now_ns, cause, calls, bad);
    if (g->policy.enforced) {
        breaker_open(g, now_ns);
        g->signal_ns = now_ns;
    } else {
        breaker_forget(g);
    }
}

#endif
