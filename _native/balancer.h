/* One process's view of the endpoints of a service, and the pick.
 *
 * Shared by processes are single words: calls in flight (one word for each endpoint and worker), latencies, and what is
 * known of each endpoint (struct health). From these every process makes its own table, again whenever `version` has
 * moved or a time has come (an ejection's end, a step of slow start). So nobody draws from a table that another process
 * is writing, and one that dies while it changes something leaves at worst a change that others learn of with the next
 * one; `reclaim` moves the version, too.
 */
#ifndef CONTROLPLANE_BALANCER_H
#define CONTROLPLANE_BALANCER_H

#include "clock.h"
#include "pick.h"
#include "slow_start.h"

#ifndef NEVER
#define NEVER INT64_MAX
#endif
#define BALANCER_HEADER_WORDS 8 /* layout, version; a line of their own */
#define BALANCER_TRIAL (-1)     /* since_ns: back after an ejection, not verified yet */
#define BALANCER_TRIAL_CALLS 5  /* good ones in a row that verify it, where nobody else says so */

struct health { /* of an endpoint; each word has a meaning alone */
    int64_t weight, percent, usable;
    int64_t until_ns; /* ejected until then */
    int64_t since_ns; /* slow start runs since then; BALANCER_TRIAL; 0: it has never been out */
    int64_t passed;   /* good calls in a row on trial */
};

struct balancer {
    int64_t *version, *in_flight, *latency; /* shared, as is health */
    struct health *health;
    int64_t worker;
    int64_t ejected_percent_max, slow_start_ns;
    struct pick pick;
    int64_t built, due_ns; /* the version that the table is of, and until when it is right */
};

static inline void balancer_changed(struct balancer *b) { word_add(1, b->version, 1); }

static inline int balancer_ejected(const struct balancer *b, int64_t i, int64_t now_ns) {
    return word_load(&b->health[i].until_ns) > now_ns;
}

/* The share of its share that the endpoint's recovery allows, and in `due_ns` when that changes. */
static int64_t balancer_ramp(const struct balancer *b, int64_t i, int64_t now_ns, int64_t *due_ns) {
    int64_t since_ns = word_load(&b->health[i].since_ns), age_ns, next_ns;
    if (!since_ns || !b->slow_start_ns) return 100;
    if (since_ns == BALANCER_TRIAL) return SLOW_START_FIRST_PERCENT;
    if (since_ns < 0) return 100; /* no time: the words are shared, the sums are ours */
    if (since_ns > now_ns) since_ns = now_ns; /* another process read the clock a little later */
    age_ns = now_ns - since_ns;
    if (age_ns >= b->slow_start_ns) return 100;
    next_ns = since_ns + slow_start_next_ns(age_ns, b->slow_start_ns);
    if (next_ns < *due_ns) *due_ns = next_ns;
    return slow_start_percent(age_ns, b->slow_start_ns);
}

static __attribute__((noinline)) void balancer_turn(struct balancer *b, int64_t now_ns) {
    int64_t version = word_load(b->version), due_ns = NEVER; /* read before what it is the version of */
    for (int64_t i = 0; i < b->pick.endpoints; i++) {
        const struct health *h = &b->health[i];
        int64_t until_ns = word_load(&h->until_ns);
        struct site *s = &b->pick.sites[i];
        s->weight = word_load(&h->weight);
        if ((uint64_t)s->weight - 1 >= ROUTE_WEIGHT_MAX) s->weight = 1; /* the words are shared, the sums are ours */
        s->usable = word_load(&h->usable) && until_ns <= now_ns;
        /* rounded up: a ramp of an order's small share is never nothing */
        s->percent = word_load(&h->percent);
        if ((uint64_t)s->percent > 100) s->percent = 100;
        s->percent = (s->percent * balancer_ramp(b, i, now_ns, &due_ns) + 99) / 100;
        if (until_ns > now_ns && until_ns < due_ns) due_ns = until_ns;
    }
    pick_turn(&b->pick);
    b->due_ns = due_ns;
    b->built = version;
}

/* The clock is read only while an ejection or a ramp will change the table by itself. */
ALWAYS_INLINE int balancer_is_due(const struct balancer *b) {
    if (__builtin_expect(word_load(b->version) != b->built, 0)) return 1;
    return __builtin_expect(b->due_ns != NEVER, 0) && clock_now_ns() >= b->due_ns;
}

/* The endpoint for one call, other than `avoid` (-1: any), or -1. The table is up to date. */
ALWAYS_INLINE int64_t balancer_pick(int shared, struct balancer *b, int64_t avoid) {
    int64_t i = pick_one(&b->pick, avoid);
    if (i >= 0) word_add(shared, b->in_flight + i * b->pick.workers + b->worker, 1);
    return i;
}

/* A call to endpoint `i` ended; 0: none of this worker's was in flight there. */
ALWAYS_INLINE int balancer_ended(int shared, struct balancer *b, int64_t i) {
    int64_t *mine = b->in_flight + i * b->pick.workers + b->worker;
    if (__builtin_expect(word_add(shared, mine, -1) > 0, 1)) return 1;
    word_add(shared, mine, 1);
    return 0;
}

static void balancer_done(struct balancer *b, int64_t i, int64_t latency_ns) {
    struct health *h = &b->health[i];
    int64_t now_ns = clock_now_ns(), trial = BALANCER_TRIAL;
    word_store(&b->latency[i], cost_learnt(word_load(&b->latency[i]), now_ns, latency_ns));
    if (__builtin_expect(word_load(&h->since_ns) != BALANCER_TRIAL, 1) || balancer_ejected(b, i, now_ns)) return;
    if (word_add(1, &h->passed, 1) + 1 < BALANCER_TRIAL_CALLS) return;
    if (word_swap(1, &h->since_ns, &trial, now_ns)) balancer_changed(b);
}

/* How many may be out at once: the share of all that the policy allows, and one in any case. */
static int balancer_too_many(const struct balancer *b, int64_t now_ns) {
    int64_t out = 0, left = 0, cap = b->pick.endpoints * b->ejected_percent_max / 100;
    for (int64_t i = 0; i < b->pick.endpoints; i++) {
        int ejected = balancer_ejected(b, i, now_ns);
        out += ejected;
        left += !ejected && word_load(&b->health[i].usable);
    }
    return out > (cap > 1 ? cap : 1) || !left;
}

/* Takes endpoint `i` out until then; 0: refused, that would be too many, or the last. Announced first and counted then, so
 * two processes that eject at once may both be refused, but never exceed the cap; what a process killed between the two
 * leaves ends at `until_ns`. */
static int balancer_eject(struct balancer *b, int64_t i, int64_t until_ns) {
    struct health *h = &b->health[i];
    int64_t now_ns = clock_now_ns(), was_until_ns = word_load(&h->until_ns), was_since_ns = word_load(&h->since_ns);
    if (until_ns <= now_ns) return 0;
    word_store(&h->passed, 0);
    word_store(&h->since_ns, BALANCER_TRIAL);
    word_store(&h->until_ns, until_ns);
    word_fence(1);
    if (was_until_ns <= now_ns && balancer_too_many(b, now_ns)) {
        word_store(&h->until_ns, was_until_ns);
        word_store(&h->since_ns, was_since_ns);
        balancer_changed(b); /* another process may have seen it out */
        return 0;
    }
    balancer_changed(b);
    return 1;
}

/* Endpoint `i` is verified to serve: nothing holds it any more, and its slow start begins. */
static void balancer_recovered(struct balancer *b, int64_t i) {
    struct health *h = &b->health[i];
    word_store(&h->since_ns, clock_now_ns());
    word_store(&h->usable, 1);
    word_store(&h->until_ns, 0);
    balancer_changed(b);
}

static void balancer_reclaim(struct balancer *b, int64_t worker) {
    for (int64_t i = 0; i < b->pick.endpoints; i++) word_store(b->in_flight + i * b->pick.workers + worker, 0);
    balancer_changed(b);
}

#endif
