/* Blast up the calls: docs/concepts/blast-radius.md, equations 1 to 3. */
#ifndef CONTROLPLANE_BLAST_H
#define CONTROLPLANE_BLAST_H

#include "flows.h"

struct blast_terms {
    const double *own, *slow, *need, *calls; /* of services: failure and latency; of edges: fraction, calls */
    const uint8_t *soft;                     /* of edges, 0 or 1; none is where there is no array */
};

/* What the callers of a stop get from it; both figures are then in one place. */
struct hurt {
    double failure, latency;
};

/* The fraction of an edge, 0 of a soft one; not by a branch, which nobody could foresee. */
static inline double hard(const struct blast_terms *t, int64_t edge) {
    uint64_t word = bits(t->need[edge]) & (t->soft ? (uint64_t)t->soft[edge] - 1 : ~(uint64_t)0);
    double need;
    memcpy(&need, &word, sizeof need);
    return need;
}

/* One stop from its callees. Two products and two sums side by side: either alone would wait for itself. */
ALWAYS_INLINE struct hurt hurt_one(const struct graph *g, int64_t place, const struct blast_terms *t,
                                   const struct hurt *hurt, int *wrong) {
    const struct stop *s = &g->stops[place];
    const int32_t *callees = &g->callees[s->first];
    double keep = 1 - t->own[s->service], keep_too = 1, latency = t->slow[s->service], latency_too = 0;
    uint64_t needs = 0, amounts = 0;
    int32_t i = 0;
    int64_t e = s->begin;
    for (; i + 1 < s->degree; i += 2, e += 2) {
        const struct hurt *one = &hurt[callees[i]], *two = &hurt[callees[i + 1]];
        needs = later(needs, later(bits(t->need[e]), bits(t->need[e + 1])));
        amounts = later(amounts, later(bits(t->calls[e]), bits(t->calls[e + 1])));
        keep *= 1 - hard(t, e) * one->failure;
        keep_too *= 1 - hard(t, e + 1) * two->failure;
        latency += t->calls[e] * one->latency;
        latency_too += t->calls[e + 1] * two->latency;
    }
    if (i < s->degree) {
        needs = later(needs, bits(t->need[e]));
        amounts = later(amounts, bits(t->calls[e]));
        keep *= 1 - hard(t, e) * hurt[callees[i]].failure;
        latency += t->calls[e] * hurt[callees[i]].latency;
    }
    *wrong |= needs > BITS_ONE || amounts > BITS_FINITE || not_share(t->own[s->service]) ||
              not_amount(t->slow[s->service]) ? WRONG_TROUBLE : 0;
    latency += latency_too;
    if (latency != latency) { /* no calls to what never answers: they add nothing */
        latency = t->slow[s->service];
        for (i = 0; i < s->degree; i++)
            latency += t->calls[s->begin + i] > 0 ? t->calls[s->begin + i] * hurt[callees[i]].latency : 0;
    }
    return (struct hurt){1 - keep * keep_too, latency};
}

/* A sweep under way: from the callees up, a stop or a cycle with each step. */
struct blast_sweep {
    const struct graph *g;
    const struct blast_terms *t;
    struct hurt *hurt;    /* by place */
    int64_t place, cycle; /* the next ones */
    int wrong;
};

/* The members of one cycle, from nothing up to the least solution. */
static void blast_cycle(struct blast_sweep *sweep, int32_t begin, int32_t end) {
    struct hurt *hurt = sweep->hurt;
    memset(&hurt[begin], 0, (size_t)(end - begin) * sizeof *hurt);
    for (int round = 0, moving = 1; moving && round < SWEEPS_MAX + (end - begin); round++) {
        moving = 0;
        for (int32_t i = begin; i < end; i++) {
            struct hurt fresh = hurt_one(sweep->g, i, sweep->t, hurt, &sweep->wrong), old = hurt[i];
            int grows = fresh.latency > old.latency * (1 + SETTLED);
            if (grows && round >= SWEEPS_MAX) /* it never settles: calls that beget themselves */
                fresh.latency = INFINITY;
            moving |= grows | (fresh.failure > old.failure + SETTLED);
            hurt[i] = fresh;
        }
    }
}

/* One stop or cycle more; 0 when none is left. */
ALWAYS_INLINE int blast_step(struct blast_sweep *sweep) {
    const struct graph *g = sweep->g;
    const struct blast_terms *t = sweep->t;
    int64_t i = sweep->place;
    if (i >= g->services)
        return 0;
    if (sweep->cycle < g->cycles && i == g->cycle[2 * sweep->cycle]) {
        sweep->place = g->cycle[2 * sweep->cycle++ + 1];
        blast_cycle(sweep, (int32_t)i, (int32_t)sweep->place);
        return 1;
    }
    if (i + AHEAD < g->services) {
        int64_t begin = g->stops[i + AHEAD].begin;
        fetch(&t->need[begin]);
        fetch(&t->calls[begin]);
        if (t->soft)
            __builtin_prefetch(&t->soft[begin]);
    }
    sweep->hurt[i] = hurt_one(g, i, t, sweep->hurt, &sweep->wrong);
    sweep->place = i + 1;
    return 1;
}

/* From places to services. */
static void blast_end(const struct blast_sweep *sweep, double *failure, double *latency) {
    for (int64_t i = 0; i < sweep->g->services; i++) {
        failure[sweep->g->stops[i].service] = sweep->hurt[i].failure;
        latency[sweep->g->stops[i].service] = sweep->hurt[i].latency;
    }
}

/* Fill `reach` with the earliest of a service's own onset and of each hurt callee's reach and hop; `at` is by place. */
static void reach(const struct graph *g, const uint8_t *is_hurt, const double *hop, const double *onset, double *reach,
                  double *at) {
    int64_t cycle = 0;
    for (int64_t begin = 0, end; begin < g->services; begin = end) {
        end = begin + 1;
        if (cycle < g->cycles && begin == g->cycle[2 * cycle])
            end = g->cycle[2 * cycle++ + 1];
        for (int64_t i = begin; i < end; i++)
            at[i] = is_hurt[g->stops[i].service] ? onset[g->stops[i].service] : INFINITY;
        for (int moving = 1; moving;) { /* a quickest way passes no service twice: as many sweeps as members, at most */
            moving = 0;
            for (int64_t i = begin; i < end; i++) {
                const struct stop *s = &g->stops[i];
                for (int32_t e = 0; e < s->degree && is_hurt[s->service]; e++) {
                    double through = at[g->callees[s->first + e]] + (hop ? hop[s->begin + e] : 0);
                    if (through < at[i]) {
                        at[i] = through;
                        moving = end - begin > 1;
                    }
                }
            }
        }
        for (int64_t i = begin; i < end; i++)
            reach[g->stops[i].service] = at[i];
    }
}

#endif
