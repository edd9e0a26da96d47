/* Whole sweeps: blame down, blast up, or one after the other. */
#ifndef CONTROLPLANE_SWEEP_H
#define CONTROLPLANE_SWEEP_H

#include "blame.h"
#include "blast.h"

/* Where a sweep works: for each stop, and one more. */
struct workspace {
    double *arrived;
    struct around *around;
    struct hurt *hurt;
};

/* Fill share and *unexplained where there are terms of blame, failure and latency where there are terms of blast. Returns
 * what was wrong; then what it wrote means nothing. */
static int sweep(const struct graph *g, const struct blame_terms *mass, double *share, double *unexplained,
                 const struct blast_terms *trouble, double *failure, double *latency, const struct workspace *work) {
    struct blame_sweep down = {g, mass, work->arrived, share, work->around, 0, 0, 0, 0};
    struct blast_sweep up = {g, trouble, work->hurt, 0, 0, 0};
    if (mass)
        blame_begin(&down);
    while (mass && blame_step(&down))
        ;
    while (trouble && blast_step(&up))
        ;
    if (mass)
        *unexplained = down.lost;
    if (trouble)
        blast_end(&up, failure, latency);
    return down.wrong | up.wrong;
}

#endif
