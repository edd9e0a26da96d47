/* GCRA, the virtual scheduling form of ITU-T I.371: one word, the theoretical arrival time (TAT) of the next call.
 *
 * A call at t conforms when max(TAT, t) + interval - t <= burst * interval, and then TAT becomes max(TAT, t) +
 * interval. So in any closed window of length T at most burst + floor(T / interval) calls are admitted, with no
 * accounting at window borders.
 */
#ifndef CONTROLPLANE_RATE_H
#define CONTROLPLANE_RATE_H

#include "state.h"

/* 0 when a call at `now_ns` conforms, else after how many nanoseconds one would. Takes nothing. */
static inline int64_t rate_wait_ns(const struct edge *g, int64_t now_ns) {
    int64_t wait = g->tat_ns - now_ns - (g->policy.rate_burst - 1) * g->policy.rate_interval_ns;
    return wait > 0 ? wait : 0;
}

static inline void rate_take(struct edge *g, int64_t now_ns) {
    g->tat_ns = (g->tat_ns > now_ns ? g->tat_ns : now_ns) + g->policy.rate_interval_ns;
}

#endif
