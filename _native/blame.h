/* Blame down the calls: docs/concepts/blame.md, equations 2 to 4. */
#ifndef CONTROLPLANE_BLAME_H
#define CONTROLPLANE_BLAME_H

#include "flows.h"

struct blame_terms {
    const double *excess, *edge_excess, *local, *source; /* mass, NaN = unknown; no `local` is unknown everywhere */
};

/* Of a stop in a cycle, while the cycle is gone over. */
struct around {
    double pending, inverse, stay, settled;
};

/* 1 / (own + what goes out on known edges), 0 where that is nothing; *stay is own's part of it. */
static inline double blame_divide(const struct stop *s, const struct blame_terms *t, double *stay, int *wrong) {
    const double *mass = &t->edge_excess[s->begin];
    double out = 0, also = 0, low = 0; /* two sums side by side: one would wait for itself */
    int32_t e = 0;
    for (; e + 1 < s->degree; e += 2) {
        low = mass[e] < low ? mass[e] : low;
        low = mass[e + 1] < low ? mass[e + 1] : low;
        out += mass[e] > 0 ? mass[e] : 0;
        also += mass[e + 1] > 0 ? mass[e + 1] : 0;
    }
    if (e < s->degree) {
        low = mass[e] < low ? mass[e] : low;
        out += mass[e] > 0 ? mass[e] : 0;
    }
    out += also;
    double excess = t->excess[s->service], own = excess - out > 0 ? excess - out : 0;
    *wrong |= (low < 0 ? WRONG_EDGE_EXCESS : 0) | (not_mass(excess) ? WRONG_EXCESS : 0);
    if (t->local) {
        double local = t->local[s->service];
        *wrong |= not_mass(local) ? WRONG_LOCAL : 0;
        own = local > own ? local : own;
    }
    double whole = own + out;
    *wrong |= whole > DBL_MAX ? WRONG_EDGE_EXCESS : 0;
    double inverse = whole >= MASS_MIN ? 1 / whole : 0;
    *stay = own * inverse;
    return inverse;
}

/* The members of one cycle, until next to nothing is on its way any more. Returns what was lost. */
static double blame_cycle(const struct graph *g, int32_t begin, int32_t end, const struct blame_terms *t, double *arrived,
                          double *share, struct around *at, int *wrong) {
    double lost = 0, entered = 0, left;
    for (int32_t i = begin; i < end; i++) {
        at[i].inverse = blame_divide(&g->stops[i], t, &at[i].stay, wrong);
        at[i].settled = 0;
        entered += at[i].pending = arrived[i];
    }
    left = entered;
    /* each sweep moves all that is pending by a step at least: what has not left in as many as there are members never will */
    for (int sweep = 0, quiet = 0; left > SETTLED * entered && sweep < SWEEPS_MAX && quiet <= end - begin; sweep++) {
        double gone = 0;
        for (int32_t i = end - 1; i >= begin; i--) {
            const struct stop *s = &g->stops[i];
            double mass = at[i].pending, pace = mass * at[i].inverse, rest = at[i].inverse == 0 ? mass : 0;
            if (mass == 0)
                continue;
            at[i].pending = 0;
            at[i].settled += mass * at[i].stay;
            lost += rest;
            gone += rest + mass * at[i].stay;
            for (int32_t e = 0; e < s->degree; e++) {
                int32_t callee = g->callees[s->first + e];
                double mass_out = t->edge_excess[s->begin + e], part = mass_out > 0 ? pace * mass_out : 0;
                if (callee >= begin && callee < end) {
                    at[callee].pending += part;
                } else {
                    arrived[callee] += part;
                    gone += part;
                }
            }
        }
        left = 0;
        for (int32_t i = begin; i < end; i++)
            left += at[i].pending;
        quiet = gone > 0 ? 0 : quiet + 1;
    }
    for (int32_t i = begin; i < end; i++)
        share[g->stops[i].service] = at[i].settled;
    return lost + left;
}

/* Fill `share` and *unexplained; returns which arguments are wrong, and then what it wrote means nothing. */
static int blame(const struct graph *g, const struct blame_terms *t, double *share, double *unexplained, double *arrived,
                 struct around *at) {
    int wrong = 0;
    double seen = 0, lost = 0;
    for (int64_t i = 0; i < g->services; i++) {
        wrong |= not_mass(t->source[i]) ? WRONG_SOURCE : 0;
        seen += t->source[i] > 0 ? t->source[i] : 0;
    }
    wrong |= seen > DBL_MAX ? WRONG_SOURCE : 0;
    double scale = seen >= MASS_MIN ? 1 / seen : 0;
    for (int64_t i = 0; i < g->services; i++) {
        double source = t->source[g->stops[i].service];
        arrived[i] = source > 0 ? source * scale : 0;
    }
    int64_t cycle = g->cycles;
    for (int64_t i = g->services - 1; i >= 0; i--) {
        if (cycle && i == g->cycle[2 * cycle - 1] - 1) {
            int32_t begin = g->cycle[2 * --cycle], end = g->cycle[2 * cycle + 1];
            lost += blame_cycle(g, begin, end, t, arrived, share, at, &wrong);
            i = begin;
            continue;
        }
        const struct stop *s = &g->stops[i];
        if (i >= AHEAD)
            FETCH(&t->edge_excess[s[-AHEAD].begin], 4);
        double mass = arrived[i], stay, inverse = blame_divide(s, t, &stay, &wrong), pace = mass * inverse;
        share[s->service] = mass * stay;
        if (mass == 0)
            continue;
        lost += inverse == 0 ? mass : 0;
        const int32_t *callees = &g->callees[s->first];
        const double *masses = &t->edge_excess[s->begin];
        for (int32_t e = 0; e < s->degree; e++)
            arrived[callees[e]] += pace * (masses[e] > 0 ? masses[e] : 0);
    }
    *unexplained = lost;
    return wrong;
}

#endif
