/* GCRA, the virtual scheduling form of ITU-T I.371: one word, the theoretical arrival time (TAT) of the next call.
 *
 * A call at t conforms when max(TAT, t) + interval - t <= burst * interval, and then TAT becomes max(TAT, t) +
 * interval. So in any closed window of length T at most burst + floor(T / interval) calls are admitted, with no
 * accounting at window borders.
 */
#ifndef CONTROLPLANE_RATE_H
#define CONTROLPLANE_RATE_H

#include "state.h"

/* 0 when a call at `now_ns` conforms to `burst`, else after how many nanoseconds one would. Takes nothing. */
ALWAYS_INLINE int64_t rate_wait_ns(int64_t tat_ns, int64_t now_ns, int64_t interval_ns, int64_t burst) {
    int64_t wait = tat_ns - now_ns - (burst - 1) * interval_ns;
    return wait > 0 ? wait : 0;
}

/* Takes one: 0, or after how many nanoseconds there would be one. */
ALWAYS_INLINE int64_t rate_take(int shared, int64_t *tat, int64_t now_ns, int64_t interval_ns, int64_t burst) {
    int64_t tat_ns = word_load(tat), wait;
    do if ((wait = rate_wait_ns(tat_ns, now_ns, interval_ns, burst))) return wait;
    while (!word_swap(shared, tat, &tat_ns, (tat_ns > now_ns ? tat_ns : now_ns) + interval_ns));
    return 0;
}

/* One that was taken and not used. What was refused meanwhile stays refused, so the promise is never exceeded. */
static inline void rate_return(int64_t *tat, int64_t interval_ns) { word_add(1, tat, -interval_ns); }

#endif
