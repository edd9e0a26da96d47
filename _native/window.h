/* What is held against the edge: a sliding window of ten buckets (the last nine to ten tenths of window_ns), and failures
 * in a row.
 *
 * A bucket is two words, tag:20 | calls:22 | failures:22 and tag:20 | slow:22 | overload:22. The tag is the number of the
 * bucket's time, so whoever finds an older one begins the bucket anew by the same instruction that counts, and nobody
 * has to turn the window. To forget everything the standing shifts the numbers by a whole window; a result that was
 * counted before carries an old tag for ever (of 2^20 buckets: an edge that was idle for just so long may find an old one
 * among the new, and only if it fails now does that matter). A bucket with four million calls is full and stands for
 * itself.
 */
#ifndef CONTROLPLANE_WINDOW_H
#define CONTROLPLANE_WINDOW_H

#include <string.h>

#include "draft.h"

#define WINDOW_TAG_BITS 20
#define WINDOW_COUNT_BITS 22
#define WINDOW_TAG_MASK (((int64_t)1 << WINDOW_TAG_BITS) - 1)
#define WINDOW_COUNT_MASK (((int64_t)1 << WINDOW_COUNT_BITS) - 1)
#define LATER_MAX 64 /* buckets by which one process may read the clock before another and count after it */

ALWAYS_INLINE int64_t window_high(int64_t word) { return (word >> WINDOW_COUNT_BITS) & WINDOW_COUNT_MASK; }
ALWAYS_INLINE int64_t window_low(int64_t word) { return word & WINDOW_COUNT_MASK; }
/* How many buckets before number `v` the word was counted; at or above WINDOW_BUCKETS: not in this window. */
ALWAYS_INLINE int64_t window_age(int64_t word, int64_t v) { return (v - (word >> (2 * WINDOW_COUNT_BITS))) & WINDOW_TAG_MASK; }

/* The number of the bucket of `now_ns`. The division happens once a bucket. */
ALWAYS_INLINE int64_t window_number(struct seat *s, int64_t width_ns, int64_t shift, int64_t now_ns) {
    if (THREADS) return now_ns / width_ns + shift;
    if (__builtin_expect(s->epoch_width_ns != width_ns || (uint64_t)(now_ns - s->epoch_ns) >= (uint64_t)width_ns, 0)) {
        s->epoch = now_ns / width_ns;
        s->epoch_ns = s->epoch * width_ns;
        s->epoch_width_ns = width_ns;
    }
    return s->epoch + shift;
}

ALWAYS_INLINE void window_count(int shared, int64_t *word, int64_t v, int64_t high, int64_t low) {
    int64_t is = word_load(word), wanted;
    do {
        if (__builtin_expect(window_age(is, v) == 0, 1)) {
            if (window_high(is) == WINDOW_COUNT_MASK || window_low(is) == WINDOW_COUNT_MASK) return;
            wanted = is + (high << WINDOW_COUNT_BITS) + low;
        } else {
            if (is && (((is >> (2 * WINDOW_COUNT_BITS)) - v) & WINDOW_TAG_MASK) < LATER_MAX) return; /* another process is ahead */
            wanted = (int64_t)((uint64_t)(v & WINDOW_TAG_MASK) << (2 * WINDOW_COUNT_BITS)) | high << WINDOW_COUNT_BITS | low;
        }
    } while (!word_swap(shared, word, &is, wanted));
}

ALWAYS_INLINE void window_add(int shared, struct edge *g, int64_t v, int failed, int slow, int overload) {
    int64_t *bucket = g->window[(uint64_t)v % WINDOW_BUCKETS];
    window_count(shared, bucket, v, 1, failed);
    if (__builtin_expect(slow | overload, 0)) window_count(1, bucket + 1, v, slow, overload);
    if (__builtin_expect(failed | slow, 0)) word_store(&g->trouble, v + 1);
}

/* Whether anything bad may be in the window; 0 says surely not, and that is all that a success on a good day needs. */
ALWAYS_INLINE int window_troubled(const struct edge *g, const struct standing *st, int64_t v, int64_t now_ns) {
    int64_t trouble = word_load(&g->trouble);
    return (trouble && v - (trouble - 1) < WINDOW_BUCKETS) || now_ns < st->carried_until_ns;
}

static inline void window_sum_into(struct tally *sum, const struct tally *more) {
    sum->calls += more->calls;
    sum->failures += more->failures;
    sum->slow += more->slow;
    sum->overload += more->overload;
}

static struct tally window_bucket(const struct edge *g, int64_t k, int64_t v) {
    int64_t calls = word_load(&g->window[k][0]), kinds = word_load(&g->window[k][1]);
    struct tally t = {0, 0, 0, 0};
    if (window_age(calls, v) < WINDOW_BUCKETS) t.calls = window_high(calls), t.failures = window_low(calls);
    if (window_age(kinds, v) < WINDOW_BUCKETS) t.slow = window_high(kinds), t.overload = window_low(kinds);
    return t;
}

/* The window at `now_ns`, whose bucket has number `v`. */
static struct tally window_sum(const struct edge *g, const struct standing *st, int64_t v, int64_t now_ns) {
    struct tally sum = {0, 0, 0, 0};
    for (int64_t k = 0; k < WINDOW_BUCKETS; k++) {
        struct tally t = window_bucket(g, k, v);
        window_sum_into(&sum, &t);
    }
    if (now_ns < st->carried_until_ns) {
        int64_t gone = now_ns > st->carried_ns ? (now_ns - st->carried_ns) / st->window_width_ns : 0;
        for (int64_t k = 0; k + gone < WINDOW_BUCKETS; k++) window_sum_into(&sum, &st->carried[k]);
    }
    return sum;
}

static inline void window_forget(struct draft *d) {
    d->st->forgets++;
    d->st->window_shift += WINDOW_BUCKETS;
    d->st->carried_until_ns = 0;
}

/* Another width: what the window holds is carried over by age, and counts until it is too old for the new one. A bucket is
 * taken to be as old as the youngest that may be in it: rather a tenth of the old window too long than lost. */
static void window_resize(struct draft *d, int64_t now_ns, int64_t window_ns) {
    struct standing *st = d->st;
    struct tally carried[WINDOW_BUCKETS];
    int64_t width_ns = window_ns / WINDOW_BUCKETS, was_ns = st->window_width_ns;
    int64_t v = now_ns / was_ns + st->window_shift;
    memset(carried, 0, sizeof carried);
    for (int64_t k = 0; k < WINDOW_BUCKETS; k++) {
        struct tally t = window_bucket(d->g, k, v);
        int64_t age = window_age(word_load(&d->g->window[k][0]), v);
        if (!t.calls || age >= WINDOW_BUCKETS) continue; /* not in this window, or gone from it since it was read */
        int64_t age_ns = age ? (age - 1) * was_ns + now_ns % was_ns : 0;
        if (age_ns / width_ns < WINDOW_BUCKETS) window_sum_into(&carried[age_ns / width_ns], &t);
    }
    if (now_ns < st->carried_until_ns)
        for (int64_t k = 0; k < WINDOW_BUCKETS; k++) {
            int64_t age_ns = (now_ns > st->carried_ns ? now_ns - st->carried_ns : 0) + k * was_ns;
            if (age_ns / width_ns < WINDOW_BUCKETS) window_sum_into(&carried[age_ns / width_ns], &st->carried[k]);
        }
    memcpy(st->carried, carried, sizeof carried);
    st->carried_ns = now_ns;
    st->carried_until_ns = now_ns + WINDOW_BUCKETS * width_ns;
    st->window_width_ns = width_ns;
    st->window_shift = v + 2 * WINDOW_BUCKETS - now_ns / width_ns;
}

/* Failures in a row: forgets:32 | count:32, so that what was forgotten stays so. Returns how many there are now. */
ALWAYS_INLINE int64_t consecutive_count(int shared, struct edge *g, int64_t forgets, int failed) {
    int64_t is = word_load(&g->consecutive), tag = (int64_t)((uint64_t)forgets << 32), count;
    do {
        count = (is ^ tag) >> 32 ? 0 : is & 0xFFFFFFFF;
        if (!failed && !count) return 0;
        count = failed ? count + (count < 0xFFFFFFFF) : 0;
    } while (!word_swap(shared, &g->consecutive, &is, tag | count));
    return count;
}

#endif
