/* The words of a recorder: who it is, what was out of range, and one counter a bucket. Recording a value is one
 * addition to one word, and everything else is read from the counters: so every figure agrees with them, however many
 * processes record, and whoever is killed when.
 *
 * Counts are taken by exchanging each counter with 0, so every recorded value is in exactly one interval. Who is
 * killed while it takes has what it took so far; nobody else misses more than that.
 */
#ifndef CONTROLPLANE_RECORDER_H
#define CONTROLPLANE_RECORDER_H

#include <string.h>

#include "hdr.h"

#define RECORDER_KIND ((int64_t)0x484452 << 36) /* "HDR", above the version and the geometry in a layout word */
#define RECORDER_VERSION ((int64_t)1 << 32)     /* raise it with every change of this struct or of the buckets */

#ifdef Py_GIL_DISABLED
#define RECORDER_THREADS 1 /* threads of one process record at once */
#else
#define RECORDER_THREADS 0
#endif

struct recorder {
    int64_t layout; /* 0: fresh */
    int64_t lowest, highest, digits;
    int64_t out_of_range;
    int64_t unused[3]; /* the counters begin a cache line of their own */
    int64_t counts[];
};

static inline int64_t recorder_words(const struct hdr *h) {
    return (int64_t)(sizeof(struct recorder) / sizeof(int64_t)) + h->counters;
}

/* The layout word: kind, version, and the geometry as FNV-1a leaves it in 32 bits. */
static inline int64_t recorder_layout(int64_t lowest, int64_t highest, int64_t digits) {
    const int64_t parts[] = {lowest, highest, digits};
    uint32_t mark = 0x811C9DC5;
    for (int i = 0; i < 3; i++)
        for (int shift = 0; shift < 64; shift += 8) mark = (mark ^ ((uint64_t)parts[i] >> shift & 255)) * 0x01000193;
    return RECORDER_KIND | RECORDER_VERSION | mark;
}

/* A recorder that has seen nothing; the layout word comes last and says that the rest is there. */
static inline void recorder_lay_out(
    struct recorder *r, const struct hdr *h, int64_t lowest, int64_t highest, int64_t digits
) {
    memset(r, 0, recorder_words(h) * sizeof(int64_t));
    r->lowest = lowest;
    r->highest = highest;
    r->digits = digits;
    word_store(&r->layout, recorder_layout(lowest, highest, digits));
}

/* Count `value` `times` times; 0 where it is out of range, that is not below `limit`. */
ALWAYS_INLINE int recorder_count(
    int shared, struct recorder *r, const struct hdr *h, uint64_t limit, int64_t value, int64_t times
) {
    if (__builtin_expect((uint64_t)value < limit, 1)) { /* a negative value is a large one here */
        word_add(shared, &r->counts[hdr_index(h, value)], times);
        return 1;
    }
    word_add(shared, &r->out_of_range, times);
    return 0;
}

ALWAYS_INLINE void word_move(int shared, int64_t *from, int64_t *to) {
    int64_t moved = word_load(from);
    while (moved && !word_swap(shared, from, &moved, 0)) {}
    if (moved) word_add(shared, to, moved);
}

static inline void recorder_move(int shared, struct recorder *from, struct recorder *to, const struct hdr *h) {
    word_move(shared, &from->out_of_range, &to->out_of_range);
    for (int64_t i = 0; i < h->counters; i++) word_move(shared, &from->counts[i], &to->counts[i]);
}

static inline void recorder_add(int shared, struct recorder *to, const struct recorder *other, const struct hdr *h) {
    word_add(shared, &to->out_of_range, word_load(&other->out_of_range));
    for (int64_t i = 0; i < h->counters; i++) {
        int64_t count = word_load(&other->counts[i]);
        if (count) word_add(shared, &to->counts[i], count);
    }
}

static inline void recorder_reset(struct recorder *r, const struct hdr *h) {
    word_store(&r->out_of_range, 0);
    for (int64_t i = 0; i < h->counters; i++) word_store(&r->counts[i], 0);
}

#endif
