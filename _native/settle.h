/* Settlement: the slot goes back, the result becomes evidence, and a reflex acts within the same instructions.
 *
 * A result is evidence only about what has not changed since its call was admitted: both generations must be current.
 * A call that probed an endpoint is evidence about that endpoint alone, because we sent it there on suspicion.
 *
 * A call that is overdue is evidence about its endpoint at once, whose siblings say what is usual. About the edge nobody
 * could say so: there it counts when it ends, and as it ends. Slow for all is not down.
 */
#ifndef CONTROLPLANE_SETTLE_H
#define CONTROLPLANE_SETTLE_H

#include "balance.h"
#include "clock.h"
#include "concurrency.h"
#include "deadline.h"
#include "lapse.h"
#include "limit.h"
#include "relay.h"

#define PROBE_SLOW_FACTOR 3 /* times the typical latency: as slow is three times the learned p99 */

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

/* Whoever fails quickly has little in flight, and would draw calls by that. A failed answer is charged what a call costs
 * elsewhere: the typical latency, for as many as an endpoint has in flight on average. That is shared by those that it has
 * itself, as far as it is as busy as the others: then it draws no more than they do, and one stray error of it in a queue of
 * fifty calls must not leave it idle for seconds. A time-out has cost enough. */
static void settle_charge(struct edge *g, int64_t endpoint, int64_t now_ns) {
    struct endpoint *e = state_endpoint(g, endpoint);
    int64_t word = word_load(&e->latency), typical_ns = word_load(&g->typical_ns);
    int64_t own = state_flying(g, endpoint), average = state_flying(g, EDGE) / g->endpoints, shared, charged_ns;
    if (!typical_ns) return;
    shared = own < average ? own * own / average : own;
    charged_ns = (typical_ns + typical_ns / g->endpoints * state_flying(g, EDGE)) / (shared > 1 ? shared : 1);
    if (charged_ns < cost_ewma_ns(word)) charged_ns = cost_ewma_ns(word);
    word_store(&e->latency, cost_learnt(word, now_ns, charged_ns));
}

ALWAYS_INLINE void settle_count(
    int shared, struct seat *s, const struct ticket *t, int64_t now_ns, int64_t latency_ns, int64_t outcome, int slow
) {
    int failed = outcome != SUCCESS;
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
    else if (outcome == ERROR || outcome == OVERLOAD) settle_charge(g, t->endpoint, now_ns);
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
    settle_count(shared, s, t, now_ns, latency_ns, outcome, slow);
    if (!state_still(shared, g, current)) st = lapse(s, now_ns, &current); /* judge by what is in force now */
    if (__builtin_expect(st->policy.concurrency_adapts != 0, 0) && !(t->flags & FOREIGN)) /* it has landed: one more was in flight */
        concurrency_learn(g, &st->policy, t, now_ns, latency_ns, outcome, state_flying(g, EDGE) + (outcome != STALLED));
    if (__builtin_expect(st->limit != 0, 0) && !(t->flags & FOREIGN)) limit_learn(g, st, t->start_ns, now_ns, outcome);
    if (t->endpoint >= 0) fresh = t->endpoint_generation == state_place(st, t->endpoint)->generation;
    if (__builtin_expect(t->flags & ENDPOINT_PROBE, 0)) {
        /* where its siblings are as slow by now, slow is no fault of its own */
        slow = slow && latency_ns >= PROBE_SLOW_FACTOR * word_load(&g->typical_ns);
        endpoint_probed(s, t->endpoint, t->endpoint_generation, t->slot, failed || slow, now_ns);
        return;
    }
    if (!fresh && !(t->flags & EDGE_PROBE)) return; /* what an ejection explains is not held against the edge */
    if (t->generation != st->generation) return;
    if (t->endpoint >= 0 && fresh && state_place(st, t->endpoint)->state == HEALTHY)
        explained = endpoint_judge(s, st, t->endpoint, now_ns, outcome, slow);
    if (outcome == STALLED) return;
    if (__builtin_expect(outcome == SUCCESS && word_load(&g->relay), 0) && t->endpoint >= 0)
        relay_passed(g, st, t->endpoint, state_place(st, t->endpoint)->clears);
    if (__builtin_expect(t->flags & EDGE_PROBE, 0))
        breaker_probed(s, t->generation, t->slot, failed || (slow && st->policy.slow_percent), now_ns);
    else if (!explained && st->state == EDGE_CLOSED) /* else it was exempt, and is no evidence about an open breaker */
        breaker_judge(shared, s, st, now_ns, outcome, slow);
}

/* A call that was overdue has ended. Its endpoint, and all totals, were told when it became overdue; what it tells besides
 * is how long answers take now, and the edge whether there are any. */
static void settle_late(struct seat *s, const struct ticket *t, int64_t now_ns, int64_t outcome) {
    struct edge *g = s->g;
    int64_t latency_ns = (t->answered_ns ? t->answered_ns : now_ns) - t->start_ns, current;
    const struct standing *st = lapse(s, now_ns, &current);
    int failed = outcome != SUCCESS;
    if (latency_ns < 0) latency_ns = 0;
    /* given up while overdue is in vain, as a time-out is */
    if (st->limit) limit_learn(g, st, t->start_ns, now_ns, outcome == STALLED ? TIMEOUT : outcome);
    if (!failed) {
        word_add(1, &state_counts(g)[hdr_index(&g->hdr, latency_ns < LATENCY_HIGHEST_NS ? latency_ns : LATENCY_HIGHEST_NS)], 1);
        deadline_learn(g, latency_ns);
        if (t->endpoint >= 0) {
            struct endpoint *e = state_endpoint(g, t->endpoint);
            word_store(&e->latency, cost_learnt(word_load(&e->latency), now_ns, latency_ns));
        }
    }
    if (t->generation != st->generation || t->flags & ENDPOINT_PROBE) return;
    if (t->flags & EDGE_PROBE) {
        int slow = st->policy.slow_percent && st->policy.slow_ns && latency_ns >= st->policy.slow_ns;
        breaker_probed(s, t->generation, t->slot, failed || slow, now_ns);
        return;
    }
    if (t->endpoint >= 0 && t->endpoint_generation != state_place(st, t->endpoint)->generation) return;
    if (st->state == EDGE_CLOSED) breaker_judge(1, s, st, now_ns, outcome, 0);
}

/* The call ended. Returns 1 when there are new rows. */
ALWAYS_INLINE int settle(int shared, struct seat *s, struct ticket *t, int64_t outcome) {
    if (!settle_once(s, t, SETTLED, 0)) return 0;
    settle_land(s, t);
    if (__builtin_expect(t->flags & OVERDUE, 0)) settle_late(s, t, clock_now_ns(), outcome);
    else settle_judge(shared, s, t, clock_now_ns(), outcome);
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
    if (t->flags & OVERDUE) { /* given up without an answer: what it was overdue for has not come */
        if (t->flags & EDGE_PROBE) settle_unprobe(s, t);
        else if (!t->answered_ns) settle_late(s, t, clock_now_ns(), STALLED);
        return;
    }
    word_add(THREADS, &s->counters->cancelled, 1);
    if (t->flags & (EDGE_PROBE | ENDPOINT_PROBE)) settle_unprobe(s, t);
}

/* The call was answered with a failure of somebody further down: no evidence about the service; relay.h says what it tells
 * of the endpoint. */
static int settle_relayed(struct seat *s, struct ticket *t) {
    int64_t now_ns = clock_now_ns(), current;
    const struct standing *st;
    if (t->flags & SETTLED || t->era != s->era) return 0;
    t->answered_ns = now_ns; /* an answer, if no good one */
    settle_cancel(s, t);
    if (t->endpoint < 0 || t->flags & (EDGE_PROBE | ENDPOINT_PROBE)) return event_tell(s);
    st = lapse(s, now_ns, &current);
    settle_charge(s->g, t->endpoint, now_ns);
    if (state_place(st, t->endpoint)->state == HEALTHY && state_place(st, t->endpoint)->generation == t->endpoint_generation)
        relay_judge(s, st, t->endpoint, now_ns);
    return event_tell(s);
}

#endif
