/* Relayed failures: the answer names somebody further down, and whoever passes it on is no culprit. So it is no evidence
 * about the service. But a replica that alone relays failures while its siblings succeed has lost its own way to a healthy
 * dependency, and as it fails quickly it would draw calls: such a one is taken out.
 *
 * What tells the two apart is the siblings, so one word for the whole edge is enough: a run of relayed failures of one
 * endpoint. A relayed failure of another one ends the run, because then it is not the endpoint. Within the run the sum of
 * evidence.h goes up and down with the endpoint's own results, to RELAY_FACTOR times its limit: a dependency that fails half
 * of its calls makes runs, too. And a sibling must have succeeded with a call that it was sent after the run began, else
 * it only has not yet been asked. And the run must have lasted: who is held back from an overloaded dependency for a moment
 * is not cut off from it.
 *
 *     relay    tag:16 | endpoint + 1:16 | failures:16 | evidence:16
 */
#ifndef CONTROLPLANE_RELAY_H
#define CONTROLPLANE_RELAY_H

#include "cost.h"
#include "endpoint.h"

#define RELAY_FACTOR 2 /* nine in a row at the defaults */
/* A replica whose own guard holds it back from an overloaded dependency relays alone, too, until its limit has adapted. */
#define RELAY_NS_MIN (2 * SECOND_NS)

ALWAYS_INLINE int relay_is_of(int64_t word, int64_t i, int64_t clears) {
    return (word >> 32 & BITS(16)) == i + 1 && !((word ^ evidence_tag(clears)) >> 48);
}

/* A success of the endpoint of the run. */
static void relay_passed(struct edge *g, const struct standing *st, int64_t i, int64_t clears) {
    int64_t is = word_load(&g->relay), mnat;
    do {
        if (!relay_is_of(is, i, clears)) return;
        mnat = bank_clamped((is & BITS(16)) + bank_step(st->passed_step, FAILURE_SUM));
    } while (!word_swap(1, &g->relay, &is, mnat ? (is & ~BITS(16)) | mnat : 0));
}

/* The run's failures, when its sum is at the limit; else 0. */
static int64_t relay_failed(struct edge *g, const struct standing *st, int64_t i, int64_t clears, int64_t now_ns) {
    int64_t is = word_load(&g->relay), failures, mnat, limit = RELAY_FACTOR * st->policy.endpoint_evidence_mnat;
    do {
        int goes_on = relay_is_of(is, i, clears);
        if (!goes_on) word_store(&g->relay_since_ns, now_ns);
        failures = evidence_more(goes_on ? is >> 16 & BITS(16) : 0, 1, BITS(16));
        mnat = bank_clamped((goes_on ? is & BITS(16) : 0) + bank_step(st->failed_step, FAILURE_SUM));
    } while (!word_swap(1, &g->relay, &is, evidence_tag(clears) | (i + 1) << 32 | failures << 16 | mnat));
    return limit && mnat >= (limit < BITS(16) ? limit : BITS(16)) ? failures : 0;
}

/* Whether a sibling without anything against it has answered a call that it was sent after `since_ns`. */
static int relay_sibling(const struct edge *g, const struct standing *st, int64_t i, int64_t since_ns) {
    for (int64_t k = 0; k < g->endpoints; k++) {
        const struct endpoint *e = state_endpoint(g, k);
        const struct place *at = state_place(st, k);
        struct evidence seen;
        int64_t word = word_load(&e->latency); /* with the time of the last answer */
        if (k == i || at->state != HEALTHY || !word) continue;
        seen = evidence_read(e, at->clears);
        if (seen.mnat || !evidence_clean(&seen, &st->policy)) continue;
        if (cost_age(since_ns >> COST_TICK_SHIFT, word) > cost_ewma_ns(word) >> COST_TICK_SHIFT) return 1;
    }
    return 0;
}

/* A call of endpoint `i`, as it is in `st`, was answered with a failure of somebody further down. */
static void relay_judge(struct seat *s, const struct standing *st, int64_t i, int64_t now_ns) {
    struct edge *g = s->g;
    int64_t generation = state_place(st, i)->generation, clears = state_place(st, i)->clears;
    int64_t failures = relay_failed(g, st, i, clears, now_ns), began_ns = word_load(&g->relay_since_ns);
    DRAFT(d);
    if (!failures || now_ns - began_ns < RELAY_NS_MIN) return;
    do {
        draft_begin(&d, s);
        if (state_place(d.st, i)->generation != generation || state_place(d.st, i)->clears != clears) return;
        if (!endpoint_under_cap(g, d.st) || !relay_sibling(g, d.st, i, began_ns)) return;
        endpoint_trip(&d, i, now_ns, BY_ERRORS, failures, failures, began_ns);
    } while (!draft_commit(&d));
}

#endif
