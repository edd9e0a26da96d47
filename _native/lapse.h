/* What changes by itself: penalties and leases that end, probes that never came back. Nothing runs on a timer here:
 * the next call, settlement, order or reading that finds `due_ns` passed brings everything up to date first.
 */
#ifndef CONTROLPLANE_LAPSE_H
#define CONTROLPLANE_LAPSE_H

#include "endpoint.h"
#include "limit.h"
#include "sides.h"

static void lapse_edge(struct draft *d, int64_t now_ns) {
    struct standing *st = d->st;
    if (st->state == EDGE_HALF_OPEN && probes_due(st, EDGE) <= now_ns) breaker_probe_failed(d, now_ns);
    if (st->ordered && st->until_ns <= now_ns) {
        draft_row(d, LEASE_LAPSED, EDGE, now_ns, 0, 0, 0);
        st->ordered = 0; /* a half-open edge stays so: its probes are the reflex's own */
    }
    if (st->state == EDGE_OPEN && st->until_ns <= now_ns) breaker_move(d, EDGE_HALF_OPEN, now_ns);
    if (st->weight < 100 && st->weight_until_ns <= now_ns) {
        st->weight = 100;
        draft_row(d, LEASE_LAPSED, EDGE, now_ns, 0, 0, 0);
    }
    if (st->limit && st->limit_until_ns <= now_ns) {
        limit_clear(st);
        if (st->state == EDGE_CLOSED) d->edge_signal_ns = 0;
        draft_row(d, LEASE_LAPSED, EDGE, now_ns, 0, 0, 0);
    }
    if (st->state == EDGE_OPEN || st->ordered) state_due(st, st->until_ns);
    if (st->state == EDGE_HALF_OPEN) state_due(st, probes_due(st, EDGE));
    if (st->weight < 100) state_due(st, st->weight_until_ns);
    if (st->limit) state_due(st, st->limit_until_ns);
    if (st->sides) side_lapse(d, now_ns);
}

/* One more step of slow start, when it is time. */
static void lapse_ramp(struct draft *d, struct place *at, int64_t now_ns) {
    int64_t window_ns = d->st->policy.slow_start_ns, age_ns = now_ns - at->verified_ns, percent;
    percent = window_ns ? slow_start_percent(age_ns, window_ns) : 100;
    if (percent != at->ramp) d->st->routes++;
    at->ramp = percent;
    if (percent == 100) at->verified_ns = 0;
    else state_due(d->st, at->verified_ns + slow_start_next_ns(age_ns > 0 ? age_ns : 0, window_ns));
}

static void lapse_endpoint(struct draft *d, int64_t i, int64_t now_ns) {
    struct standing *st = d->st;
    struct place *at = state_place(st, i);
    if (at->state == PROBATION && probes_due(st, i) <= now_ns) endpoint_probe_failed(d, i, now_ns);
    if (at->ordered && at->until_ns <= now_ns) {
        draft_row(d, LEASE_LAPSED, i, now_ns, 0, 0, 0);
        at->ordered = 0;
    }
    if (at->state == EJECTED && at->until_ns <= now_ns) endpoint_move(d, i, PROBATION, now_ns);
    if (at->weight < 100 && at->weight_until_ns <= now_ns) {
        endpoint_weigh(st, at, 100);
        draft_row(d, LEASE_LAPSED, i, now_ns, 0, 0, 0);
    }
    if (at->verified_ns) lapse_ramp(d, at, now_ns);
    if (at->state == EJECTED || at->ordered) state_due(st, at->until_ns);
    if (at->state == PROBATION) state_due(st, probes_due(st, i));
    if (at->weight < 100) state_due(st, at->weight_until_ns);
}

static __attribute__((noinline)) void lapse_all(struct seat *s, int64_t now_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (now_ns < d.st->due_ns) return;
        d.st->due_ns = NEVER;
        lapse_edge(&d, now_ns);
        for (int64_t i = 0; i < d.g->endpoints; i++) {
            if (d.rows > DRAFT_ROWS - 3) { /* an endpoint tells at most three things: the others follow in the next draft */
                d.st->due_ns = now_ns;
                break;
            }
            lapse_endpoint(&d, i, now_ns);
        }
    } while (!draft_commit(&d));
}

/* The standing in force at `now_ns`, and its `current`. */
ALWAYS_INLINE const struct standing *lapse(struct seat *s, int64_t now_ns, int64_t *current) {
    for (;;) {
        const struct standing *st;
        *current = word_load(&s->g->current);
        st = state_standing(s->g, *current);
        if (__builtin_expect(now_ns < st->due_ns, 1)) return st;
        lapse_all(s, now_ns);
    }
}

#endif
