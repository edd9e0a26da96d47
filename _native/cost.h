/* Which of two endpoints is better: the one with less in flight for its share and, where latency tells them apart, with
 * less expected latency.
 *
 * An endpoint's latency is one word: an average that believes the worse at once (peak-EWMA), in nanoseconds, above 24 bits
 * of when it was learnt, in ticks of 2^20 ns. One word cannot be torn, and of two processes that learn at once one result is
 * lost: the next call brings another. 0 says: never measured.
 *
 * Comparing needs no clock. What fades is a *difference*: the slower one's lead is halved for every 4.3 s (2^32 ns) that its
 * news is older than the faster one's, until nothing is left of it. Two endpoints that nobody calls any more stay
 * as they were, until the next call to the faster one moves its time on. And as a lead only shrinks, old news
 * never make an endpoint look faster than it was.
 */
#ifndef CONTROLPLANE_COST_H
#define CONTROLPLANE_COST_H

#include "atomic.h"

#define COST_TICK_SHIFT 20
#define COST_TIME_BITS 24 /* 4.9 hours of ticks; beyond that an age is wrong, and corrected by the next call */
#define COST_TIME_MASK (((int64_t)1 << COST_TIME_BITS) - 1)
#define COST_HALF_TICKS_LOG2 12
#define COST_EWMA_TICKS 1024 /* after 1.07 s an old average keeps half of its say; many calls in that time leave 1 / e */
#define COST_LATENCY_MAX_NS (((int64_t)1 << 40) - 1) /* 18 minutes */
#define COST_EXPLORE_ONE_IN 8 /* power of two: such a draw is not compared; see docs/concepts/endpoint-choice.md */

ALWAYS_INLINE int64_t cost_ewma_ns(int64_t word) { return (int64_t)((uint64_t)word >> COST_TIME_BITS); }

/* Ticks from the time in one word to that in another, or to a time, modulo 4.9 hours. */
ALWAYS_INLINE int64_t cost_ticks(int64_t from, int64_t to) {
    return (int64_t)(((uint64_t)to - (uint64_t)from) & (uint64_t)COST_TIME_MASK);
}

/* The same; 0 where `to` is the older one. */
ALWAYS_INLINE int64_t cost_age(int64_t from, int64_t to) {
    int64_t age = cost_ticks(from, to);
    return age > COST_TIME_MASK / 2 ? 0 : age;
}

/* The word after a call that took `latency_ns` and ended now. */
static inline int64_t cost_learnt(int64_t word, int64_t now_ns, int64_t latency_ns) {
    int64_t ewma_ns = cost_ewma_ns(word), now = now_ns >> COST_TICK_SHIFT & COST_TIME_MASK;
    if (latency_ns < 1) latency_ns = 1;
    if (latency_ns > COST_LATENCY_MAX_NS) latency_ns = COST_LATENCY_MAX_NS;
    if (latency_ns < ewma_ns) {
        int64_t age = cost_ticks(word, now);
        if (age > COST_TIME_MASK - COST_EWMA_TICKS) return word; /* a time a little ahead is another process's */
        latency_ns += (ewma_ns - latency_ns) * COST_EWMA_TICKS / (COST_EWMA_TICKS + age);
    }
    return (int64_t)((uint64_t)latency_ns << COST_TIME_BITS | (uint64_t)now);
}

/* 1 when the second of two is better; of equals, the first. `load` is ROUTE_FAIR + calls in flight * burden (route.h):
 * a burden is inverse to a site's share, so that calls in flight settle in the proportion of the shares, whatever
 * these come from, and among idle sites the draw alone decides. Latency below a factor of two apart is noise, and would
 * starve a replica that is as good. */
ALWAYS_INLINE int cost_second_wins(int64_t first, int64_t first_load, int64_t second, int64_t second_load) {
    int64_t x = cost_ewma_ns(first), y = cost_ewma_ns(second);
    int64_t slow = x > y ? x : y, fast = x > y ? y : x;
    int64_t fade = (x > y ? cost_age(first, second) : cost_age(second, first)) >> COST_HALF_TICKS_LOG2;
    slow = fade > 40 ? 0 : slow >> fade;
    if (__builtin_expect(fast && slow > 2 * fast, 0)) {
        unsigned __int128 cost_x = (unsigned __int128)(uint64_t)first_load * (uint64_t)(x > y ? slow : fast);
        unsigned __int128 cost_y = (unsigned __int128)(uint64_t)second_load * (uint64_t)(x > y ? fast : slow);
        return cost_y < cost_x;
    }
    return second_load < first_load;
}

#endif
