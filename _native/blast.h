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
static inline struct hurt hurt_one(const struct graph *g, int64_t place, const struct blast_terms *t,
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
    *wrong |= (needs > BITS_ONE ? WRONG_FRACTION : 0) | (amounts > BITS_FINITE ? WRONG_CALLS : 0);
    *wrong |= (not_share(t->own[s->service]) ? WRONG_FAILURE : 0) | (not_amount(t->slow[s->service]) ? WRONG_LATENCY : 0);
    latency += latency_too;
    if (latency != latency) { /* no calls to what never answers: they add nothing */
        latency = t->slow[s->service];
        for (i = 0; i < s->degree; i++)
            latency += t->calls[s->begin + i] > 0 ? t->calls[s->begin + i] * hurt[callees[i]].latency : 0;
    }
    return (struct hurt){1 - keep * keep_too, latency};
}

/* The members of one cycle, from nothing up to the least solution. */
static void hurt_cycle(const struct graph *g, int32_t begin, int32_t end, const struct blast_terms *t, struct hurt *hurt,
                       int *wrong) {
    memset(&hurt[begin], 0, (size_t)(end - begin) * sizeof *hurt);
    for (int sweep = 0, moving = 1; moving && sweep < SWEEPS_MAX + (end - begin); sweep++) {
        moving = 0;
        for (int32_t i = begin; i < end; i++) {
            struct hurt fresh = hurt_one(g, i, t, hurt, wrong), old = hurt[i];
            int grows = fresh.latency > old.latency * (1 + SETTLED);
            if (grows && sweep >= SWEEPS_MAX) /* it never settles: calls that beget themselves */
                fresh.latency = INFINITY;
            moving |= grows | (fresh.failure > old.failure + SETTLED);
            hurt[i] = fresh;
        }
    }
}

/* Fill failure and latency; returns which arguments are wrong, and then what it wrote means nothing. */
static int blast(const struct graph *g, const struct blast_terms *t, double *failure, double *latency, struct hurt *hurt) {
    int wrong = 0;
    int64_t cycle = 0;
    for (int64_t i = 0; i < g->services; i++) {
        if (cycle < g->cycles && i == g->cycle[2 * cycle]) {
            hurt_cycle(g, (int32_t)i, g->cycle[2 * cycle + 1], t, hurt, &wrong);
            i = g->cycle[2 * cycle++ + 1] - 1;
            continue;
        }
        if (i + AHEAD < g->services) {
            int64_t begin = g->stops[i + AHEAD].begin;
            FETCH(&t->need[begin], 4);
            FETCH(&t->calls[begin], 4);
            if (t->soft)
                FETCH(&t->soft[begin], 1);
        }
        hurt[i] = hurt_one(g, i, t, hurt, &wrong);
    }
    for (int64_t i = 0; i < g->services; i++) {
        failure[g->stops[i].service] = hurt[i].failure;
        latency[g->stops[i].service] = hurt[i].latency;
    }
    return wrong;
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
