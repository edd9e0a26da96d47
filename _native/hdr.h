/* HdrHistogram's bucket layout: which counter a value belongs to, and which values a counter stands for.
 *
 * Values below `sub_buckets << unit` share buckets of width 2^unit; every doubling after that halves the resolution
 * and adds `half` counters, so the relative error stays below 10^-digits. Bucket for bucket the layout of
 * HdrHistogram.
 *
 * Counts may change while they are read here: others record, and others take. Each counter is read whole; figures
 * that must agree with each other are read from a snapshot.
 */
#ifndef CONTROLPLANE_HDR_H
#define CONTROLPLANE_HDR_H

#include "atomic.h"

struct hdr {
    int64_t unit;      /* log2 of the width of the finest bucket */
    int64_t half_log2; /* log2 of half */
    int64_t half;      /* counters per doubling */
    int64_t mask;      /* values within it belong to the finest bucket */
    int64_t counters;
};

/* The shape for 1 <= lowest, 2 * lowest <= highest, 1 <= digits <= 5; `counters` is 0 where 63 bits do not suffice. */
static inline struct hdr hdr_shape(int64_t lowest, int64_t highest, int64_t digits) {
    struct hdr h;
    int64_t resolution = 2, sub_buckets = 1, buckets = 1;
    uint64_t reach;
    for (int64_t d = 0; d < digits; d++) resolution *= 10;
    while (sub_buckets < resolution) sub_buckets *= 2;
    h.unit = 63 - __builtin_clzll((uint64_t)lowest);
    h.half_log2 = 62 - __builtin_clzll((uint64_t)sub_buckets);
    h.half = sub_buckets / 2;
    h.counters = 0;
    h.mask = 0;
    if (h.unit + h.half_log2 > 60) return h;
    h.mask = (sub_buckets - 1) << h.unit;
    for (reach = (uint64_t)sub_buckets << h.unit; reach <= (uint64_t)highest; reach <<= 1) buckets++;
    h.counters = (buckets + 1) * h.half;
    return h;
}

/* Index of the counter of `value` >= 0; at or above `counters` when it is out of range. */
static inline int64_t hdr_index(const struct hdr *h, int64_t value) {
    int64_t bucket = 63 - __builtin_clzll((uint64_t)(value | h->mask)) - h->unit - h->half_log2;
    return (bucket << h->half_log2) + (value >> (bucket + h->unit));
}

/* The lowest value that belongs to counter `index`. */
static inline int64_t hdr_low(const struct hdr *h, int64_t index) {
    int64_t bucket = (index >> h->half_log2) - 1;
    int64_t sub_bucket = (index & (h->half - 1)) + h->half;
    if (bucket < 0) {
        sub_bucket -= h->half;
        bucket = 0;
    }
    return sub_bucket << (bucket + h->unit);
}

/* log2 of the width of counter `index`. */
static inline int64_t hdr_width_log2(const struct hdr *h, int64_t index) {
    int64_t bucket = (index >> h->half_log2) - 1;
    return h->unit + (bucket < 0 ? 0 : bucket);
}

/* The highest value that belongs to counter `index`. */
static inline int64_t hdr_high(const struct hdr *h, int64_t index) {
    return hdr_low(h, index) + (((int64_t)1 << hdr_width_log2(h, index)) - 1);
}

/* All recorded values whose counters are `first` to `last`. */
static inline int64_t hdr_sum(const int64_t *counts, int64_t first, int64_t last) {
    int64_t sum = 0;
    for (int64_t i = first; i <= last; i++) sum += word_load(counts + i);
    return sum;
}

/* The counter of the value that is number `rank`, from 1, in ascending order; the last that is not empty where values
 * were taken away since they were counted; -1 where all are empty. */
static inline int64_t hdr_ranked(const struct hdr *h, const int64_t *counts, int64_t rank) {
    int64_t seen = 0, last = -1;
    for (int64_t i = 0; i < h->counters; i++) {
        int64_t count = word_load(counts + i);
        if (!count) continue;
        last = i;
        seen += count;
        if (seen >= rank) break;
    }
    return last;
}

/* The value that `permille` / 1000 of all recorded values stay at or under, to the resolution of its bucket. */
static inline int64_t hdr_quantile(const struct hdr *h, const int64_t *counts, int64_t permille) {
    int64_t total = hdr_sum(counts, 0, h->counters - 1), rank, index;
    rank = total / 1000 * permille + (total % 1000 * permille + 500) / 1000;
    index = hdr_ranked(h, counts, rank < 1 ? 1 : rank);
    if (index < 0) return 0;
    return permille ? hdr_high(h, index) : hdr_low(h, index);
}

#endif
