/* Admission: breaker, retry budget, weight, shedding by order, deadline, rate, concurrency, endpoint, in this order. Everything is asked
 * before anything is taken, so a refusal takes no token and no slot; where another process takes the last one in
 * between, what was taken so far is given back.
 *
 * The less important a call is, the sooner it is refused: each priority below CRITICAL must leave another reserve_percent of
 * every limit to those above it (0: all are equal).
 */
#ifndef CONTROLPLANE_ADMIT_H
#define CONTROLPLANE_ADMIT_H

#include "balance.h"
#include "clock.h"
#include "concurrency.h"
#include "deadline.h"
#include "gcra.h"
#include "lapse.h"
#include "limit.h"
#include "retry.h"
#include "sides.h"

struct refusal {
    int64_t reason, retry_after_ns;
    int64_t part; /* the side order that refused, or 0 */
};

/* What a caller asks for; `avoid` -1: no endpoint, `deadline_ns` NEVER: none. */
struct ask {
    int64_t kind, avoid, priority, deadline_ns;
};

/* What is left of `most` for a priority: at least one. */
ALWAYS_INLINE int64_t admit_share(const struct policy *p, int64_t most, int64_t priority) {
    int64_t kept = (priority - CRITICAL) * p->reserve_percent;
    if (__builtin_expect(!kept, 1)) return most;
    return kept >= 100 || most * (100 - kept) < 100 ? 1 : most * (100 - kept) / 100;
}

/* The rate, by the standing that is in force while `current` is. */
ALWAYS_INLINE struct gcra admit_rate(const struct edge *g, const struct standing *st, int64_t current) {
    struct gcra r = {
        &g->current, current, st->policy.rate_interval_ns, st->policy.rate_burst, st->rate_from_ns, st->rate_side
    };
    return r;
}

static inline int admit_say(struct refusal *why, int64_t reason, int64_t retry_after_ns) {
    why->reason = reason;
    why->retry_after_ns = retry_after_ns;
    why->part = 0;
    return 0;
}

static inline int admit_say_side(struct refusal *why, int64_t reason, int64_t part) {
    admit_say(why, reason, 0);
    why->part = part;
    return 0;
}

/* The retry's own part. */
static int admit_retry(
    struct edge *g, const struct standing *st, int64_t now_ns, int64_t kind, struct refusal *why
) {
    int64_t until_ns = word_load(&g->retry_suspended_until_ns);
    if (st->limit) return admit_say(why, RETRY_BUDGET, 0);
    if (side_caps(g, st)) return admit_say_side(why, RETRY_BUDGET, PART_CAP_RETRIES);
    if (kind == REDRIVE) return 1;
    if (until_ns > now_ns) return admit_say(why, RETRY_BUDGET, until_ns - now_ns);
    if (retry_balance(word_load(&g->retry), &st->policy, now_ns) >= RETRY_MILLI) return 1;
    return admit_say(why, RETRY_BUDGET, retry_wait_ns(g, &st->policy, now_ns));
}

/* The parts before the endpoint: 1 when all of them agree. Takes nothing. */
ALWAYS_INLINE int admit_asked(
    struct seat *s, const struct standing *st, int64_t current, int64_t now_ns, const struct ask *ask,
    struct refusal *why
) {
    struct edge *g = s->g;
    const struct policy *p = &st->policy;
    int64_t wait, word, flying, most;
    if (__builtin_expect(st->state != EDGE_CLOSED, 0)) {
        if (st->state == EDGE_OPEN) return admit_say(why, OPEN, st->until_ns - now_ns);
        if (!probes_free(st, EDGE)) return admit_say(why, PROBING, 0);
    }
    if (ask->kind != FIRST && !admit_retry(g, st, now_ns, ask->kind, why)) return 0;
    if (__builtin_expect(st->weight < 100, 0) && ask->kind != REDRIVE && random_below(&s->random, 100) >= st->weight)
        return admit_say(why, WEIGHT, 0);
    if (__builtin_expect(st->sides != 0, 0)) {
        if (side_closes(s, st)) return admit_say_side(why, CLOSED, PART_CLOSE);
        if (ask->kind == FIRST && side_sheds(s, st, ask->priority)) return admit_say_side(why, SHED, PART_SHED);
    }
    if (ask->deadline_ns != NEVER && !deadline_allows(g, now_ns, ask->deadline_ns)) return admit_say(why, DEADLINE, 0);
    if (p->rate_interval_ns) {
        struct gcra rate = admit_rate(g, st, current);
        word = gcra_load(&g->tat, now_ns, &rate);
        wait = gcra_wait_ns(word, now_ns, p->rate_interval_ns, admit_share(p, p->rate_burst, ask->priority), 1);
        if (wait)
            return admit_say(why, gcra_wait_ns(word, now_ns, p->rate_interval_ns, p->rate_burst, 1) ? RATE : SHED, wait);
    }
    if (__builtin_expect(st->limit != 0, 0)) {
        flying = state_flying(g, EDGE);
        if ((wait = limit_wait_ns(g, st, now_ns, flying))) return admit_say(why, CONCURRENCY, wait > 0 ? wait : 0);
        if (p->reserve_percent) {
            most = admit_share(p, limit_milli(g, st), ask->priority);
            if (flying && (flying + 1) * LIMIT_ONE > most) return admit_say(why, SHED, 0); /* one call is for anybody */
        }
    }
    if ((most = concurrency_most(g, p))) {
        flying = state_flying(g, EDGE);
        if (flying >= admit_share(p, most, ask->priority))
            return admit_say(why, flying >= most ? CONCURRENCY : SHED, 0);
    }
    return 1;
}

/* A refusal that is due to what a signal decided about the edge: the first one makes it effective. */
static void admit_effective(struct edge *g, const struct standing *st, int64_t reason) {
    int64_t signal_ns;
    int contained = reason == OPEN || reason == PROBING || ((reason == CONCURRENCY || reason == RETRY_BUDGET) && st->limit)
        || (reason == RETRY_BUDGET && word_load(&g->retry_suspended_until_ns));
    if (contained && (signal_ns = signal_take(g, &g->signal_ns, 0)))
        event_write(g, EFFECTIVE, EDGE, clock_now_ns(), signal_ns, 0, 0);
}

static int admit_refuse(struct seat *s, const struct standing *st, const struct refusal *why) {
    word_add(s->g->workers > 1 || THREADS, &s->g->refused_by[why->reason], 1);
    if (__builtin_expect(why->part != 0, 0)) side_effective(s->g, why->part);
    else if (__builtin_expect(word_load(&s->g->signal_ns) != 0, 0)) admit_effective(s->g, st, why->reason);
    return 0;
}

/* One more in flight, of at most `most` (0: no bound). Announced first and counted then, so that two processes may both
 * step back where one had room, but never both go; hence the second try. */
ALWAYS_INLINE int admit_fly(int shared, struct seat *s, int64_t most) {
    int64_t *mine = state_in_flight(s->g, EDGE) + s->worker;
    for (int tries = 0; tries < 2; tries++) {
        word_add(THREADS, mine, 1);
        if (!shared || !most) return 1; /* nobody else: what was asked still holds */
        word_fence(shared);
        if (state_flying(s->g, EDGE) <= most) return 1;
        word_add(THREADS, mine, -1);
    }
    return 0;
}

ALWAYS_INLINE void admit_land(struct seat *s) { word_add(THREADS, state_in_flight(s->g, EDGE) + s->worker, -1); }

/* Claims the probe that this call is to be, of the edge or of its endpoint; 0: another call has it. */
static int admit_probe(struct seat *s, struct ticket *t, int64_t now_ns, int64_t of) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (d.st->generation != t->generation || !probes_free(d.st, of)) return 0;
        if (of != EDGE && state_place(d.st, of)->generation != t->endpoint_generation) return 0;
        t->slot = probes_take(&d, of, now_ns);
    } while (!draft_commit(&d));
    t->flags = of == EDGE ? EDGE_PROBE : ENDPOINT_PROBE;
    return 1;
}

/* Takes what was asked; 0: another process was faster, and nothing is taken. `exempt`: no part applies to this call. */
ALWAYS_INLINE int admit_take(
    int shared, struct seat *s, const struct standing *st, int64_t current, int64_t now_ns, const struct ask *ask,
    int exempt, struct ticket *t
) {
    struct edge *g = s->g;
    const struct policy *p = &st->policy;
    struct gcra rate = admit_rate(g, st, current);
    int64_t share = admit_share(p, p->rate_burst, ask->priority), wrote = 0;
    int rated = p->rate_interval_ns && !exempt, again = ask->kind == AGAIN && !exempt;
    int capped = ask->kind != FIRST && !exempt && side_is(st, PART_CAP_RETRIES);
    if (!admit_fly(shared, s, exempt ? 0 : admit_share(p, concurrency_most(g, p), ask->priority))) return 0;
    if (rated && gcra_take(shared, &g->tat, now_ns, &rate, share, 1, &wrote)) goto land;
    if (capped && !side_cap_move(g, &st->side[PART_CAP_RETRIES], -RETRY_MILLI)) goto unrate;
    if (again && !retry_take(g, p, now_ns)) goto uncap;
    if (__builtin_expect(st->state == EDGE_HALF_OPEN, 0) && !exempt) {
        if (!admit_probe(s, t, now_ns, EDGE)) goto unretry;
    } else if (t->endpoint >= 0 && __builtin_expect(state_place(st, t->endpoint)->state == PROBATION, 0)
               && probes_free(st, t->endpoint)) { /* else it was drawn in a panic, which asks nobody how it is */
        if (!admit_probe(s, t, now_ns, t->endpoint)) goto unretry;
    }
    if (ask->kind == FIRST) retry_earn(shared, g, p, now_ns);
    if (ask->kind == AGAIN) word_add(THREADS, &s->counters->retries, 1);
    if (t->endpoint >= 0) word_add(THREADS, state_in_flight(g, t->endpoint) + s->worker, 1);
    if (__builtin_expect(st->sides != 0, 0)) side_admitted(s, st, t->endpoint, ask->kind == FIRST);
    return 1;
unretry:
    if (again) retry_return(g, p, now_ns);
uncap:
    if (capped) side_cap_move(g, &st->side[PART_CAP_RETRIES], RETRY_MILLI);
unrate:
    if (rated) gcra_return(shared, &g->tat, &rate, 1, wrote);
land:
    admit_land(s);
    return 0;
}

/* Whether the parts apply to this call: they do while enforcing, to enforced_percent of the calls. */
static int admit_exempts(struct seat *s, const struct policy *p) {
    if (!p->enforced) return 1;
    return random_below(&s->random, 100) >= p->enforced_percent;
}

/* What would have been refused goes, and is counted. */
static __attribute__((noinline)) int admit_shadow(
    struct seat *s, const struct standing *st, int64_t current, int64_t now_ns, const struct ask *ask
) {
    struct refusal why;
    if (admit_asked(s, st, current, now_ns, ask, &why)) return 0;
    word_add(THREADS, &s->counters->shadowed, 1);
    word_add(1, &s->g->shadowed_by[why.reason], 1);
    return 1;
}

/* 1 and a ticket, or 0 and why. */
ALWAYS_INLINE int admit(int shared, struct seat *s, const struct ask *ask, struct ticket *t, struct refusal *why) {
    int64_t now_ns = clock_now_ns(), current;
    const struct standing *st;
    int again = 0;
    do {
        int exempt = 0;
        st = lapse(s, now_ns, &current);
        if (__builtin_expect(!st->policy.enforced || st->policy.enforced_percent < 100, 0)
            && admit_exempts(s, &st->policy)) {
            if (st->policy.enforced && side_closes(s, st)) { /* nobody is exempt from a closed door */
                if (!state_still(shared, s->g, current)) continue;
                admit_say_side(why, CLOSED, PART_CLOSE);
                return admit_refuse(s, st, why);
            }
            exempt = admit_shadow(s, st, current, now_ns, ask);
        } else if (!admit_asked(s, st, current, now_ns, ask, why)) {
            if (!state_still(shared, s->g, current)) continue;
            if (shared && why->reason == RATE && !again++) { /* we were held up, and others have taken what came meanwhile: */
                now_ns = clock_now_ns();                     /* what is there now? */
                continue;
            }
            return admit_refuse(s, st, why);
        }
        t->endpoint = -1;
        if (s->g->endpoints) t->endpoint = balance_pick(s, st, now_ns, ask->kind, ask->avoid);
        t->start_ns = now_ns;
        t->answered_ns = t->flags = t->slot = 0;
        t->era = s->era;
        t->generation = st->generation;
        t->endpoint_generation = t->endpoint < 0 ? 0 : state_place(st, t->endpoint)->generation;
        if (!state_still(shared, s->g, current)) {
            s->routed = UNROUTED; /* the table may be half of this standing and half of a later one, by whose number it goes */
            continue;
        }
        if (t->endpoint < 0 && (s->g->endpoints || ask->kind == REDRIVE)) {
            admit_say(why, NO_ENDPOINT, 0);
            return admit_refuse(s, st, why);
        }
        if (admit_take(shared, s, st, current, now_ns, ask, exempt, t)) return 1;
    } while (1);
}

/* 1 when a retry now would be within budget and cap. Takes nothing. */
static int admit_would_retry(struct seat *s, const struct standing *st, int64_t now_ns) {
    struct refusal why;
    return !st->policy.enforced || admit_retry(s->g, st, now_ns, AGAIN, &why);
}

/* How long a call that is about to be made may take, by order; 0: no order bounds it. */
static int64_t admit_deadline_ns(struct seat *s) {
    int64_t current, value = 0;
    const struct standing *st = state_standing(s->g, word_load(&s->g->current));
    if (__builtin_expect(!side_is(st, PART_TIGHTEN), 1)) return 0;
    do {
        st = lapse(s, clock_now_ns(), &current);
        value = side_is(st, PART_TIGHTEN) && side_turn(&s->counters->tighten_turn, st->side[PART_TIGHTEN].with)
            ? st->side[PART_TIGHTEN].value : 0;
    } while (!state_still(1, s->g, current));
    if (value) side_effective(s->g, PART_TIGHTEN);
    return value;
}

/* 1 when the door is closed to the next call, 2 when it is open to it and hardened; takes nothing. For doors that nobody
 * goes through by a permit. */
static int admit_door(struct seat *s) {
    int64_t current;
    int found;
    const struct standing *st = state_standing(s->g, word_load(&s->g->current));
    if (__builtin_expect(!st->sides, 1)) return 0;
    do {
        st = lapse(s, clock_now_ns(), &current);
        found = !st->policy.enforced ? 0
            : side_closes(s, st) ? 1
            : side_is(st, PART_HARDEN) && random_below(&s->random, 100) < st->side[PART_HARDEN].value ? 2 : 0;
    } while (!state_still(1, s->g, current));
    if (found) side_effective(s->g, found == 1 ? PART_CLOSE : PART_HARDEN);
    return found;
}

/* 1 when breaker or isolation would refuse a call now. */
static int admit_would_refuse(const struct standing *st) {
    if (!st->policy.enforced || st->state == EDGE_CLOSED) return 0;
    return st->state == EDGE_OPEN || !probes_free(st, EDGE);
}

#endif
