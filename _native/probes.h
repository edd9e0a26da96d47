/* Probe slots: how many real requests may try something that failed, and since when each of them is out. */
#ifndef CONTROLPLANE_PROBES_H
#define CONTROLPLANE_PROBES_H

#include "state.h"

static inline void probes_clear(struct probes *p) { p->busy = p->passed = p->ready_ns = 0; }

/* A free slot among the first `slots`, or -1. */
static inline int64_t probes_free(const struct probes *p, int64_t slots) {
    uint64_t open = ~(uint64_t)p->busy & (((uint64_t)1 << slots) - 1);
    return open ? __builtin_ctzll(open) : -1;
}

static inline void probes_take(struct probes *p, int64_t slot, int64_t now_ns) {
    p->busy |= (int64_t)1 << slot;
    p->start_ns[slot] = now_ns;
}

static inline void probes_release(struct probes *p, int64_t slot) { p->busy &= ~((int64_t)1 << slot); }

/* When the first of the probes that are out will have taken too long. */
static inline int64_t probes_due(const struct probes *p, int64_t timeout_ns) {
    int64_t due = NEVER;
    for (uint64_t busy = (uint64_t)p->busy; busy; busy &= busy - 1) {
        int64_t end = p->start_ns[__builtin_ctzll(busy)] + timeout_ns;
        if (end < due) due = end;
    }
    return due;
}

#endif
