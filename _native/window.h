/* A sliding window of ten buckets with its sums kept: what happened in the last nine to ten tenths of window_ns. */
#ifndef CONTROLPLANE_WINDOW_H
#define CONTROLPLANE_WINDOW_H

#include <string.h>

#include "state.h"

static inline void window_clear(struct edge *g) {
    memset(&g->window, 0, sizeof g->window);
    memset(g->buckets, 0, sizeof g->buckets);
}

static inline void window_turn(struct edge *g, int64_t now_ns) {
    int64_t epoch;
    if (__builtin_expect(now_ns < g->window_turn_ns, 1)) return; /* the division happens once a bucket */
    epoch = now_ns / g->window_width_ns;
    if (epoch - g->window_epoch >= WINDOW_BUCKETS) {
        window_clear(g);
    } else {
        for (int64_t i = g->window_epoch + 1; i <= epoch; i++) {
            struct tally *old = &g->buckets[i % WINDOW_BUCKETS];
            g->window.calls -= old->calls;
            g->window.failures -= old->failures;
            g->window.slow -= old->slow;
            g->window.overload -= old->overload;
            memset(old, 0, sizeof *old);
        }
    }
    g->window_epoch = epoch;
    g->window_turn_ns = (epoch + 1) * g->window_width_ns;
}

static inline void window_add(struct edge *g, int64_t now_ns, int failed, int slow, int overload) {
    struct tally *bucket;
    window_turn(g, now_ns);
    bucket = &g->buckets[g->window_epoch % WINDOW_BUCKETS];
    bucket->calls++;
    bucket->failures += failed;
    bucket->slow += slow;
    bucket->overload += overload;
    g->window.calls++;
    g->window.failures += failed;
    g->window.slow += slow;
    g->window.overload += overload;
}

#endif
