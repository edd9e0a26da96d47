/* The terms of a limiter that stands alone: interval and burst, and how they are changed while others take.
 *
 * Two rows, one in force: `epoch` counts retunes, and its lowest bit says which. A retune first brings every word into
 * the present terms (gcra.h says why), fills the row that is not in force, and publishes it by adding one to the epoch.
 * Who read a row looks at the epoch again before it acts, so a row half written is never acted upon, and a process killed in
 * the middle has changed nothing that counts. One retune at a time: callers that share memory see to it.
 */
#ifndef CONTROLPLANE_TERMS_H
#define CONTROLPLANE_TERMS_H

#include "gcra.h"

#define TERMS_WORDS 8 /* one cache line; what calls change begins in the next */

struct terms {
    int64_t layout, epoch;
    struct {
        int64_t interval_ns, burst;
    } row[2];
    int64_t spare[2];
};

ALWAYS_INLINE struct gcra terms_read(const struct terms *t) {
    int64_t epoch = word_load(&t->epoch), side = epoch & 1;
    struct gcra r = {
        &t->epoch, epoch, word_load(&t->row[side].interval_ns), word_load(&t->row[side].burst),
        word_load(&t->row[1 - side].interval_ns), side
    };
    return r;
}

static inline void terms_lay_out(struct terms *t, int64_t interval_ns, int64_t burst) {
    for (int side = 0; side < 2; side++) {
        t->row[side].interval_ns = interval_ns;
        t->row[side].burst = burst;
    }
}

static inline int64_t terms_interval_ns(const struct terms *t) {
    struct gcra r;
    do r = terms_read(t);
    while (!gcra_current(&r));
    return r.interval_ns;
}

static inline int64_t terms_burst(const struct terms *t) {
    struct gcra r;
    do r = terms_read(t);
    while (!gcra_current(&r));
    return r.burst;
}

/* 0 when `count` calls conform now, else after how many nanoseconds they would. */
static inline int64_t terms_wait_ns(int shared, const struct terms *t, int64_t *at, int64_t count) {
    for (;;) {
        struct gcra r = terms_read(t);
        int64_t now_ns = clock_now_ns(), word = gcra_load(at, now_ns, &r);
        if (!shared || gcra_current(&r)) return gcra_wait_ns(word, now_ns, r.interval_ns, r.burst, count);
    }
}

/* Takes `count` calls: 0, or after how many nanoseconds there would be so many. */
ALWAYS_INLINE int64_t terms_take(int shared, const struct terms *t, int64_t *at, int64_t count) {
    int64_t now_ns = clock_now_ns(), wait_ns, wrote;
    do {
        struct gcra r = terms_read(t);
        wait_ns = gcra_take(shared, at, now_ns, &r, r.burst, count, &wrote);
    } while (shared && __builtin_expect(wait_ns == GCRA_RETUNED, 0));
    return wait_ns;
}

/* Brings a word into the present terms. */
static inline void terms_settle(const struct terms *t, int64_t *at) {
    struct gcra r = terms_read(t);
    gcra_load(at, clock_now_ns(), &r);
}

/* Puts other terms in force once all words are in the present ones. */
static inline void terms_publish(struct terms *t, int64_t interval_ns, int64_t burst) {
    int64_t epoch = word_load(&t->epoch) + 1;
    word_store(&t->row[epoch & 1].interval_ns, interval_ns);
    word_store(&t->row[epoch & 1].burst, burst);
    word_store(&t->epoch, epoch);
}

static inline void terms_retune(struct terms *t, int64_t *words, int64_t length, int64_t interval_ns, int64_t burst) {
    for (int64_t k = 0; k < length; k++) terms_settle(t, words + k);
    terms_publish(t, interval_ns, burst);
}

#endif
