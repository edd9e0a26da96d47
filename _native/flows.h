/* What both sweeps of a propagation share: how exact, how far ahead, and what a figure may be. */
#ifndef CONTROLPLANE_FLOWS_H
#define CONTROLPLANE_FLOWS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "csr.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define SWEEPS_MAX 10000 /* over one cycle; one that halves what is left in each sweep needs 47 */
#define SETTLED 1e-14    /* of what came in, or of the figure: what is left or changes is rounding */
#define MASS_MIN 1e-300  /* below it there is no mass to divide by */
#define AHEAD 5          /* stops; what a sweep fetches before it comes to them, since figures of edges lie anywhere */

/* Have the first lines from `begin` on brought near: always as many, since a loop whose end nobody foresees costs more. */
ALWAYS_INLINE void fetch(const void *begin) {
    for (int line = 0; line < 4; line++)
        __builtin_prefetch((const char *)begin + 64 * line);
}

/* What a sweep found: then what it wrote is to be thrown away. */
enum { WRONG_MASS = 1, WRONG_TROUBLE = 2 };

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

/* Two figures of edges at a time: the compiler makes of it what the processor has. Comparing gives all bits or none. */
typedef double two __attribute__((vector_size(16), aligned(8), may_alias));
typedef int64_t two_masks __attribute__((vector_size(16)));

#endif
