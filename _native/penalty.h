/* How long something that failed stays out: doubling with every relapse up to a bound, give or take 10 %. */
#ifndef CONTROLPLANE_PENALTY_H
#define CONTROLPLANE_PENALTY_H

#include "random.h"
#include "state.h"

static inline int64_t penalty_ns(struct seat *s, int64_t base_ns, int64_t max_ns, int64_t relapses) {
    int64_t span = base_ns;
    for (int64_t i = 0; i < relapses && span < max_ns; i++) span *= 2;
    if (span > max_ns) span = max_ns;
    span = random_jitter(&s->random, span);
    return span > max_ns ? max_ns : span;
}

#endif
