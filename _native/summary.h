/* What the counts of an HDR histogram say, as users of HdrHistogram expect it: each value stands for its bucket, the
 * mean and the deviation take a bucket's middle. Where nothing was recorded a figure is 0, unless it says otherwise.
 */
#ifndef CONTROLPLANE_SUMMARY_H
#define CONTROLPLANE_SUMMARY_H

#include <math.h>

#include "hdr.h"

static inline int64_t hdr_total(const struct hdr *h, const int64_t *counts) {
    return hdr_sum(counts, 0, h->counters - 1);
}

static inline int64_t hdr_minimum(const struct hdr *h, const int64_t *counts) {
    int64_t index = hdr_ranked(h, counts, 1);
    return index < 0 ? 0 : hdr_low(h, index);
}

static inline int64_t hdr_maximum(const struct hdr *h, const int64_t *counts) {
    for (int64_t i = h->counters - 1; i >= 0; i--)
        if (word_load(counts + i)) return hdr_high(h, i);
    return 0;
}

/* The value that `percent` of all values stay at or under; the rank is rounded to the nearest, as hdrh does. */
static inline int64_t hdr_percentile(const struct hdr *h, const int64_t *counts, double percent) {
    int64_t total = hdr_total(h, counts), rank = total, index;
    double wanted = percent * (double)total / 100 + 0.5;
    if (wanted < (double)total) rank = (int64_t)wanted; /* else the conversion might leave 63 bits */
    index = hdr_ranked(h, counts, rank < 1 ? 1 : rank);
    if (index < 0) return 0;
    return percent > 0 ? hdr_high(h, index) : hdr_low(h, index);
}

/* How many values lie in the buckets from that of `low` to that of `high`. */
static inline int64_t hdr_between(const struct hdr *h, const int64_t *counts, int64_t low, int64_t high) {
    int64_t first = low < 0 ? 0 : hdr_index(h, low), last = high < 0 ? -1 : hdr_index(h, high);
    return hdr_sum(counts, first, last < h->counters ? last : h->counters - 1);
}

/* How many of 100 values lie in the bucket of `value` or below it; 100 where nothing was recorded. */
static inline double hdr_percent(const struct hdr *h, const int64_t *counts, int64_t value) {
    int64_t next = value < 0 ? 0 : hdr_index(h, value) + 1, below, above;
    if (next > h->counters) next = h->counters;
    below = hdr_sum(counts, 0, next - 1);
    above = hdr_sum(counts, next, h->counters - 1);
    return below + above ? 100.0 * (double)below / (double)(below + above) : 100;
}

static inline int64_t hdr_middle(const struct hdr *h, int64_t index) {
    return hdr_low(h, index) + (((int64_t)1 << hdr_width_log2(h, index)) >> 1);
}

/* The sum of all values, modulo 2^64: the difference of two sums is right where it has 63 bits; and how many they are. */
static inline uint64_t hdr_values(const struct hdr *h, const int64_t *counts, int64_t *total) {
    uint64_t sum = 0;
    *total = 0;
    for (int64_t i = 0; i < h->counters; i++) {
        int64_t count = word_load(counts + i);
        if (!count) continue;
        *total += count;
        sum += (uint64_t)count * (uint64_t)hdr_middle(h, i);
    }
    return sum;
}

static inline double hdr_mean(const struct hdr *h, const int64_t *counts) {
    int64_t total = 0;
    __int128 sum = 0; /* exact: a count and a value have 63 bits each */
    for (int64_t i = 0; i < h->counters; i++) {
        int64_t count = word_load(counts + i);
        total += count;
        sum += (__int128)count * hdr_middle(h, i);
    }
    return total ? (double)sum / (double)total : 0;
}

static inline double hdr_deviation(const struct hdr *h, const int64_t *counts) {
    int64_t total = 0;
    double mean = hdr_mean(h, counts), squares = 0;
    for (int64_t i = 0; i < h->counters; i++) {
        int64_t count = word_load(counts + i);
        double off = (double)hdr_middle(h, i) - mean;
        if (!count) continue;
        total += count;
        squares += off * off * (double)count;
    }
    return total ? sqrt(squares / (double)total) : 0;
}

#endif
