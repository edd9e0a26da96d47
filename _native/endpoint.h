/* One endpoint's way out of traffic and back.
 *
 *     HEALTHY --evidence, order--> EJECTED --until_ns, order--> PROBATION --probe_successes--> HEALTHY
 *                                     ^---a failed, slow or lost probe---'
 *
 * Every move raises the endpoint's generation and begins with no evidence. At least one endpoint is HEALTHY at all
 * times: the reflex needs a clean sibling, and an order that would take the last one is ignored.
 */
#ifndef CONTROLPLANE_ENDPOINT_H
#define CONTROLPLANE_ENDPOINT_H

#include "breaker.h"
#include "evidence.h"
#include "retry.h"

#define PROBE_PAUSE_NS (20 * SECOND_NS / 1000) /* between the end of a probe and the next one */
#define EJECTIONS_DECAY 10 /* times eject_ns in health, with calls, make the next penalty a step shorter */

static inline void endpoint_weigh(struct edge *g, struct endpoint *e, int64_t percent) {
    g->weighted += (percent < 100) - (e->weight < 100);
    e->weight = percent;
}

static inline void endpoint_signal(struct edge *g, struct endpoint *e, int64_t signal_ns) {
    g->signals += (signal_ns != 0) - (e->signal_ns != 0);
    e->signal_ns = signal_ns;
}

static void endpoint_move(struct edge *g, struct endpoint *e, int64_t state, int64_t now_ns) {
    g->ejected += (state == EJECTED) - (e->state == EJECTED);
    g->probation += (state == PROBATION) - (e->state == PROBATION);
    e->state = state;
    e->generation++;
    e->until_ns = e->ordered = 0;
    e->healthy_since_ns = now_ns;
    endpoint_weigh(g, e, 100);
    probes_clear(&e->probes);
    evidence_clear(e);
    if (state == HEALTHY) endpoint_signal(g, e, 0);
}

static void endpoint_eject(struct edge *g, struct endpoint *e, int64_t now_ns) {
    endpoint_move(g, e, EJECTED, now_ns);
    e->until_ns = now_ns + penalty_ns(g, g->policy.eject_ns, g->policy.eject_max_ns, e->ejections);
    if (e->ejections < 62) e->ejections++;
    state_due(g, e->until_ns);
}

static inline void endpoint_probe_failed(struct edge *g, int64_t i, int64_t now_ns) {
    event_write(g, ENDPOINT_PROBE_FAILED, i, now_ns, 0, 0, 0);
    endpoint_eject(g, state_endpoint(g, i), now_ns);
}

/* A probe of this generation came back. */
static void endpoint_probed(struct edge *g, int64_t i, int64_t slot, int failed, int64_t now_ns) {
    struct endpoint *e = state_endpoint(g, i);
    probes_release(&e->probes, slot);
    e->probes.ready_ns = now_ns + PROBE_PAUSE_NS;
    if (failed) {
        endpoint_probe_failed(g, i, now_ns);
    } else if (++e->probes.passed >= g->policy.probe_successes) {
        event_write(g, ENDPOINT_PROBE_PASSED, i, now_ns, 0, 0, 0);
        endpoint_move(g, e, HEALTHY, now_ns);
    }
}

/* True when a reflex may take endpoint `i` out: under the cap, and a clean sibling takes over. */
static int endpoint_may_eject(struct edge *g, int64_t i) {
    const struct tally *since = &state_endpoint(g, i)->since;
    int overload = since->overload * 2 > since->failures;
    int64_t cap = g->endpoints * g->policy.ejected_percent_max / 100;
    if (g->ejected + g->probation + 1 > (cap > 1 ? cap : 1)) return 0;
    for (int64_t k = 0; k < g->endpoints; k++) {
        struct endpoint *sibling = state_endpoint(g, k);
        if (k == i || sibling->state != HEALTHY || !evidence_clean(sibling, &g->policy)) continue;
        /* load moves to the sibling: where load may be the cause, one recent failure says that it cannot bear it */
        if (!overload || sibling->evidence_mnat < FAILED_MNAT) return 1;
    }
    return 0;
}

/* True when all endpoints fail at once by time-outs, stalls or 429/503, and their evidence together would condemn one: a
 * caller with few calls to each learns from the sum what no endpoint alone would tell it in time. One that hangs beside
 * a stray time-out elsewhere is not all of them. */
static int endpoint_all_overloaded(struct edge *g) {
    int64_t sum = 0, most = 0, limit = g->policy.endpoint_evidence_mnat;
    if (!limit || g->endpoints < 2) return 0;
    for (int64_t k = 0; k < g->endpoints; k++) {
        const struct endpoint *e = state_endpoint(g, k);
        if (e->state != HEALTHY) continue;
        if (e->evidence_mnat < FAILED_MNAT - 2 * SUCCEEDED_MNAT || e->since.overload * 2 <= e->since.failures) return 0;
        sum += e->evidence_mnat;
        if (e->evidence_mnat > most) most = e->evidence_mnat;
    }
    return sum >= limit && most * 4 <= sum * 3;
}

/* `cause`, or BY_OVERLOAD when time-outs, stalls and 429/503 are most of what is held against all endpoints. */
static int64_t endpoint_shared_cause(struct edge *g, int64_t cause) {
    int64_t bad = 0, overload = 0;
    for (int64_t k = 0; k < g->endpoints; k++) {
        struct tally *since = &state_endpoint(g, k)->since;
        bad += since->failures + (cause == BY_SLOW ? since->slow : 0);
        overload += since->overload;
    }
    return overload * 2 > bad ? BY_OVERLOAD : cause;
}

/* The verdict on endpoint `i` must not take it out: it is told, and retries, which would feed the trouble, are suspended. */
static void endpoint_capped(struct edge *g, int64_t i, int64_t now_ns, int64_t cause, int64_t calls, int64_t bad) {
    event_write(g, ENDPOINT_CAPPED, i, now_ns, endpoint_shared_cause(g, cause), calls, bad);
    evidence_clear(state_endpoint(g, i)); /* to be earned again: a capped endpoint speaks up at the pace of its failures */
    if (!g->policy.enforced) return;
    if (g->retry_suspended_until_ns <= now_ns) g->signal_ns = now_ns;
    g->retry_suspended_until_ns = now_ns + RETRY_SUSPENDED_NS;
}

/* A call of this generation ended on a healthy endpoint; returns 1 when an ejection explains it. */
static int endpoint_judge(struct edge *g, int64_t i, int64_t now_ns, int64_t outcome, int slow) {
    struct endpoint *e = state_endpoint(g, i);
    int64_t cause, calls, bad;
    if (outcome == SUCCESS) {
        evidence_succeeded(e, slow, g->policy.slow_ns);
        if (e->ejections && now_ns - e->healthy_since_ns >= EJECTIONS_DECAY * g->policy.eject_ns) {
            e->ejections--;
            e->healthy_since_ns = now_ns;
        }
    } else {
        evidence_failed(e, outcome);
    }
    cause = evidence_verdict(e, &g->policy);
    if (__builtin_expect(!cause, 1)) {
        if (outcome != SUCCESS && endpoint_all_overloaded(g)) {
            calls = bad = 0;
            for (int64_t k = 0; k < g->endpoints; k++) {
                calls += state_endpoint(g, k)->since.calls;
                bad += state_endpoint(g, k)->since.failures;
            }
            endpoint_capped(g, i, now_ns, BY_OVERLOAD, calls, bad);
        }
        return 0;
    }
    calls = e->since.calls;
    bad = cause == BY_SLOW ? e->since.slow : e->since.failures;
    if (endpoint_may_eject(g, i)) {
        event_write(g, ENDPOINT_TRIPPED, i, now_ns, cause, calls, bad);
        breaker_forget(g);
        if (g->policy.enforced) {
            endpoint_eject(g, e, now_ns);
            endpoint_signal(g, e, now_ns);
        } else {
            evidence_clear(e);
        }
        return 1;
    }
    endpoint_capped(g, i, now_ns, cause, calls, bad);
    return 0;
}

#endif
