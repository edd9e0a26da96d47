/* Probes: real requests that try something that failed. Those that are out are kept in one table of the standing, with
 * the time of their start and the worker whose request it is, so that each is claimed by exactly one process, and
 * those of a process that died are given back.
 */
#ifndef CONTROLPLANE_PROBES_H
#define CONTROLPLANE_PROBES_H

#include "draft.h"

#define EDGE (-1)

static inline int64_t *probes_count(struct standing *st, int64_t of) {
    return of == EDGE ? &st->probing : &state_place(st, of)->probing;
}

/* Whether the edge, or endpoint `of`, may have one more. */
static inline int probes_free(const struct standing *st, int64_t of) {
    int64_t out = of == EDGE ? st->probing : state_place(st, of)->probing;
    return out < st->policy.probes_max && ~(uint64_t)st->busy;
}

/* Takes a slot; there is one (`probes_free`). */
static inline int64_t probes_take(struct draft *d, int64_t of, int64_t now_ns) {
    struct standing *st = d->st;
    int64_t slot = __builtin_ctzll(~(uint64_t)st->busy);
    st->busy |= (int64_t)((uint64_t)1 << slot);
    st->probes[slot] = (struct probe){of, now_ns, d->s->worker};
    ++*probes_count(st, of);
    state_due(st, now_ns + st->policy.probe_timeout_ns);
    return slot;
}

static inline void probes_release(struct draft *d, int64_t slot) {
    d->st->busy &= (int64_t)~((uint64_t)1 << slot);
    --*probes_count(d->st, d->st->probes[slot].endpoint);
}

/* Forgets all of `of`: those that are out will find another generation. */
static inline void probes_clear(struct draft *d, int64_t of) {
    for (uint64_t busy = (uint64_t)d->st->busy; busy; busy &= busy - 1) {
        int64_t slot = __builtin_ctzll(busy);
        if (d->st->probes[slot].endpoint == of) probes_release(d, slot);
    }
}

/* When the first of those that are out will have taken too long. */
static inline int64_t probes_due(const struct standing *st, int64_t of) {
    int64_t due = NEVER;
    for (uint64_t busy = (uint64_t)st->busy; busy; busy &= busy - 1) {
        const struct probe *out = &st->probes[__builtin_ctzll(busy)];
        int64_t end = out->start_ns + st->policy.probe_timeout_ns;
        if (out->endpoint == of && end < due) due = end;
    }
    return due;
}

#endif
