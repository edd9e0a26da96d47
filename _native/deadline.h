/* Deadline awareness: a call that has less time left than a typical one takes would be work in vain.
 *
 * Typical is the median of successful calls, followed by a walk: a slower call moves it up by 1/32, a faster one down by
 * as much (stochastic approximation of a quantile, Robbins & Monro 1951), in one word that several processes may
 * write; a lost step is a step less. When all calls are refused nobody would learn that the service is fast again, so one
 * in DEADLINE_TRIAL_NS goes all the same.
 */
#ifndef CONTROLPLANE_DEADLINE_H
#define CONTROLPLANE_DEADLINE_H

#include "state.h"

#define DEADLINE_TRIAL_NS (SECOND_NS / 10)
#define DEADLINE_STEP 32

ALWAYS_INLINE void deadline_learn(struct edge *g, int64_t latency_ns) {
    int64_t typical = word_load(&g->typical_ns);
    int64_t step = typical / DEADLINE_STEP + 1;
    if (!typical) typical = latency_ns;
    else if (latency_ns > typical) typical += step;
    else if (latency_ns < typical) typical -= step;
    word_store(&g->typical_ns, typical > 0 ? typical : 1);
}

/* Whether a call that must end at `deadline_ns` may start. */
static int deadline_allows(struct edge *g, int64_t now_ns, int64_t deadline_ns) {
    int64_t trial_ns = word_load(&g->deadline_trial_ns);
    if (deadline_ns <= now_ns) return 0;
    if (deadline_ns - now_ns >= word_load(&g->typical_ns)) return 1;
    return now_ns - trial_ns >= DEADLINE_TRIAL_NS && word_swap(1, &g->deadline_trial_ns, &trial_ns, now_ns);
}

#endif
