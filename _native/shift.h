/* Latency as evidence: how much likelier an answer of this latency is when the service has become slower by a factor.
 *
 * Latencies fall into quarter octaves (within 25 %) from a microsecond to 69 seconds. The learned counts, smoothed, are the
 * law of a healthy answer, P0. P0 moved right by a factor is the law after the change, P1, the mass of a bin being spread
 * evenly over its logarithm. The increment of a bin is ln(P1 / P0): the full likelihood but for what a quarter octave
 * hides. A test that asks only whether an answer is beyond one mark throws most of it away (detection.md has the figures).
 *
 * Smoothing: SMOOTH_CALLS of what was learned are spread over the neighbours, a power of .7 a bin, so that a latency that was
 * never seen is unlikely by how far it is from what was, and no bin is impossible. Every increment is lessened by
 * 16 / n nats: a law learned from n calls is wrong by about so much, and on the accusing side as often as on the other.
 */
#ifndef CONTROLPLANE_SHIFT_H
#define CONTROLPLANE_SHIFT_H

#include "cusum.h"

#define LATENCY_OCTAVE_LOWEST 10 /* 2^10 ns: about a microsecond */
#define LATENCY_OCTAVES 26
#define LATENCY_BINS (4 * LATENCY_OCTAVES)
#define SMOOTH_CALLS 32.0
#define SMOOTH_DECAY .7
#define DOUBT_NATS 16.0 /* over the learned calls, off each increment */
#define YOUNG_CALLS 16384.0 /* with fewer than these the limit is higher by 2 ln(YOUNG_CALLS / n) */
#define LATENCY_CALLS_MIN 512.0 /* nothing is slow before so many */
#define STEP_MAX_MNAT 8000
#define STEP_MIN_MNAT (-30000)

static const double shift_factors[BANK_SUMS] = {1.5, 2, 5};
static double latency_edges[LATENCY_BINS + 1]; /* natural logarithms */

static void shift_begin(void) {
    for (int b = 0; b <= LATENCY_BINS; b++)
        latency_edges[b] = log(ldexp(1 + b % 4 / 4.0, LATENCY_OCTAVE_LOWEST + b / 4));
}

ALWAYS_INLINE int64_t latency_bin(int64_t ns) {
    int64_t octave, bin;
    if (ns < (int64_t)1 << LATENCY_OCTAVE_LOWEST) return 0;
    octave = 63 - __builtin_clzll((uint64_t)ns);
    bin = (octave - LATENCY_OCTAVE_LOWEST) * 4 + (ns >> (octave - 2) & 3);
    return bin < LATENCY_BINS ? bin : LATENCY_BINS - 1;
}

/* P0 from the learned counts, of sum `calls` > 0. */
static void shift_law(const double *counts, double calls, double *law) {
    double ahead[LATENCY_BINS], back = 0, forth = 0;
    for (int b = LATENCY_BINS - 1; b >= 0; b--) ahead[b] = back = counts[b] + SMOOTH_DECAY * back;
    for (int b = 0; b < LATENCY_BINS; b++) {
        double near;
        forth = counts[b] + SMOOTH_DECAY * forth;
        near = (forth + ahead[b] - counts[b]) * (1 - SMOOTH_DECAY) / (1 + SMOOTH_DECAY) / calls;
        law[b] = (counts[b] + SMOOTH_CALLS * near) / (calls + SMOOTH_CALLS);
    }
}

/* P1: `law` moved right by a factor whose logarithm is `by`. What is moved beyond the last bin is in the last. */
static void shift_moved(const double *law, double by, double *moved) {
    int from = 0;
    for (int b = 0; b < LATENCY_BINS; b++) {
        double low = latency_edges[b] - by, high = b + 1 < LATENCY_BINS ? latency_edges[b + 1] - by : 1e9;
        moved[b] = 0;
        while (from < LATENCY_BINS && latency_edges[from + 1] <= low) from++;
        for (int k = from; k < LATENCY_BINS && latency_edges[k] < high; k++) {
            double left = latency_edges[k] > low ? latency_edges[k] : low;
            double right = latency_edges[k + 1] < high ? latency_edges[k + 1] : high;
            moved[b] += law[k] * (right - left) / (latency_edges[k + 1] - latency_edges[k]);
        }
    }
}

/* The steps of all bins and the limits, from what was learned of `calls` healthy answers. */
static void shift_steps(const double *counts, double calls, double budget_nats, int64_t *steps, int64_t *limits) {
    double law[LATENCY_BINS], moved[BANK_SUMS][LATENCY_BINS];
    int64_t limit = (int64_t)ceil(1000 * (budget_nats + (calls < YOUNG_CALLS ? 2 * log(YOUNG_CALLS / calls) : 0)));
    if (limit > SUM_MAX) limit = SUM_MAX;
    shift_law(counts, calls, law);
    for (int j = 0; j < BANK_SUMS; j++) shift_moved(law, log(shift_factors[j]), moved[j]);
    for (int b = 0; b < LATENCY_BINS; b++) {
        int64_t step[BANK_SUMS];
        for (int j = 0; j < BANK_SUMS; j++) {
            double mnat = moved[j][b] > 0 && law[b] > 0 ? floor(1000 * (log(moved[j][b] / law[b]) - DOUBT_NATS / calls)) : STEP_MIN_MNAT;
            step[j] = mnat > STEP_MAX_MNAT ? STEP_MAX_MNAT : mnat < STEP_MIN_MNAT ? STEP_MIN_MNAT : (int64_t)mnat;
        }
        word_store(&steps[b], bank_pack(step[0], step[1], step[2]));
    }
    word_store(limits, bank_pack(limit, limit, limit));
}

#endif
