/* The breaker of the edge.
 *
 *     CLOSED --evidence--> OPEN --until_ns--> HALF_OPEN --probe_successes--> CLOSED
 *                            ^------one failure or a lost probe------'
 *
 * Every move raises the generation: results of calls admitted before it are no evidence after it.
 *
 * A window says how much fails, and not since when. So a sum as in evidence.h runs beside it, for a quarter of the calls
 * failing (and slow ones, where those can open the breaker). It decides nothing: where it last stood at zero, it began.
 *
 *     suspicion   tag:16 | sum:48                both tagged by `forgets`
 *     began       tag:16 | microseconds:48
 */
#ifndef CONTROLPLANE_BREAKER_H
#define CONTROLPLANE_BREAKER_H

#include "evidence.h"
#include "penalty.h"
#include "probes.h"
#include "spared.h"
#include "window.h"

static void breaker_move(struct draft *d, int64_t state, int64_t now_ns) {
    struct standing *st = d->st;
    st->state = state;
    st->generation++;
    st->ordered = 0;
    st->until_ns = 0;
    st->closed_since_ns = now_ns;
    st->weight = 100;
    st->passed = 0;
    probes_clear(d, EDGE);
    window_forget(d);
    if (state == EDGE_CLOSED) d->edge_signal_ns = 0;
}

static void breaker_open(struct draft *d, int64_t now_ns) {
    struct standing *st = d->st;
    breaker_move(d, EDGE_OPEN, now_ns);
    st->until_ns = now_ns + penalty_ns(d->s, st->policy.open_ns, st->policy.open_max_ns, st->opens);
    if (st->opens < 62) st->opens++;
    state_due(st, st->until_ns);
}

static inline void breaker_probe_failed(struct draft *d, int64_t now_ns) {
    draft_row(d, EDGE_PROBE_FAILED, EDGE, now_ns, 0, 0, 0);
    breaker_open(d, now_ns);
}

/* A probe of `generation` came back. */
static void breaker_probed(struct seat *s, int64_t generation, int64_t slot, int failed, int64_t now_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (d.st->generation != generation) return;
        probes_release(&d, slot);
        if (failed) {
            breaker_probe_failed(&d, now_ns);
        } else if (++d.st->passed >= d.st->policy.probe_successes) {
            draft_row(&d, EDGE_PROBE_PASSED, EDGE, now_ns, 0, 0, 0);
            breaker_move(&d, EDGE_CLOSED, now_ns);
        }
    } while (!draft_commit(&d));
}

static inline int64_t breaker_verdict(const struct policy *p, int64_t consecutive, const struct tally *window) {
    if (p->breaker_consecutive && consecutive >= p->breaker_consecutive) return BY_CONSECUTIVE;
    if (window->calls < p->window_calls_min) return 0;
    if (p->failure_percent && window->failures * 100 >= p->failure_percent * window->calls) return BY_ERRORS;
    if (p->slow_percent && window->slow * 100 >= p->slow_percent * window->calls) return BY_SLOW;
    return 0;
}

static int64_t breaker_began_ns(const struct edge *g, int64_t forgets) {
    int64_t tag = evidence_tag(forgets);
    return evidence_of(word_load(&g->suspicion), tag) ? evidence_began_ns(word_load(&g->began), tag) : 0;
}

/* A bad result. `fresh`: there was none in the window before, so what the sum may still hold is out of date. */
static void breaker_suspect(struct edge *g, const struct standing *st, int64_t now_ns, int fresh) {
    int64_t tag = evidence_tag(st->forgets), is = word_load(&g->suspicion), of;
    do of = fresh ? 0 : evidence_of(is, tag);
    while (!word_swap(1, &g->suspicion, &is, tag | bank_clamped(of + bank_step(st->failed_step, FAILURE_SUM))));
    if (!of) word_store(&g->began, evidence_began(tag, now_ns));
}

/* A good one, while something is suspected. */
static inline void breaker_acquit(struct edge *g, const struct standing *st) {
    int64_t tag = evidence_tag(st->forgets), is = word_load(&g->suspicion), of;
    do if (!(of = evidence_of(is, tag))) return;
    while (!word_swap(1, &g->suspicion, &is, tag | bank_clamped(of + bank_step(st->passed_step, FAILURE_SUM))));
}

/* The verdict fell while the breaker stood as in `generation` and `forgets`; whoever publishes first has told it. */
static void breaker_trip(
    struct seat *s, int64_t generation, int64_t forgets, int64_t now_ns, int64_t cause, int64_t calls, int64_t bad
) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (d.st->generation != generation || d.st->forgets != forgets) return;
        draft_row_since(&d, EDGE_OPENED, EDGE, now_ns, cause, calls, bad, breaker_began_ns(s->g, forgets));
        if (d.st->policy.enforced) {
            breaker_open(&d, now_ns);
            d.edge_signal_ns = now_ns;
        } else {
            window_forget(&d);
        }
    } while (!draft_commit(&d));
}

/* A whole window of closed operation, ended by a success: the next penalty is one step shorter. */
static void breaker_decay(struct seat *s, int64_t generation, int64_t now_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (d.st->generation != generation || !d.st->opens) return;
        if (now_ns - d.st->closed_since_ns < d.st->policy.window_ns) return;
        d.st->opens--;
        d.st->closed_since_ns = now_ns;
    } while (!draft_commit(&d));
}

/* What follows from a window in which something bad was, or from failures in a row. */
static void breaker_weigh(
    struct seat *s, const struct standing *st, int64_t v, int64_t now_ns, int64_t consecutive, int failed
) {
    struct tally window = window_sum(s->g, st, v, now_ns);
    int64_t cause = breaker_verdict(&st->policy, consecutive, &window), calls = window.calls, bad = window.failures;
    if (cause && cause != BY_CONSECUTIVE && spared(s->g, st, now_ns)) return;
    if (cause && st->limit) return; /* by order it is held back already, by what adapts to how much it still answers */
    if (!cause) {
        if (st->opens && !failed && now_ns - st->closed_since_ns >= st->policy.window_ns)
            breaker_decay(s, st->generation, now_ns);
        return;
    }
    if (cause == BY_CONSECUTIVE) calls = bad = consecutive;
    if (cause == BY_SLOW) bad = window.slow;
    else if (window.overload * 2 > window.failures) cause = BY_OVERLOAD;
    breaker_trip(s, st->generation, st->forgets, now_ns, cause, calls, bad);
}

/* A call of this generation ended while the breaker was closed. */
ALWAYS_INLINE void breaker_judge(
    int shared, struct seat *s, const struct standing *st, int64_t now_ns, int64_t outcome, int slow
) {
    int failed = outcome != SUCCESS, bad = failed || (slow && st->policy.slow_percent);
    int64_t v = window_number(s, st->window_width_ns, st->window_shift, now_ns), consecutive;
    if (__builtin_expect(bad, 0)) breaker_suspect(s->g, st, now_ns, !window_troubled(s->g, st, v, now_ns));
    window_add(shared, s->g, v, failed, slow, failed && outcome != ERROR);
    consecutive = consecutive_count(shared, s->g, st->forgets, failed);
    if (__builtin_expect(st->opens || window_troubled(s->g, st, v, now_ns), 0)) {
        if (!bad) breaker_acquit(s->g, st);
        breaker_weigh(s, st, v, now_ns, consecutive, failed);
    }
}

#endif
