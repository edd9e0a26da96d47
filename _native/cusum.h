/* A bank of CUSUMs (Page 1954) over one stream of results: three sums, one for each of three sizes of change, packed in one
 * word, so that one compare-and-swap moves all of them and what is read is never half of a move.
 *
 *     bank   tag:16 | sum:16 | sum:16 | sum:16     in thousandths of a nat, at most 65.5 nats
 *     step   16 | increment:16 | :16 | :16         signed, what one result moves each sum by
 *
 * Each sum is the log-likelihood ratio of "the change of this size has come" against "all is as learned", begun again at
 * zero. Its limit is h = ln(sums / false_alarm) less a credit: the sums share the false alarms of the dial among them
 * (union bound), and the credit is what Lorden's ARL >= e^h leaves unused because a sum jumps over its limit and does not
 * stop on it. The credits are the exact ones (Brook & Evans 1972), least over limits of 3 to 20 nats; controlplane/bench/run_length.py
 * computes them. docs/concepts/detection.md derives it all.
 */
#ifndef CONTROLPLANE_CUSUM_H
#define CONTROLPLANE_CUSUM_H

#include <math.h>
#include <stdint.h>

#include "atomic.h"

#define BANK_SUMS 3
#define BANKS 2 /* failures and latency: six sums share the false alarms of one dial */
#define BANK_MASK (((int64_t)1 << 48) - 1)
#define SUM_MAX 65535
#define RUNGS 17 /* base rates: .001 * 2^(k / 2), to .256; more than that is normal nowhere */
#define RUNG_LOWEST .001

/* Of the calls that would have succeeded, so many fail now. */
static const double bank_shares[BANK_SUMS] = {.05, .25, .8};
/* In mnat, for each base rate and share. */
static const int64_t bank_credits[RUNGS][BANK_SUMS] = {
    {2857, 1157, 157},
    {2961, 1311, 61},
    {2914, 1214, 0},
    {3711, 1368, 118},
    {3691, 1271, 21},
    {3685, 1174, 174},
    {3650, 1328, 78},
    {3746, 1231, 0},
    {3915, 1890, 135},
    {3919, 1967, 38},
    {4020, 1845, 192},
    {4161, 1936, 231},
    {4360, 1928, 303},
    {4588, 2103, 383},
    {4884, 2186, 445},
    {5308, 2309, 310},
    {5770, 2549, 584},
};

ALWAYS_INLINE int64_t bank_sum(int64_t word, int j) { return (int64_t)((uint64_t)word >> 16 * j & 0xFFFF); }
ALWAYS_INLINE int64_t bank_step(int64_t step, int j) { return (int16_t)((uint64_t)step >> 16 * j); }
ALWAYS_INLINE int64_t bank_pack(int64_t a, int64_t b, int64_t c) {
    return (int64_t)((uint64_t)(c & 0xFFFF) << 32 | (uint64_t)(b & 0xFFFF) << 16 | (uint64_t)(a & 0xFFFF));
}

ALWAYS_INLINE int64_t bank_clamped(int64_t sum) { return sum < 0 ? 0 : sum > SUM_MAX ? SUM_MAX : sum; }

/* The word after a result; the tag stays. */
ALWAYS_INLINE int64_t bank_moved(int64_t word, int64_t step) {
    return (word & ~BANK_MASK)
        | bank_pack(bank_clamped(bank_sum(word, 0) + bank_step(step, 0)), bank_clamped(bank_sum(word, 1) + bank_step(step, 1)),
                    bank_clamped(bank_sum(word, 2) + bank_step(step, 2)));
}

/* 1 + which sum has reached its limit, the greatest change first; 0: none. */
ALWAYS_INLINE int bank_verdict(int64_t word, int64_t limits) {
    for (int j = BANK_SUMS - 1; j >= 0; j--)
        if (bank_sum(word, j) >= bank_sum(limits, j)) return j + 1;
    return 0;
}

/* Whether any sum has come to `of` / 6 of its limit. */
ALWAYS_INLINE int bank_reached(int64_t word, int64_t limits, int64_t of) {
    for (int j = 0; j < BANK_SUMS; j++)
        if (bank_sum(word, j) * 6 >= bank_sum(limits, j) * of) return 1;
    return 0;
}

static inline double rung_share(int64_t rung) { return RUNG_LOWEST * exp2(rung / 2.0); }

/* The lowest base rate of the table that is not below `share`: to expect more failures than there are costs a little
 * delay, to expect fewer costs false alarms. */
static inline int64_t rung_of(double share) {
    int64_t rung = 0;
    while (rung < RUNGS - 1 && rung_share(rung) < share * (1 - 1e-9)) rung++;
    return rung;
}

/* Rounded against the accused's favour nowhere: what accuses down, what acquits up, the limit up. */
static inline void bank_failing(int64_t rung, double budget_nats, int64_t *failed, int64_t *passed, int64_t *limits) {
    int64_t up[BANK_SUMS], down[BANK_SUMS], limit[BANK_SUMS];
    double p0 = rung_share(rung);
    for (int j = 0; j < BANK_SUMS; j++) {
        double p1 = p0 + (1 - p0) * bank_shares[j];
        up[j] = (int64_t)floor(1000 * log(p1 / p0));
        down[j] = (int64_t)floor(1000 * log((1 - p1) / (1 - p0)));
        limit[j] = (int64_t)ceil(1000 * budget_nats) - bank_credits[rung][j];
        if (limit[j] < 1) limit[j] = 1;
        if (limit[j] > SUM_MAX) limit[j] = SUM_MAX;
    }
    *failed = bank_pack(up[0], up[1], up[2]);
    *passed = bank_pack(down[0], down[1], down[2]);
    *limits = bank_pack(limit[0], limit[1], limit[2]);
}

#endif
