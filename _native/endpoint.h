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
#include "slow_start.h"

#define PROBE_PAUSE_NS (20 * SECOND_NS / 1000) /* between the end of a probe and the next one */
#define EJECTIONS_DECAY 10 /* times eject_ns in health, with calls, make the next penalty a step shorter */

static inline void endpoint_weigh(struct standing *st, struct place *at, int64_t percent) {
    st->routes += at->weight != percent;
    at->weight = percent;
}

static void endpoint_move(struct draft *d, int64_t i, int64_t state, int64_t now_ns) {
    struct standing *st = d->st;
    struct place *at = state_place(st, i);
    st->ejected += (state == EJECTED) - (at->state == EJECTED);
    st->probation += (state == PROBATION) - (at->state == PROBATION);
    st->routes++;
    at->state = state;
    at->verified_ns = 0;
    at->ramp = 100;
    at->generation++;
    at->clears++;
    at->until_ns = at->ordered = 0;
    at->healthy_since_ns = now_ns;
    endpoint_weigh(st, at, 100);
    probes_clear(d, i);
    at->passed = at->ready_ns = at->capped_ns = 0;
}

static void endpoint_eject(struct draft *d, int64_t i, int64_t now_ns) {
    struct place *at = state_place(d->st, i);
    const struct policy *p = &d->st->policy;
    endpoint_move(d, i, EJECTED, now_ns);
    at->until_ns = now_ns + penalty_ns(d->s, p->eject_ns, p->eject_max_ns, at->ejections);
    if (at->ejections < 62) at->ejections++;
    state_due(d->st, at->until_ns);
}

static inline void endpoint_probe_failed(struct draft *d, int64_t i, int64_t now_ns) {
    draft_row(d, ENDPOINT_PROBE_FAILED, i, now_ns, 0, 0, 0);
    endpoint_eject(d, i, now_ns);
}

/* A probe of `generation` came back. */
static void endpoint_probed(
    struct seat *s, int64_t i, int64_t generation, int64_t slot, int failed, int64_t now_ns
) {
    DRAFT(d);
    do {
        struct place *at;
        draft_begin(&d, s);
        at = state_place(d.st, i);
        if (at->generation != generation) return;
        probes_release(&d, slot);
        at->ready_ns = now_ns + PROBE_PAUSE_NS;
        if (failed) {
            endpoint_probe_failed(&d, i, now_ns);
        } else if (++at->passed >= d.st->policy.probe_successes) {
            draft_row(&d, ENDPOINT_PROBE_PASSED, i, now_ns, 0, 0, 0);
            endpoint_move(&d, i, HEALTHY, now_ns);
            if (d.st->policy.slow_start_ns) {
                at->verified_ns = now_ns;
                at->ramp = SLOW_START_FIRST_PERCENT;
                state_due(d.st, now_ns + slow_start_next_ns(0, d.st->policy.slow_start_ns));
            }
        }
    } while (!draft_commit(&d));
}

static inline int endpoint_under_cap(const struct edge *g, const struct standing *st) {
    int64_t cap = g->endpoints * st->policy.ejected_percent_max / 100;
    return st->ejected + st->probation + 1 <= (cap > 1 ? cap : 1);
}

/* True when a reflex may take endpoint `i` out: under the cap, and a clean sibling takes over. */
static int endpoint_may_eject(const struct edge *g, const struct standing *st, int64_t i, int64_t now_ns, int64_t cause) {
    const struct policy *p = &st->policy;
    struct evidence seen = evidence_read(state_endpoint(g, i), state_place(st, i)->clears);
    int overload = seen.overload * 2 > seen.failures;
    if (!endpoint_under_cap(g, st)) return 0;
    for (int64_t k = 0; k < g->endpoints; k++) {
        const struct place *sibling = state_place(st, k);
        if (k == i || sibling->state != HEALTHY) continue;
        /* it begins anew without evidence, and that does not make it clean */
        if (sibling->capped_ns > 0 && now_ns - sibling->capped_ns < RETRY_SUSPENDED_NS) continue;
        seen = evidence_read(state_endpoint(g, k), sibling->clears);
        if (cause == BY_STALLED) seen.slow_mnat = 0; /* a slow answer is better than none */
        else if (sibling->capped_ns < 0 && now_ns + sibling->capped_ns < RETRY_SUSPENDED_NS) continue;
        /* load moves to the sibling: where load may be the cause, one recent failure says that it cannot bear it */
        if (evidence_clean(&seen, p) && (!overload || seen.mnat < bank_step(st->failed_step, FAILURE_SUM))) return 1;
    }
    return 0;
}

/* True when all endpoints fail at once by time-outs, stalls or 429/503, and their evidence together would condemn one: a
 * caller with few calls to each learns from the sum what no endpoint alone would tell it in time. One that hangs beside
 * a stray time-out elsewhere is not all of them. */
static int endpoint_all_overloaded(const struct edge *g, const struct standing *st, int64_t *calls, int64_t *bad) {
    int64_t sum = 0, most = 0, limit = st->policy.endpoint_evidence_mnat;
    int64_t recent = bank_step(st->failed_step, FAILURE_SUM) + 2 * bank_step(st->passed_step, FAILURE_SUM);
    *calls = *bad = 0;
    if (!limit || g->endpoints < 2) return 0;
    for (int64_t k = 0; k < g->endpoints; k++) {
        struct evidence seen = evidence_read(state_endpoint(g, k), state_place(st, k)->clears);
        *calls += seen.calls;
        *bad += seen.failures;
        if (state_place(st, k)->state != HEALTHY) continue;
        if (seen.mnat < recent || seen.overload * 2 <= seen.failures) return 0;
        sum += seen.mnat;
        if (seen.mnat > most) most = seen.mnat;
    }
    return sum >= limit && most * 4 <= sum * 3;
}

/* `cause`, or BY_OVERLOAD when time-outs, stalls and 429/503 are most of what is held against all endpoints. */
static int64_t endpoint_shared_cause(const struct edge *g, const struct standing *st, int64_t cause) {
    int64_t bad = 0, overload = 0;
    for (int64_t k = 0; k < g->endpoints; k++) {
        struct evidence seen = evidence_read(state_endpoint(g, k), state_place(st, k)->clears);
        bad += seen.failures + (cause == BY_SLOW ? seen.slow : 0);
        overload += seen.overload;
    }
    return overload * 2 > bad ? BY_OVERLOAD : cause;
}

static int64_t endpoint_began_ns(const struct edge *g, int64_t i, int64_t clears) {
    return evidence_began_ns(word_load(&state_endpoint(g, i)->began), evidence_tag(clears));
}

static void endpoint_trip(
    struct draft *d, int64_t i, int64_t now_ns, int64_t cause, int64_t calls, int64_t bad, int64_t began_ns
) {
    draft_row_since(d, ENDPOINT_TRIPPED, i, now_ns, cause, calls, bad, began_ns);
    window_forget(d);
    if (d->st->policy.enforced) {
        endpoint_eject(d, i, now_ns);
        d->signal_endpoint = i;
        d->signal_ns = now_ns;
    } else {
        state_place(d->st, i)->clears++;
    }
}

/* What the evidence against endpoint `i` leads to, seen while it stood as in `generation` and `clears`: it is taken out, or
 * must not be (a cap, its siblings, or all being overloaded): then that is told, and retries, which would feed the
 * trouble, are suspended. Returns 1 when an ejection explains the result. */
static int endpoint_condemn(
    struct seat *s, int64_t i, int64_t generation, int64_t clears, int64_t now_ns, int64_t cause, int64_t calls, int64_t bad
) {
    struct edge *g = s->g;
    DRAFT(d);
    int enforced, ejects, alone;
    do {
        struct place *at;
        draft_begin(&d, s);
        at = state_place(d.st, i);
        if (at->generation != generation) return at->state != HEALTHY; /* another process has acted upon it */
        if (at->clears != clears) return 0;
        alone = cause != BY_OVERLOAD && spared(g, d.st, now_ns); /* others serve well: a retry there feeds no trouble */
        enforced = d.st->policy.enforced != 0;
        ejects = cause != BY_OVERLOAD && endpoint_may_eject(g, d.st, i, now_ns, cause);
        if (!ejects) {
            draft_row_since(
                &d, ENDPOINT_CAPPED, i, now_ns, endpoint_shared_cause(g, d.st, cause), calls, bad, endpoint_began_ns(g, i, clears)
            );
            at->capped_ns = cause == BY_SLOW ? -now_ns : now_ns;
            at->clears++; /* to be earned again: a capped endpoint speaks up at the pace of its failures */
            if (enforced && !alone && word_load(&g->retry_suspended_until_ns) <= now_ns) d.edge_signal_ns = now_ns;
            continue;
        }
        endpoint_trip(&d, i, now_ns, cause, calls, bad, endpoint_began_ns(g, i, clears));
    } while (!draft_commit(&d));
    if (!ejects && enforced && !alone) word_store(&g->retry_suspended_until_ns, now_ns + RETRY_SUSPENDED_NS);
    return ejects;
}

static void endpoint_decay(struct seat *s, int64_t i, int64_t generation, int64_t now_ns) {
    DRAFT(d);
    do {
        struct place *at;
        draft_begin(&d, s);
        at = state_place(d.st, i);
        if (at->generation != generation || !at->ejections) return;
        at->ejections--;
        at->healthy_since_ns = now_ns;
    } while (!draft_commit(&d));
}

/* A failed or slow call, or a success where something is held against the endpoint. */
static int endpoint_weigh_up(
    struct seat *s, const struct standing *st, int64_t i, int64_t now_ns, int64_t outcome, int slow
) {
    struct endpoint *e = state_endpoint(s->g, i);
    const struct place *at = state_place(st, i);
    int64_t generation = at->generation, clears = at->clears, cause, calls, bad;
    struct evidence seen;
    if (outcome == STALLED && !evidence_apart(e, now_ns)) return 0;
    if (outcome != SUCCESS) evidence_failed(e, st, clears, now_ns, outcome);
    else evidence_weigh(e, st, clears, now_ns, slow);
    cause = evidence_verdict(e, st, clears);
    if (!cause) {
        if (outcome != SUCCESS && endpoint_all_overloaded(s->g, st, &calls, &bad))
            endpoint_condemn(s, i, generation, clears, now_ns, BY_OVERLOAD, calls, bad);
        return 0;
    }
    seen = evidence_read(e, clears);
    return endpoint_condemn(
        s, i, generation, clears, now_ns, cause, seen.calls, cause == BY_SLOW ? seen.slow : seen.failures
    );
}

/* A call of this generation ended on a healthy endpoint; returns 1 when an ejection explains it. */
ALWAYS_INLINE int endpoint_judge(
    struct seat *s, const struct standing *st, int64_t i, int64_t now_ns, int64_t outcome, int slow
) {
    const struct endpoint *e = state_endpoint(s->g, i);
    const struct place *at = state_place(st, i);
    int64_t tag = evidence_tag(at->clears);
    if (__builtin_expect(at->ejections && outcome == SUCCESS, 0)
        && now_ns - at->healthy_since_ns >= EJECTIONS_DECAY * st->policy.eject_ns)
        endpoint_decay(s, i, at->generation, now_ns);
    if (__builtin_expect(outcome == SUCCESS && !slow && !evidence_of(word_load(&e->evidence), tag)
                         && !evidence_of(word_load(&e->slow_evidence), tag), 1))
        return 0; /* nothing is held against it, as on every good day: two words are read and none is written */
    return endpoint_weigh_up(s, st, i, now_ns, outcome, slow);
}

#endif
