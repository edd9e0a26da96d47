/* What both sweeps of a propagation share: how exact, how far ahead, and what a figure may be. */
#ifndef CONTROLPLANE_FLOWS_H
#define CONTROLPLANE_FLOWS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "csr.h"

#define SWEEPS_MAX 10000 /* over one cycle; one that halves what is left in each sweep needs 47 */
#define SETTLED 1e-14    /* of what came in, or of the figure: what is left or changes is rounding */
#define MASS_MIN 1e-300  /* below it there is no mass to divide by */
#define AHEAD 5          /* stops; what a sweep fetches before it comes to them, since figures of edges lie anywhere */

/* Have the first 64 * `lines` bytes from `begin` on brought near; an address of nothing does no harm. */
#define FETCH(begin, lines) \
    do { \
        for (int line = 0; line < (lines); line++) \
            __builtin_prefetch((const char *)(begin) + 64 * line); \
    } while (0)

/* Which argument a sweep found wrong, as bits; what it wrote is then to be thrown away. */
enum { WRONG_EXCESS = 1, WRONG_EDGE_EXCESS = 2, WRONG_LOCAL = 4, WRONG_SOURCE = 8 };
enum { WRONG_FAILURE = 1, WRONG_LATENCY = 2, WRONG_FRACTION = 4, WRONG_CALLS = 8 };

/* Unknown (NaN) is let through by the first, and by no other. */
static inline int not_mass(double value) { return (value < 0) | (value > DBL_MAX); }
static inline int not_amount(double value) { return !(value >= 0) | !(value <= DBL_MAX); }
static inline int not_share(double value) { return !(value >= 0) | !(value <= 1); }

/* The bits of a number ascend as the number does; those of what is negative or no number are beyond all of them. So the
 * largest of many says whether one of them is out of range. It says so of -0.0, too: who asks again finds nothing. */
#define BITS_ONE 0x3FF0000000000000u
#define BITS_FINITE 0x7FEFFFFFFFFFFFFFu
static inline uint64_t bits(double value) {
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}
static inline uint64_t later(uint64_t one, uint64_t other) { return one > other ? one : other; }

#endif
