/* Settlement: the slot goes back, the result becomes evidence, and a reflex acts within the same instructions.
 *
 * A result is evidence only about what has not changed since its call was admitted: both generations must be current.
 * A call that probed an endpoint is evidence about that endpoint alone, because we sent it there on suspicion.
 */
#ifndef CONTROLPLANE_SETTLE_H
#define CONTROLPLANE_SETTLE_H

#include "balance.h"
#include "clock.h"
#include "concurrency.h"
#include "deadline.h"
#include "lapse.h"
#include "limit.h"

/* 1 for the one settlement that counts. */
ALWAYS_INLINE int settle_once(const struct seat *s, struct ticket *t, int64_t flag, int64_t unless) {
    if (__builtin_expect(t->era != s->era, 0)) return 0;
    if (THREADS) return !(__atomic_fetch_or(&t->flags, flag, __ATOMIC_ACQ_REL) & (flag | unless));
    if (t->flags & (flag | unless)) return 0;
    t->flags |= flag;
    return 1;
}

ALWAYS_INLINE void settle_land(struct seat *s, const struct ticket *t) {
    word_add(THREADS, state_in_flight(s->g, EDGE) + s->worker, -1);
    if (t->endpoint >= 0 && !(t->flags & OVERDUE)) word_add(THREADS, state_in_flight(s->g, t->endpoint) + s->worker, -1);
}

ALWAYS_INLINE void settle_count(
    int shared, struct seat *s, const struct ticket *t, int64_t now_ns, int64_t latency_ns, int failed, int slow
) {
    struct edge *g = s->g;
    struct endpoint *e;
    int64_t counted_ns = latency_ns < LATENCY_HIGHEST_NS ? latency_ns : LATENCY_HIGHEST_NS;
    word_add(THREADS, &s->counters->calls, 1);
    if (__builtin_expect(failed, 0)) word_add(THREADS, &s->counters->failures, 1);
    if (__builtin_expect(slow, 0)) word_add(THREADS, &s->counters->slow, 1);
    if (!failed) {
        word_add(shared, &state_counts(g)[hdr_index(&g->hdr, counted_ns)], 1);
        deadline_learn(g, latency_ns);
    }
    if (t->endpoint < 0) return;
    e = state_endpoint(g, t->endpoint);
    word_add(shared, &e->calls, 1);
    if (__builtin_expect(failed, 0)) word_add(shared, &e->failures, 1);
    if (__builtin_expect(slow, 0)) word_add(shared, &e->slow, 1);
    if (!failed) word_store(&e->latency, cost_learnt(word_load(&e->latency), now_ns, latency_ns));
}

ALWAYS_INLINE void settle_judge(
    int shared, struct seat *s, const struct ticket *t, int64_t now_ns, int64_t outcome
) {
    struct edge *g = s->g;
    int64_t latency_ns = (t->answered_ns ? t->answered_ns : now_ns) - t->start_ns, current;
    const struct standing *st = lapse(s, now_ns, &current);
    int failed = outcome != SUCCESS, slow, fresh = 1, explained = 0;
    if (latency_ns < 0) latency_ns = 0;
    slow = !failed && st->policy.slow_ns && latency_ns >= st->policy.slow_ns;
    settle_count(shared, s, t, now_ns, latency_ns, failed, slow);
    if (!state_still(shared, g, current)) st = lapse(s, now_ns, &current); /* judge by what is in force now */
    if (__builtin_expect(st->policy.concurrency_adapts != 0, 0)) /* it has landed: one more was in flight */
        concurrency_learn(g, &st->policy, t, now_ns, latency_ns, outcome, state_flying(g, EDGE) + (outcome != STALLED));
    if (__builtin_expect(st->limit != 0, 0)) limit_learn(g, st, t->start_ns, now_ns, outcome);
    if (t->endpoint >= 0) fresh = t->endpoint_generation == state_place(st, t->endpoint)->generation;
    if (__builtin_expect(t->flags & ENDPOINT_PROBE, 0)) {
        endpoint_probed(s, t->endpoint, t->endpoint_generation, t->slot, failed || slow, now_ns);
        return;
    }
    if (!fresh && !(t->flags & EDGE_PROBE)) return; /* what an ejection explains is not held against the edge */
    if (t->generation != st->generation) return;
    if (t->endpoint >= 0 && fresh && state_place(st, t->endpoint)->state == HEALTHY)
        explained = endpoint_judge(s, st, t->endpoint, now_ns, outcome, slow);
    if (__builtin_expect(t->flags & EDGE_PROBE, 0))
        breaker_probed(s, t->generation, t->slot, failed || (slow && st->policy.slow_percent), now_ns);
    else if (!explained && st->state == EDGE_CLOSED) /* else it was exempt, and is no evidence about an open breaker */
        breaker_judge(shared, s, st, now_ns, outcome, slow);
}

/* The call ended. Returns 1 when there are new rows. */
ALWAYS_INLINE int settle(int shared, struct seat *s, struct ticket *t, int64_t outcome) {
    if (!settle_once(s, t, SETTLED, 0)) return 0;
    settle_land(s, t);
    if (t->flags & OVERDUE) return 0; /* it was judged when it became overdue */
    settle_judge(shared, s, t, clock_now_ns(), outcome);
    return event_tell(s);
}

/* The call is overdue and goes on: still in flight for the edge, but for its endpoint it is evidence now and load no
 * longer. Counted as load it would keep calls away from an endpoint that hangs, and so from the test that ejects it. */
static int settle_overdue(struct seat *s, struct ticket *t) {
    if (!settle_once(s, t, OVERDUE, SETTLED)) return 0;
    if (t->endpoint >= 0) word_add(THREADS, state_in_flight(s->g, t->endpoint) + s->worker, -1);
    settle_judge(1, s, t, clock_now_ns(), STALLED);
    return event_tell(s);
}

/* The probe's slot goes to the next call. */
static void settle_unprobe(struct seat *s, const struct ticket *t) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (t->flags & EDGE_PROBE) {
            if (d.st->generation != t->generation) return;
        } else {
            struct place *at = state_place(d.st, t->endpoint);
            if (at->generation != t->endpoint_generation) return;
            at->ready_ns = clock_now_ns() + PROBE_PAUSE_NS;
        }
        probes_release(&d, t->slot);
    } while (!draft_commit(&d));
}

/* The call ended without saying anything about the service; a probe gives its slot to the next one. */
static void settle_cancel(struct seat *s, struct ticket *t) {
    if (!settle_once(s, t, SETTLED, 0)) return;
    settle_land(s, t);
    if (t->flags & OVERDUE) return;
    word_add(THREADS, &s->counters->cancelled, 1);
    if (t->flags & (EDGE_PROBE | ENDPOINT_PROBE)) settle_unprobe(s, t);
}

#endif
