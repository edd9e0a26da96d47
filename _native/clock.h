/* One clock: CLOCK_MONOTONIC in nanoseconds, the time of Python's time.monotonic_ns(). A test replaces it. */
#ifndef CONTROLPLANE_CLOCK_H
#define CONTROLPLANE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_MAX_NS ((int64_t)1 << 62) /* 146 years; every sum of a time and a duration stays inside 63 bits */

static int64_t clock_test_ns = -1; /* -1: the real clock runs */

static inline int64_t clock_now_ns(void) {
    struct timespec now;
    if (__builtin_expect(clock_test_ns >= 0, 0)) return clock_test_ns;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
