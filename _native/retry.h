/* The retry budget, in thousandths of a retry: first calls earn retry_percent of one each, and time earns a small
 * floor, so that retries multiply load by at most 1 + retry_percent / 100 however deep the trouble.
 *
 * One word: the millisecond of the last change (28 bits: three days) and the balance then (36 bits). A millisecond earns a
 * whole number of thousandths, so nothing is lost by rounding.
 */
#ifndef CONTROLPLANE_RETRY_H
#define CONTROLPLANE_RETRY_H

#include "state.h"

#define RETRY_MILLI 1000
#define RETRY_FILL_MS 10000          /* the floor alone fills the budget in ten seconds */
#define RETRY_SUSPENDED_NS SECOND_NS /* after ENDPOINT_CAPPED: endpoints fail together, and retries only feed it */
#define RETRY_BALANCE_BITS 36
#define RETRY_BALANCE_MASK (((int64_t)1 << RETRY_BALANCE_BITS) - 1)
#define RETRY_TIME_MASK (((int64_t)1 << 28) - 1)
#define MILLISECOND_NS ((int64_t)1000000)

ALWAYS_INLINE int64_t retry_capacity(const struct policy *p) {
    return RETRY_FILL_MS * (p->retry_floor_per_s > 1 ? p->retry_floor_per_s : 1);
}

/* What the word is worth now. */
static inline int64_t retry_balance(int64_t word, const struct policy *p, int64_t now_ns) {
    int64_t elapsed_ms = (now_ns / MILLISECOND_NS - (word >> RETRY_BALANCE_BITS)) & RETRY_TIME_MASK;
    int64_t balance = word & RETRY_BALANCE_MASK, most = retry_capacity(p);
    if (elapsed_ms > RETRY_TIME_MASK - RETRY_FILL_MS) elapsed_ms = 0; /* another process is ahead of us */
    if (elapsed_ms > RETRY_FILL_MS) elapsed_ms = RETRY_FILL_MS;
    balance += elapsed_ms * p->retry_floor_per_s;
    return balance < most ? balance : most;
}

static inline int64_t retry_word(int64_t balance, int64_t now_ns) {
    return (int64_t)((uint64_t)(now_ns / MILLISECOND_NS & RETRY_TIME_MASK) << RETRY_BALANCE_BITS) | balance;
}

/* A first call. While the budget is full, as on every good day, nothing is written. */
ALWAYS_INLINE void retry_earn(int shared, struct edge *g, const struct policy *p, int64_t now_ns) {
    int64_t word = word_load(&g->retry), most = retry_capacity(p), balance;
    if (__builtin_expect((word & RETRY_BALANCE_MASK) >= most || !p->retry_percent, 1)) return;
    do balance = retry_balance(word, p, now_ns) + p->retry_percent * (RETRY_MILLI / 100);
    while (!word_swap(shared, &g->retry, &word, retry_word(balance < most ? balance : most, now_ns)));
}

/* One retry: 1, or 0 when the budget has none. */
static inline int retry_take(struct edge *g, const struct policy *p, int64_t now_ns) {
    int64_t word = word_load(&g->retry), balance;
    do {
        balance = retry_balance(word, p, now_ns) - RETRY_MILLI;
        if (balance < 0) return 0;
    } while (!word_swap(1, &g->retry, &word, retry_word(balance, now_ns)));
    return 1;
}

/* One retry that was taken and not made. */
static inline void retry_return(struct edge *g, const struct policy *p, int64_t now_ns) {
    int64_t word = word_load(&g->retry), most = retry_capacity(p), balance;
    do balance = retry_balance(word, p, now_ns) + RETRY_MILLI;
    while (!word_swap(1, &g->retry, &word, retry_word(balance < most ? balance : most, now_ns)));
}

/* Nanoseconds until the floor alone has earned one retry; 0: it never does, only first calls do. */
static inline int64_t retry_wait_ns(const struct edge *g, const struct policy *p, int64_t now_ns) {
    int64_t floor = p->retry_floor_per_s, missing = RETRY_MILLI - retry_balance(word_load(&g->retry), p, now_ns);
    if (!floor) return 0;
    return missing > 0 ? (missing + floor - 1) / floor * MILLISECOND_NS - now_ns % MILLISECOND_NS : 0;
}

#endif
