/* Blame down the calls: docs/concepts/blame.md, equations 2 to 4. */
#ifndef CONTROLPLANE_BLAME_H
#define CONTROLPLANE_BLAME_H

#include "cycle.h"
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
    two outs = {0, 0}, also = {0, 0}; /* two sums side by side: one would wait for itself */
    two_masks lows = {0, 0};
    int32_t e = 0;
    for (; e + 3 < s->degree; e += 4) {
        two first = *(const two *)&mass[e], second = *(const two *)&mass[e + 2];
        lows |= (first < 0) | (second < 0);
        outs += (two)((two_masks)first & (first > 0));
        also += (two)((two_masks)second & (second > 0));
    }
    double out = (outs[0] + outs[1]) + (also[0] + also[1]);
    int low = (lows[0] | lows[1]) != 0;
    for (; e < s->degree; e++) {
        low |= mass[e] < 0;
        out += mass[e] > 0 ? mass[e] : 0;
    }
    double excess = t->excess[s->service], own = excess - out > 0 ? excess - out : 0;
    *wrong |= low || not_mass(excess) ? WRONG_MASS : 0;
    if (t->local) {
        double local = t->local[s->service];
        *wrong |= not_mass(local) ? WRONG_MASS : 0;
        own = local > own ? local : own;
    }
    double whole = own + out;
    *wrong |= whole > DBL_MAX ? WRONG_MASS : 0;
    double inverse = whole >= MASS_MIN ? 1 / whole : 0;
    *stay = own * inverse;
    return inverse;
}

/* A sweep under way: from the callers down, a stop or a cycle with each step. */
struct blame_sweep {
    const struct graph *g;
    const struct blame_terms *t;
    double *arrived, *share; /* by place: mass on its way; by service: mass that stays */
    struct around *at;       /* by place */
    int64_t place, cycle;    /* stops and cycles that are left */
    double lost;             /* mass that nothing explains */
    int wrong;
};

/* The members of a cycle that is small enough, all at once. */
static void blame_cycle_exact(struct blame_sweep *sweep, int32_t begin, int32_t end) {
    const struct graph *g = sweep->g;
    struct cycle_system c = {.count = end - begin};
    struct around *at = &sweep->at[begin];
    for (int32_t i = 0; i < c.count; i++) {
        const struct stop *s = &g->stops[begin + i];
        at[i].inverse = blame_divide(s, sweep->t, &at[i].stay, &sweep->wrong);
        c.leave[i] = at[i].stay;
        c.arriving[i] = sweep->arrived[begin + i];
        for (int32_t e = 0; e < s->degree; e++) {
            double mass = sweep->t->edge_excess[s->begin + e], part = mass > 0 ? mass * at[i].inverse : 0;
            int32_t callee = g->callees[s->first + e];
            *(callee >= begin && callee < end ? &c.pass[i][callee - begin] : &c.leave[i]) += part;
        }
    }
    sweep->lost += cycle_solve(&c);
    for (int32_t i = 0; i < c.count; i++) {
        const struct stop *s = &g->stops[begin + i];
        double pace = c.through[i] * at[i].inverse;
        sweep->share[s->service] = c.through[i] * at[i].stay;
        for (int32_t e = 0; e < s->degree; e++) {
            double mass = sweep->t->edge_excess[s->begin + e];
            int32_t callee = g->callees[s->first + e];
            if (!(callee >= begin && callee < end))
                sweep->arrived[callee] += mass > 0 ? pace * mass : 0;
        }
    }
}

/* The members of a larger one, until next to nothing is on its way any more. */
static void blame_cycle(struct blame_sweep *sweep, int32_t begin, int32_t end) {
    const struct graph *g = sweep->g;
    const double *excess_of = sweep->t->edge_excess;
    struct around *at = sweep->at;
    double entered = 0, left;
    for (int32_t i = begin; i < end; i++) {
        at[i].inverse = blame_divide(&g->stops[i], sweep->t, &at[i].stay, &sweep->wrong);
        at[i].settled = 0;
        entered += at[i].pending = sweep->arrived[i];
    }
    left = entered;
    /* each round moves all that is pending by a step at least: what has not left in as many as there are members never will */
    for (int round = 0, quiet = 0; left > SETTLED * entered && round < SWEEPS_MAX && quiet <= end - begin; round++) {
        double gone = 0;
        for (int32_t i = end - 1; i >= begin; i--) {
            const struct stop *s = &g->stops[i];
            double mass = at[i].pending, pace = mass * at[i].inverse, rest = at[i].inverse == 0 ? mass : 0;
            if (mass == 0)
                continue;
            at[i].pending = 0;
            at[i].settled += mass * at[i].stay;
            sweep->lost += rest;
            gone += rest + mass * at[i].stay;
            for (int32_t e = 0; e < s->degree; e++) {
                int32_t callee = g->callees[s->first + e];
                double part = excess_of[s->begin + e] > 0 ? pace * excess_of[s->begin + e] : 0;
                if (callee >= begin && callee < end) {
                    at[callee].pending += part;
                } else {
                    sweep->arrived[callee] += part;
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
        sweep->share[g->stops[i].service] = at[i].settled;
    sweep->lost += left;
}

/* Put what users saw at its places, as shares of all of it. */
static void blame_begin(struct blame_sweep *sweep) {
    const struct graph *g = sweep->g;
    double seen = 0;
    for (int64_t v = 0; v < g->services; v++) {
        sweep->wrong |= not_mass(sweep->t->source[v]) ? WRONG_MASS : 0;
        seen += sweep->t->source[v] > 0 ? sweep->t->source[v] : 0;
    }
    sweep->wrong |= seen > DBL_MAX ? WRONG_MASS : 0;
    double scale = seen >= MASS_MIN ? 1 / seen : 0;
    for (int64_t i = 0; i < g->services; i++) {
        double source = sweep->t->source[g->stops[i].service];
        sweep->arrived[i] = source > 0 ? source * scale : 0;
    }
    sweep->place = g->services;
    sweep->cycle = g->cycles;
}

/* One stop or cycle more; 0 when none is left. */
ALWAYS_INLINE int blame_step(struct blame_sweep *sweep) {
    const struct graph *g = sweep->g;
    int64_t i = sweep->place - 1;
    if (i < 0)
        return 0;
    if (sweep->cycle && i == g->cycle[2 * sweep->cycle - 1] - 1) {
        sweep->place = g->cycle[2 * --sweep->cycle];
        if (i + 1 - sweep->place <= CYCLE_EXACT_MAX)
            blame_cycle_exact(sweep, (int32_t)sweep->place, (int32_t)i + 1);
        else
            blame_cycle(sweep, (int32_t)sweep->place, (int32_t)i + 1);
        return 1;
    }
    sweep->place = i;
    const struct stop *s = &g->stops[i];
    const double *masses = &sweep->t->edge_excess[s->begin];
    if (i >= AHEAD)
        fetch(&sweep->t->edge_excess[s[-AHEAD].begin]);
    double mass = sweep->arrived[i], stay, inverse = blame_divide(s, sweep->t, &stay, &sweep->wrong), pace = mass * inverse;
    sweep->share[s->service] = mass * stay;
    if (mass == 0)
        return 1;
    sweep->lost += inverse == 0 ? mass : 0;
    const int32_t *callees = &g->callees[s->first];
    double *arrived = sweep->arrived;
    int32_t e = 0;
    for (; e + 1 < s->degree; e += 2) {
        two both = *(const two *)&masses[e];
        both = (two)((two_masks)both & (both > 0)) * pace;
        arrived[callees[e]] += both[0];
        arrived[callees[e + 1]] += both[1];
    }
    if (e < s->degree)
        arrived[callees[e]] += pace * (masses[e] > 0 ? masses[e] : 0);
    return 1;
}

#endif
