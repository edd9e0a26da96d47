/* A limit by order adapts (AIMD, as TCP's congestion window): it begins where the order says, grows by a quarter of a call
 * for each round of answers while it binds, and is halved by a call in vain. Several callers share an overloaded service
 * that way without knowing of one another; a quarter, because a whole call more at each of many callers that are at one
 * would double the load.
 *
 * What an overloaded service can bear may be less than one call at a time from each: its queue holds work in vain, and a
 * caller that sends the next call as soon as one has timed out keeps it full. So at a limit of one, a call in vain is
 * followed by a pause as long as it took, doubled each time in a row, as TCP's retransmission timer is.
 */
#ifndef CONTROLPLANE_LIMIT_H
#define CONTROLPLANE_LIMIT_H

#include "state.h"

#define LIMIT_ONE ((int64_t)1000)             /* limits are kept in thousandths of a call */
#define LIMIT_GROWTH_MILLI ((int64_t)250)     /* a round */
#define LIMIT_MAX_MILLI (LIMIT_ONE * 1000000) /* far above what one process can have in flight */
#define LIMIT_PAUSE_MAX_NS SECOND_NS          /* in a second any queue worth waiting for has moved */

static inline void limit_clear(struct edge *g) {
    g->limit = g->limit_milli = g->limit_bound_ns = g->limit_pause_ns = g->limit_ready_ns = 0;
}

/* Nanoseconds until the next call may start, 0: now, -1: when another one has ended. */
static inline int64_t limit_wait_ns(struct edge *g, int64_t now_ns) {
    if (now_ns < g->limit_ready_ns) return g->limit_ready_ns - now_ns;
    if ((g->in_flight + 2) * LIMIT_ONE > g->limit_milli) g->limit_bound_ns = now_ns; /* the last place, or none */
    return (g->in_flight + 1) * LIMIT_ONE > g->limit_milli ? -1 : 0;
}

static inline void limit_begin(struct edge *g, int64_t now_ns, int64_t concurrency) {
    limit_clear(g);
    g->limit = concurrency;
    g->limit_milli = concurrency < LIMIT_MAX_MILLI / LIMIT_ONE ? concurrency * LIMIT_ONE : LIMIT_MAX_MILLI;
    g->limit_since_ns = now_ns;
}

/* A call ended, or became overdue, under the limit. Calls from before it last shrank teach nothing about it. */
static inline void limit_learn(struct edge *g, int64_t start_ns, int64_t now_ns, int64_t outcome) {
    int64_t took_ns = now_ns - start_ns;
    if (start_ns < g->limit_since_ns || outcome == ERROR) return; /* an error is an answer, and not about load */
    if (outcome == SUCCESS) {
        g->limit_pause_ns = g->limit_ready_ns = 0;
        if (g->limit_bound_ns < start_ns) return; /* it did not bind meanwhile: nothing is known about more */
        g->limit_milli += LIMIT_GROWTH_MILLI * LIMIT_ONE / g->limit_milli;
        if (g->limit_milli > LIMIT_MAX_MILLI) g->limit_milli = LIMIT_MAX_MILLI;
        return;
    }
    g->limit_since_ns = now_ns;
    if (g->limit_milli >= 2 * LIMIT_ONE) {
        g->limit_milli /= 2;
        return;
    }
    g->limit_milli = LIMIT_ONE;
    g->limit_pause_ns = g->limit_pause_ns * 2 > took_ns ? g->limit_pause_ns * 2 : took_ns;
    if (g->limit_pause_ns > LIMIT_PAUSE_MAX_NS) g->limit_pause_ns = LIMIT_PAUSE_MAX_NS;
    g->limit_ready_ns = now_ns + g->limit_pause_ns;
}

#endif
