/* Slow start: the share of a site that was verified to have recovered grows with its age since that moment, in steps of a
 * tenth, never below one. Steps and not a line, because each one is a new table. */
#ifndef CONTROLPLANE_SLOW_START_H
#define CONTROLPLANE_SLOW_START_H

#include <stdint.h>

#define SLOW_START_STEPS 10
#define SLOW_START_FIRST_PERCENT (100 / SLOW_START_STEPS)

static inline int64_t slow_start_percent(int64_t age_ns, int64_t window_ns) {
    int64_t step;
    if (age_ns >= window_ns) return 100;
    step = age_ns < 0 ? 0 : age_ns * SLOW_START_STEPS / window_ns;
    return step < 1 ? SLOW_START_FIRST_PERCENT : step * 100 / SLOW_START_STEPS;
}

/* The age at which the percentage changes next, for an age below the window. */
static inline int64_t slow_start_next_ns(int64_t age_ns, int64_t window_ns) {
    int64_t step = slow_start_percent(age_ns, window_ns) * SLOW_START_STEPS / 100 + 1;
    return (step * window_ns + SLOW_START_STEPS - 1) / SLOW_START_STEPS;
}

#endif
