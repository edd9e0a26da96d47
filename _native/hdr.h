/* HdrHistogram's bucket layout: which counter a value belongs to, and which values a counter stands for.
 *
 * Values below `sub_buckets << unit` share buckets of width 2^unit; every doubling after that halves the resolution
 * and adds `half` counters, so the relative error stays below 10^-digits. Bucket for bucket the layout of
 * HdrHistogram.
 */
#ifndef CONTROLPLANE_HDR_H
#define CONTROLPLANE_HDR_H

#include <stdint.h>

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

/* The highest value that belongs to counter `index`. */
static inline int64_t hdr_high(const struct hdr *h, int64_t index) {
    int64_t bucket = (index >> h->half_log2) - 1;
    return hdr_low(h, index) + (((int64_t)1 << (h->unit + (bucket < 0 ? 0 : bucket))) - 1);
}

/* The value that `permille` / 1000 of all recorded values stay at or under, to the resolution of its bucket. */
static inline int64_t hdr_quantile(const struct hdr *h, const int64_t *counts, int64_t permille) {
    int64_t total = 0, wanted, seen = 0;
    for (int64_t i = 0; i < h->counters; i++) total += counts[i];
    if (!total) return 0;
    wanted = total / 1000 * permille + (total % 1000 * permille + 500) / 1000;
    if (wanted < 1) wanted = 1;
    for (int64_t i = 0; i < h->counters; i++) {
        seen += counts[i];
        if (seen >= wanted) return permille ? hdr_high(h, i) : hdr_low(h, i);
    }
    return 0;
}

#endif
