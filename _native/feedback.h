/* The load-failure loop over a call graph, and what it does to a small change: docs/concepts/reproduction-number.md.

   Services lie in an order in which callers come before callees, so that one sweep down the arrays gives all loads and one
   sweep up gives all failures. Calls in a circle leave edges that go back; then the sweeps repeat until they agree. */
#ifndef CONTROLPLANE_FEEDBACK_H
#define CONTROLPLANE_FEEDBACK_H

#include <stdlib.h>
#include <string.h>

#include "feedback_point.h"

#define SWEEPS_MAX 1000     /* of a graph with circles: a circle that passes half on needs 50 */
#define SWEEPS_AGREE 1e-13  /* largest relative change between two sweeps that agree */
#define LOAD_MAX 1e300      /* a circle that gains load for ever stays a number */

struct loop {
    int64_t services, edges, back; /* back: edges to a service that is not later in the order */
    int64_t *first;                /* services + 1; places in the order name services, here and everywhere */
    int32_t *callee;               /* of each edge, packed: ways are followed without reading what edges do */
    struct service *at;
    struct edge *by;
    double *budget; /* of each edge */
};

/* The Jacobian in factors: failure -> (slope) more load -> (down) -> (own) more failure -> (up) */
struct tangent {
    int64_t services, edges, back;
    const int64_t *first;
    const int32_t *callee;
    double *slope, *own;
    float *down, *up; /* single: an error of 1e-7 in R, and half of the memory to write and read */
};

static inline int feedback_agree(double before, double after) {
    return fabs(after - before) <= SWEEPS_AGREE * fmax(1.0, fabs(after));
}

/* `load` and `points` of every service while `failing` fails. With `t`: its slope, and down of every edge.
   `returning` (2 x services) carries what goes back. */
static void feedback_loads(const struct loop *g, const double *failing, double *load, struct point *points,
                           double *returning, struct tangent *t) {
    double *came = returning, *goes = returning + g->services;
    int turn, agree = 0;
    if (g->back)
        memset(came, 0, g->services * sizeof(double));
    for (turn = 0; turn < SWEEPS_MAX && !agree; turn++) {
        for (int64_t v = 0; v < g->services; v++)
            load[v] = g->at[v].base;
        if (g->back) {
            memset(goes, 0, g->services * sizeof(double));
            for (int64_t v = 0; v < g->services; v++)
                load[v] = fmin(LOAD_MAX, load[v] + came[v]);
        }
        if (t)
            memset(t->slope, 0, g->services * sizeof(double));
        for (int64_t v = 0; v < g->services; v++) {
            struct point p = feedback_point(&g->at[v], load[v]);
            points[v] = p;
            for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
                const struct edge *by = &g->by[e];
                int32_t w = by->callee;
                struct retried r = feedback_retried(by, &g->budget[e], failing[w]);
                if (w > v)
                    load[w] += p.served * by->calls * r.tries;
                else
                    goes[w] += p.served * by->calls * r.tries;
                if (t) {
                    t->slope[w] += p.served * by->calls * r.tries_rise;
                    t->down[e] = p.served_rise * by->calls * r.tries;
                }
            }
        }
        agree = 1;
        for (int64_t v = 0; g->back && v < g->services; v++) {
            agree &= feedback_agree(came[v], goes[v]);
            came[v] = fmin(LOAD_MAX, goes[v]);
        }
    }
}

/* `load` of every service when every call fails and nothing is refused; `returning` as above */
static void feedback_storm(const struct loop *g, double *load, double *returning) {
    double *came = returning, *goes = returning + g->services;
    int turn, agree = 0;
    memset(came, 0, g->services * sizeof(double));
    for (turn = 0; turn < SWEEPS_MAX && !agree; turn++) {
        memset(goes, 0, g->services * sizeof(double));
        for (int64_t v = 0; v < g->services; v++)
            load[v] = fmin(LOAD_MAX, g->at[v].base + came[v]);
        for (int64_t v = 0; v < g->services; v++)
            for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
                const struct edge *by = &g->by[e];
                double more = load[v] * by->calls * feedback_retried(by, &g->budget[e], 1.0).tries;
                double *to = by->callee > v ? load : goes;
                to[by->callee] = fmin(LOAD_MAX, to[by->callee] + more);
            }
        agree = 1;
        for (int64_t v = 0; g->back && v < g->services; v++) {
            agree &= feedback_agree(came[v], goes[v]);
            came[v] = goes[v];
        }
    }
}

/* the share of the caller's requests that do not fail by this edge */
static inline double feedback_kept(const struct edge *by, double kept) {
    return by->calls > 1.0f && kept < 1.0 ? pow(kept, by->calls) : kept;
}

/* Where an edge loses everything its caller needs: what one edge would change is the product of the others. */
static void feedback_up_at_nothing(const struct loop *g, int64_t v, const double *failing, double rest, float *up) {
    int64_t gone = 0;
    for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
        const struct edge *by = &g->by[e];
        double kept = 1.0 - by->need * feedback_retried(by, &g->budget[e], failing[by->callee]).lost;
        gone += kept <= 0.0;
        rest *= kept <= 0.0 ? 1.0 : feedback_kept(by, kept);
    }
    for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
        const struct edge *by = &g->by[e];
        struct retried r = feedback_retried(by, &g->budget[e], failing[by->callee]);
        int last = gone == 1 && 1.0 - by->need * r.lost <= 0.0 && by->calls <= 1.0;
        up[e] = last ? rest * by->need * r.lost_rise : 0.0;
    }
}

/* What of a service's requests its callees leave. With `t`: its own, and up of its edges. */
static inline double feedback_left(const struct loop *g, int64_t v, const double *failing, const struct point *p,
                                   struct tangent *t) {
    double left = 1.0;
    for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
        const struct edge *by = &g->by[e];
        double callee = failing[by->callee];
        if (!t && callee == 0.0)
            continue;
        struct retried r = feedback_retried(by, &g->budget[e], callee);
        double kept = 1.0 - by->need * r.lost;
        left *= feedback_kept(by, kept);
        if (t)
            t->up[e] = (by->calls > 1.0f ? by->calls : 1.0f) * by->need * r.lost_rise / kept;
    }
    if (t) {
        double rest = left * (1.0 - p->overflow);
        t->own[v] = left * p->overflow_rise;
        if (left > 0.0)
            for (int64_t e = g->first[v]; e < g->first[v + 1]; e++)
                t->up[e] *= rest;
        else
            feedback_up_at_nothing(g, v, failing, 1.0 - p->overflow, t->up);
    }
    return left;
}

/* `failing` of every service from its own `points` and its callees. With `t`: own, and up of every edge. */
static void feedback_failures(const struct loop *g, const struct point *points, double *failing, struct tangent *t) {
    int turn, agree = 0;
    for (int64_t v = 0; v < g->services; v++)
        failing[v] = points[v].overflow;
    for (turn = 0; turn < SWEEPS_MAX && !agree; turn++) {
        agree = 1;
        for (int64_t v = g->services - 1; v >= 0; v--) {
            double left = feedback_left(g, v, failing, &points[v], g->back ? NULL : t);
            double after = 1.0 - (1.0 - points[v].overflow) * left;
            if (g->back)
                agree &= feedback_agree(failing[v], after);
            failing[v] = after;
        }
    }
    for (int64_t v = 0; t && g->back && v < g->services; v++)
        feedback_left(g, v, failing, &points[v], t);
}

/* out = Jacobian x vector; `out` and `vector` may be the same. `work` holds 3 x services. */
static void tangent_apply(const struct tangent *t, const double *vector, double *out, double *work) {
    int64_t n = t->services;
    double *load = work, *came = work + n, *goes = work + 2 * n;
    int turn, agree = 0;
    if (t->back)
        memset(came, 0, n * sizeof(double));
    for (turn = 0; turn < SWEEPS_MAX && !agree; turn++) {
        for (int64_t v = 0; v < n; v++)
            load[v] = t->slope[v] * vector[v] + (t->back ? came[v] : 0.0);
        if (t->back)
            memset(goes, 0, n * sizeof(double));
        for (int64_t v = 0; v < n; v++) {
            double x = load[v];
            for (int64_t e = t->first[v]; e < t->first[v + 1]; e++) {
                int32_t w = t->callee[e];
                if (w > v || !t->back)
                    load[w] += x * t->down[e];
                else
                    goes[w] += x * t->down[e];
            }
        }
        agree = 1;
        for (int64_t v = 0; t->back && v < n; v++) {
            agree &= feedback_agree(came[v], goes[v]);
            came[v] = fmin(LOAD_MAX, goes[v]);
        }
    }
    for (int64_t v = 0; v < n; v++)
        out[v] = t->own[v] * load[v];
    if (t->back)
        memcpy(came, out, n * sizeof(double)); /* what a service adds by itself */
    for (turn = 0, agree = 0; turn < SWEEPS_MAX && !agree; turn++) {
        agree = 1;
        for (int64_t v = n - 1; v >= 0; v--) {
            double worse = t->back ? came[v] : out[v];
            for (int64_t e = t->first[v]; e < t->first[v + 1]; e++)
                worse += t->up[e] * out[t->callee[e]];
            if (t->back)
                agree &= feedback_agree(out[v], worse);
            out[v] = fmin(LOAD_MAX, worse);
        }
    }
}

#endif
