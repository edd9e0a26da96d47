/* Side orders: what may be ordered about an edge beside the one order about who gets its calls (orders.h). Each has its own
 * place in the standing, its own lease and its own signal, and coexists with all others.
 *
 *     PART_FAIL_OVER     percent of the first level's calls go to the levels that stand by      route.h
 *     PART_CAP_RETRIES   retries, second lives included, are at most `value` percent of calls   here, beside retry.h
 *     PART_SHED          `value` percent of the calls less important than `with` are refused    here
 *     PART_TIGHTEN       `with` percent of the calls may take `value` nanoseconds at most       read by whoever makes the call
 *     PART_CLOSE         `value` percent of the calls, retries included, are refused: what guards them has failed   here
 *     PART_HARDEN        `value` percent of the calls to sensitive routes meet stricter limits  read by who serves them
 *
 * An admission on a good day reads one word, `sides`. A part of the calls is taken evenly and without chance: of any hundred
 * in a row of one worker exactly so many (Bresenham's line), by a counter of that worker.
 *
 * A cap of retries is drawn from in addition to the retry budget, so that it never allows more than the policy does. What it
 * allows is earned by calls from the order on, beginning with nothing, and kept up to CAP_MAX_MILLI:
 *     capped_retry   tag:16 | thousandths:48     tagged by the order's number: another cap begins anew
 */
#ifndef CONTROLPLANE_SIDES_H
#define CONTROLPLANE_SIDES_H

#include "clock.h"
#include "probes.h"
#include "retry.h"

#define CAP_MAX_MILLI (10 * RETRY_MILLI) /* what a quiet time leaves for a burst */
#define CAP_MASK (((int64_t)1 << 48) - 1)

ALWAYS_INLINE int64_t side_bit(int64_t part) { return (int64_t)1 << part; }

ALWAYS_INLINE int side_is(const struct standing *st, int64_t part) { return (st->sides & side_bit(part)) != 0; }

/* Whether the next call is among the `percent` of all that are meant. */
static inline int side_turn(int64_t *turn, int64_t percent) {
    return word_add(THREADS, turn, 1) % 100 * percent % 100 + percent >= 100;
}

/* A call was treated differently by order: the first one makes the order's signal effective. */
static void side_effective(struct edge *g, int64_t part) {
    int64_t signal_ns = signal_take(g, &g->side_signal_ns[part], 0);
    if (signal_ns) event_write(g, EFFECTIVE, EDGE, clock_now_ns(), signal_ns, part, 0);
}

/* Whether the word is of a later cap than this one, which somebody who is late still goes by. */
static inline int side_cap_is_past(int64_t word, const struct side *cap) {
    return (int16_t)(((uint64_t)word >> 48) - (uint64_t)cap->number) > 0;
}

/* What the cap has left, in thousandths of a retry. */
static inline int64_t side_cap_left(int64_t word, const struct side *cap) {
    int64_t left = (word ^ (int64_t)((uint64_t)cap->number << 48)) >> 48 ? 0 : word & CAP_MASK;
    return left < CAP_MAX_MILLI ? left : CAP_MAX_MILLI;
}

/* Adds to it; 0: there is not so much to take, or another cap is in force by now. */
static int side_cap_move(struct edge *g, const struct side *cap, int64_t milli) {
    int64_t word = word_load(&g->capped_retry), left;
    do {
        left = side_cap_left(word, cap) + milli;
        if (left < 0 || side_cap_is_past(word, cap)) return 0;
        if (left > CAP_MAX_MILLI) left = CAP_MAX_MILLI;
    } while (!word_swap(1, &g->capped_retry, &word, (int64_t)((uint64_t)cap->number << 48) | left));
    return 1;
}

static inline int side_caps(const struct edge *g, const struct standing *st) {
    return side_is(st, PART_CAP_RETRIES)
        && side_cap_left(word_load(&g->capped_retry), &st->side[PART_CAP_RETRIES]) < RETRY_MILLI;
}

/* A first call, before anything is taken: 1 when it is shed. */
static __attribute__((noinline)) int side_sheds(struct seat *s, const struct standing *st, int64_t priority) {
    const struct side *order = &st->side[PART_SHED];
    return side_is(st, PART_SHED) && priority > order->with && side_turn(&s->counters->shed_turn, order->value);
}

/* Any call, first or not: 1 when the door is closed to it. `percent` is drawn, not counted: no counter is left in the line. */
static __attribute__((noinline)) int side_closes(struct seat *s, const struct standing *st) {
    const struct side *order = &st->side[PART_CLOSE];
    return side_is(st, PART_CLOSE) && (order->value >= 100 || random_below(&s->random, 100) < order->value);
}

/* A call was admitted to endpoint `i`, while side orders are in force. */
static __attribute__((noinline)) void side_admitted(struct seat *s, const struct standing *st, int64_t i, int first) {
    struct edge *g = s->g;
    if (first && side_is(st, PART_CAP_RETRIES))
        side_cap_move(g, &st->side[PART_CAP_RETRIES], st->side[PART_CAP_RETRIES].value * (RETRY_MILLI / 100));
    if (side_is(st, PART_FAIL_OVER) && i >= 0 && word_load(&g->side_signal_ns[PART_FAIL_OVER]) && s->pick.route.moved
        && s->pick.sites[i].priority > s->pick.route.first)
        side_effective(g, PART_FAIL_OVER);
}

/* In the draft. `with` is what it is to PART_SHED and PART_TIGHTEN, and else 0. */
static void side_set(struct draft *d, int64_t part, int64_t value, int64_t with, int64_t until_ns, int64_t signal_ns) {
    struct standing *st = d->st;
    struct side *order = &st->side[part];
    if (!side_is(st, part) || order->value != value || order->with != with) { /* else it only renews the lease */
        order->value = value;
        order->with = with;
        order->number++;
        st->sides |= side_bit(part);
        st->routes += part == PART_FAIL_OVER;
        d->side_signal_ns[part] = signal_ns;
    }
    order->until_ns = until_ns;
    state_due(st, until_ns);
}

/* In the draft. */
static void side_clear(struct draft *d, int64_t part) {
    if (!side_is(d->st, part)) return;
    d->st->sides &= ~side_bit(part);
    d->st->routes += part == PART_FAIL_OVER;
    d->side_signal_ns[part] = 0;
}

/* In the draft: leases that have ended. */
static void side_lapse(struct draft *d, int64_t now_ns) {
    for (int64_t part = 1; part < PARTS_END; part++) {
        const struct side *order = &d->st->side[part];
        if (!side_is(d->st, part)) continue;
        if (order->until_ns <= now_ns) {
            side_clear(d, part);
            draft_row(d, LEASE_LAPSED, EDGE, now_ns, part, 0, 0);
        } else {
            state_due(d->st, order->until_ns);
        }
    }
}

#endif
