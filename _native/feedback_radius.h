/* The spectral radius of a tangent: Arnoldi's method on the part of the graph in which a failure can come back.

   Power iteration would do, slowly: hundreds of services with much the same local loop leave it no gap. In the space that
   its first vectors span, the largest value of a small Hessenberg matrix is as good after ten steps as it after a hundred.
   The Jacobian has no negative entry, so its radius is an eigenvalue, and the largest real one (Perron, Frobenius). */
#ifndef CONTROLPLANE_FEEDBACK_RADIUS_H
#define CONTROLPLANE_FEEDBACK_RADIUS_H

#include "feedback.h"

#define STEPS_MAX 24          /* vectors kept; then it begins again with the best vector in their span */
#define APPLICATIONS_MAX 480
#define RADIUS_TOLERANCE 1e-6 /* last two changes of R, as shares of R, with which it ends */
#define RESIDUAL_MAX 1e-3     /* and what is left of its vector: R's own error goes with the square where it is symmetric */
#define RADIUS_NOTHING 1e-3   /* R below is not told from nothing: the largest row sum, which is no less, is returned */
#define NEWTON_MAX 200
#define OWN_NOTHING 1e-12 /* a queue that minds less than this share of what the most sensitive one does is no part of it */

/* The part of a tangent in which a failure can come back, packed: its edges twice, by direction. */
struct link {
    int32_t callee;
    float weight;
};

struct circuit {
    int64_t services, edges;
    int64_t *first;
    double *slope, *own;
    struct link *down, *up;
};

/* Pack what lies on a way from a service that is tried again (slope) down to one whose queue minds (own). Only without
   circles. What c points to has room for all of t; `mark` (services) is scratch. */
static void circuit_pack(const struct tangent *t, struct circuit *c, int32_t *mark) {
    int64_t kept = 0, edges = 0;
    double least = 0.0;
    enum { FED = 1, MINDS = 2 };
    for (int64_t v = 0; v < t->services; v++) {
        mark[v] = 0;
        least = t->own[v] > least ? t->own[v] : least;
    }
    least *= OWN_NOTHING;
    for (int64_t v = 0; v < t->services; v++) {
        if (t->slope[v] > 0.0)
            mark[v] |= FED;
        if (mark[v] & FED)
            for (int64_t e = t->first[v]; e < t->first[v + 1]; e++)
                mark[t->callee[e]] |= FED;
    }
    for (int64_t v = t->services - 1; v >= 0; v--) {
        if (t->own[v] > least)
            mark[v] |= MINDS;
        for (int64_t e = t->first[v]; e < t->first[v + 1] && !(mark[v] & MINDS); e++)
            mark[v] |= mark[t->callee[e]] & MINDS;
    }
    for (int64_t v = 0; v < t->services; v++)
        mark[v] = mark[v] == (FED | MINDS) ? (int32_t)kept++ : -1;
    kept = 0;
    for (int64_t v = 0; v < t->services; v++) {
        if (mark[v] < 0)
            continue;
        c->first[kept] = edges;
        c->slope[kept] = t->slope[v];
        c->own[kept++] = t->own[v] > least ? t->own[v] : 0.0;
        for (int64_t e = t->first[v]; e < t->first[v + 1]; e++) {
            int32_t w = mark[t->callee[e]];
            if (w < 0)
                continue;
            c->down[edges] = (struct link){w, t->down[e]};
            c->up[edges++] = (struct link){w, t->up[e]};
        }
    }
    c->first[kept] = edges;
    c->services = kept;
    c->edges = edges;
}

/* out = the circuit's Jacobian x vector; `load` is scratch */
static void circuit_apply(const struct circuit *c, const double *vector, double *out, double *load) {
    int64_t n = c->services;
    for (int64_t v = 0; v < n; v++)
        load[v] = c->slope[v] * vector[v];
    for (int64_t v = 0; v < n; v++)
        for (const struct link *l = c->down + c->first[v], *end = c->down + c->first[v + 1]; l < end; l++)
            load[l->callee] += load[v] * l->weight;
    for (int64_t v = n - 1; v >= 0; v--) {
        double worse = c->own[v] * load[v];
        for (const struct link *l = c->up + c->first[v], *end = c->up + c->first[v + 1]; l < end; l++)
            worse += l->weight * out[l->callee];
        out[v] = worse;
    }
}

/* What Arnoldi's method applies: a circuit, or where calls go in circles the tangent as it is. */
struct jacobian {
    const struct circuit *circuit;
    const struct tangent *tangent;
};

static inline void jacobian_apply(struct jacobian j, const double *vector, double *out, double *work) {
    if (j.circuit)
        circuit_apply(j.circuit, vector, out, work);
    else
        tangent_apply(j.tangent, vector, out, work);
}

/* The largest real eigenvalue of the leading `k` x `k` part of `h` (rows of STEPS_MAX), from `above`, which is no less, and its
   vector in x, the last entry 1. Newton's steps on the characteristic polynomial (by Hyman's recurrence) come down to the
   largest root without passing it: every root lies left of it, so p'/p is at least 1 / (value - root). */
static double hessenberg_largest(const double *h, int k, double above, double *x) {
    double slope[STEPS_MAX], value = above;
    for (int turn = 0; turn < NEWTON_MAX; turn++) {
        double p, rise, step;
        x[k - 1] = 1.0;
        slope[k - 1] = 0.0;
        for (int i = k - 1;; i--) {
            p = -value * x[i];
            rise = -x[i] - value * slope[i];
            for (int j = i; j < k; j++) {
                p += h[i * STEPS_MAX + j] * x[j];
                rise += h[i * STEPS_MAX + j] * slope[j];
            }
            if (i == 0)
                break;
            x[i - 1] = -p / h[i * STEPS_MAX + i - 1];
            slope[i - 1] = -rise / h[i * STEPS_MAX + i - 1];
        }
        if (rise == 0.0 || !(fabs(p) < INFINITY) || !(fabs(rise) < INFINITY))
            break;
        step = p / rise;
        if (fabs(step) <= 1e-13 * fabs(value))
            break;
        value -= step;
    }
    return value;
}

static inline double product(const double *a, const double *b, int64_t n) {
    double sums[4] = {0.0, 0.0, 0.0, 0.0};
    int64_t v = 0;
    for (; v + 4 <= n; v += 4)
        for (int lane = 0; lane < 4; lane++)
            sums[lane] += a[v + lane] * b[v + lane];
    for (; v < n; v++)
        sums[0] += a[v] * b[v];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

/* `span` holds (STEPS_MAX + 1) x services, `work` as tangent_apply's */
static double jacobian_radius(struct jacobian j, int64_t n, double *span, double *work, int64_t *applications) {
    int agreed = 0;
    double h[STEPS_MAX * STEPS_MAX], x[STEPS_MAX], radius = 0.0, bound = 0.0, norm;
    *applications = 1;
    for (int64_t v = 0; v < n; v++)
        span[v] = 1.0;
    jacobian_apply(j, span, span, work);
    for (int64_t v = 0; v < n; v++)
        bound = fmax(bound, span[v]);
    if (bound <= RADIUS_NOTHING)
        return bound;
    while (*applications < APPLICATIONS_MAX) {
        norm = sqrt(product(span, span, n));
        for (int64_t v = 0; v < n; v++)
            span[v] /= norm;
        memset(h, 0, sizeof(h));
        for (int k = 0; k < STEPS_MAX; k++) {
            double *next = span + (k + 1) * n, largest = 0.0, before = radius, size = 0.0;
            jacobian_apply(j, span + k * n, next, work);
            ++*applications;
            norm = sqrt(product(next, next, n));
            for (int i = 0; i <= k; i++) {
                double along = product(span + i * n, next, n);
                h[i * STEPS_MAX + k] = along;
                for (int64_t v = 0; v < n; v++)
                    next[v] -= along * span[i * n + v];
            }
            double left = sqrt(product(next, next, n));
            for (int i = 0; i <= k; i++) {
                double row = 0.0;
                for (int j = 0; j <= k; j++)
                    row += fabs(h[i * STEPS_MAX + j]);
                largest = fmax(largest, row);
            }
            radius = hessenberg_largest(h, k + 1, fmin(largest, bound), x);
            for (int i = 0; i <= k; i++)
                size += x[i] * x[i];
            agreed = fabs(radius - before) <= RADIUS_TOLERANCE * radius ? agreed + 1 : 0;
            if (left <= 1e-14 * norm || norm == 0.0 ||
                (left <= RESIDUAL_MAX * radius * sqrt(size) && agreed >= 2))
                return fmax(radius, 0.0);
            if (k + 1 == STEPS_MAX)
                break;
            h[(k + 1) * STEPS_MAX + k] = left;
            for (int64_t v = 0; v < n; v++)
                next[v] /= left;
        }
        for (int64_t v = 0; v < n; v++) {
            double best = 0.0;
            for (int i = 0; i < STEPS_MAX; i++)
                best += x[i] * span[i * n + v];
            work[v] = fabs(best);
        }
        memcpy(span, work, n * sizeof(double));
    }
    return fmax(radius, 0.0);
}

#endif
