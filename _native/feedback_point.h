/* What one service and one edge of the load-failure loop do at a point, with their slopes: equations 1 and 3 of
   docs/concepts/reproduction-number.md. */
#ifndef CONTROLPLANE_FEEDBACK_POINT_H
#define CONTROLPLANE_FEEDBACK_POINT_H

#include <math.h>
#include <stdint.h>

/* e^-40 is 4e-18: less than what a double beside 1 can show */
#define NEGLIGIBLE_LOG 40.0
/* below this |places ln(load / capacity)| the series is exact to 1e-13, and the quotient would lose more than that */
#define NEAR_FULL 1e-2

struct service {
    double base, capacity;
    double useful; /* an arrival that finds so many ahead fails: its caller will have left, or the queue is full */
    double queue;  /* requests that may be there, waiting or served; one that finds so many is refused */
};

/* A turn is as quick as these can be read: so they are single, and the budget, which few have, lies elsewhere. */
struct edge {
    float calls, need;
    int16_t attempts; /* 1 also where the budget is 0 */
    int16_t budgeted;
    int32_t callee;
};

/* overflow: share of arrivals that fail by this queue; served: load that is worked on, in vain or not; _rise: per load */
struct point {
    double overflow, overflow_rise, served, served_rise;
};

/* tries: expected attempts of a call; lost: share of calls that fail for good; _rise: per failure share of the callee */
struct retried {
    double tries, tries_rise, lost, lost_rise;
};

/* P(an arrival finds `least` or more ahead) where fewer than `places` may be there; *slope: by ln(load / capacity) */
static inline double feedback_ahead(double log_ratio, double least, double places, double *slope) {
    double more = places - least, l = log_ratio, share;
    if (fabs(l) * places < NEAR_FULL) {
        double second = least * (2.0 * places - least);
        double fourth = (more * more - places * places) * (more * more + places * places);
        share = more / places * exp(l * (0.5 * least - l * (second / 24.0 + fourth * l * l / 2880.0)));
        *slope = share * (0.5 * least - l * (second / 12.0 + fourth * l * l / 720.0));
    } else if (places * l < -NEGLIGIBLE_LOG && more * l < -NEGLIGIBLE_LOG) {
        share = exp(least * l); /* the queue might as well be endless */
        *slope = share * least;
    } else if (l < 0.0) {
        double all = expm1(places * l), rest = expm1(more * l);
        share = exp(least * l) * rest / all;
        *slope = share * (least + more * (rest + 1.0) / rest - places * (all + 1.0) / all);
    } else {
        double all = expm1(-places * l), rest = expm1(-more * l);
        share = rest / all;
        *slope = share * (places * (all + 1.0) / all - more * (rest + 1.0) / rest);
    }
    return share;
}

static inline struct point feedback_point(const struct service *at, double load) {
    struct point p = {0.0, 0.0, load, 1.0};
    double ratio = load / at->capacity, places = at->queue + 1.0, log_ratio, slope = 0.0, refused;
    if (!(ratio > 0.0) || at->useful * (1.0 - ratio) > NEGLIGIBLE_LOG) /* ratio^useful <= e^(useful (ratio - 1)) */
        return p;
    log_ratio = log(ratio);
    if (at->useful * log_ratio < -NEGLIGIBLE_LOG)
        return p;
    if ((places - at->useful) * log_ratio > NEGLIGIBLE_LOG) {
        p.overflow = 1.0;
    } else {
        p.overflow = feedback_ahead(log_ratio, at->useful, places, &slope);
        p.overflow_rise = slope / load;
    }
    if (places * log_ratio > NEGLIGIBLE_LOG) {
        p.served = at->capacity;
        p.served_rise = 0.0;
    } else if (at->queue * (1.0 - ratio) <= NEGLIGIBLE_LOG) {
        refused = at->useful == at->queue ? p.overflow : feedback_ahead(log_ratio, at->queue, places, &slope);
        p.served = load * (1.0 - refused);
        p.served_rise = 1.0 - refused - slope;
    }
    return p;
}

/* [attempts][k]: whether a (k + 2)th is made; a table, since what edges allow is nothing a branch could guess */
static const double FEEDBACK_AGAIN[5][3] = {{0, 0, 0}, {0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}};

static inline struct retried feedback_retried(const struct edge *by, const double *budget, double failing) {
    struct retried r;
    double passing = 1.0 - failing, lost;
    if (by->attempts <= 4) {
        const double *again = FEEDBACK_AGAIN[by->attempts];
        r.tries = 1.0 + failing * (again[0] + failing * (again[1] + failing * again[2]));
        r.tries_rise = again[0] + failing * (2.0 * again[1] + 3.0 * failing * again[2]);
    } else {
        r.tries = 1.0;
        r.tries_rise = 0.0;
        for (int32_t left = by->attempts; left > 1; left--) {
            r.tries_rise = r.tries + failing * r.tries_rise;
            r.tries = 1.0 + failing * r.tries;
        }
    }
    if (by->budgeted && r.tries > 1.0 + *budget) {
        r.tries = 1.0 + *budget;
        r.tries_rise = 0.0;
    }
    lost = 1.0 - r.tries * passing;
    r.lost = 0.5 * (lost + fabs(lost)); /* the greater of it and 0, and again no branch */
    r.lost_rise = r.tries - r.tries_rise * passing;
    return r;
}

#endif
