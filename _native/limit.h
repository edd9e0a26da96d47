/* A limit by order adapts: it begins where the order says, and while it binds each answer lets it grow by a sixteenth of a
 * call (at most a quarter of a call for each round of answers where it is small), and each call in vain takes a call from
 * it. So it stands still where one call in seventeen is lost, however large it is: one lost call among a hundred good ones
 * costs nothing that lasts, and a service that answers nobody is at one call within a round. A round of clean answers adds
 * a sixteenth, so a service that is well again has its load back within a second or two, not one call after the other.
 * Several callers share an overloaded service that way without knowing of one another; a quarter, because a whole call
 * more at each of many callers that are at one would double the load.
 *
 * What an overloaded service can bear may be less than one call at a time from each: its queue holds work in vain, and a
 * caller that sends the next call as soon as one has timed out keeps it full. So at a limit of one, a call in vain is
 * followed by a pause as long as it took, doubled each time in a row, as TCP's retransmission timer is.
 */
#ifndef CONTROLPLANE_LIMIT_H
#define CONTROLPLANE_LIMIT_H

#include "draft.h"
#include "spared.h"

#define LIMIT_ONE ((int64_t)1000)             /* limits are kept in thousandths of a call */
#define LIMIT_GROWTH_MILLI ((int64_t)250)     /* a round, at least */
#define LIMIT_ANSWER_MILLI ((int64_t)62)      /* an answer, at least */
#define LIMIT_LOST_MILLI LIMIT_ONE            /* a call in vain */
#define LIMIT_MAX_MILLI (LIMIT_ONE * 1000000) /* far above what one host can have in flight */
#define LIMIT_PAUSE_MAX_NS SECOND_NS          /* in a second any queue worth waiting for has moved */
#define LIMIT_MASK (((int64_t)1 << 48) - 1)

static inline int64_t limit_tag(const struct standing *st) { return (int64_t)((uint64_t)st->limit_tag << 48); }

static inline int64_t limit_of(const struct standing *st, int64_t word) {
    int64_t first = st->limit < LIMIT_MAX_MILLI / LIMIT_ONE ? st->limit * LIMIT_ONE : LIMIT_MAX_MILLI;
    /* less than a call is nobody's limit: the word was never written, and the tag has come round to it; or the standing is
     * being rewritten under our eyes, by an order that ended */
    int64_t milli = (word ^ limit_tag(st)) >> 48 || (word & LIMIT_MASK) < LIMIT_ONE ? first : word & LIMIT_MASK;
    return milli < LIMIT_ONE ? LIMIT_ONE : milli;
}

/* The limit in thousandths, 0 without an order. */
static inline int64_t limit_milli(const struct edge *g, const struct standing *st) {
    return st->limit ? limit_of(st, word_load(&g->limit_milli)) : 0;
}

/* Nanoseconds until the next call may start with `flying` calls under way, 0: now, -1: when another one has ended. */
static inline int64_t limit_wait_ns(struct edge *g, const struct standing *st, int64_t now_ns, int64_t flying) {
    int64_t milli = limit_milli(g, st), ready_ns = word_load(&g->limit_ready_ns);
    if (now_ns < ready_ns) return ready_ns - now_ns;
    if ((flying + 2) * LIMIT_ONE > milli) word_store(&g->limit_bound_ns, now_ns); /* the last place, or none */
    return (flying + 1) * LIMIT_ONE > milli ? -1 : 0;
}

static inline void limit_clear(struct standing *st) { st->limit = 0; }

/* In the draft; `limit_began` follows once it is in force. */
static inline void limit_begin(struct standing *st, int64_t concurrency) {
    st->limit = concurrency;
    st->limit_tag++;
}

/* `flying`: calls under way when the order came. Half of them is where the adaptation starts, as TCP's window does after a loss:
 * from one, a service that bears nearly all of its load, and an order that was a mistake, would cost its callers seconds. */
static inline void limit_began(struct edge *g, const struct standing *st, int64_t now_ns, int64_t flying) {
    int64_t first = flying / 2 > st->limit ? flying / 2 : st->limit;
    if (first > LIMIT_MAX_MILLI / LIMIT_ONE) first = LIMIT_MAX_MILLI / LIMIT_ONE;
    word_store(&g->limit_milli, limit_tag(st) | first * LIMIT_ONE);
    word_store(&g->limit_bound_ns, 0);
    word_store(&g->limit_pause_ns, 0);
    word_store(&g->limit_ready_ns, 0);
    word_store(&g->limit_since_ns, now_ns);
}

static void limit_set(struct edge *g, const struct standing *st, int64_t (*change)(int64_t)) {
    int64_t word = word_load(&g->limit_milli);
    while (!word_swap(1, &g->limit_milli, &word, limit_tag(st) | change(limit_of(st, word)))) {}
}

/* Overdue is not in vain: an answer that comes late, and in time for who waits for it, says that the service bears this much. */
static int64_t limit_grown(int64_t milli) {
    int64_t round = LIMIT_GROWTH_MILLI * LIMIT_ONE / milli;
    milli += round > LIMIT_ANSWER_MILLI ? round : LIMIT_ANSWER_MILLI;
    return milli < LIMIT_MAX_MILLI ? milli : LIMIT_MAX_MILLI;
}

static int64_t limit_shrunk(int64_t milli) {
    return milli >= LIMIT_LOST_MILLI + LIMIT_ONE ? milli - LIMIT_LOST_MILLI : LIMIT_ONE;
}

/* A call ended, or became overdue, under the limit. Calls from before it began teach nothing about it, nor do those that
 * were under way when it fell to one: they are the queue that it fell for. */
static void limit_learn(
    struct edge *g, const struct standing *st, int64_t start_ns, int64_t now_ns, int64_t outcome
) {
    int64_t pause_ns = 2 * word_load(&g->limit_pause_ns), took_ns = now_ns - start_ns;
    if (start_ns < word_load(&g->limit_since_ns) || outcome == ERROR || outcome == STALLED) return; /* an error is an answer, not about load */
    if (outcome == SUCCESS) {
        word_store(&g->limit_pause_ns, 0);
        word_store(&g->limit_ready_ns, 0);
        /* it did not bind meanwhile: nothing is known about more */
        if (word_load(&g->limit_bound_ns) >= start_ns) limit_set(g, st, limit_grown);
        return;
    }
    /* where an endpoint serves well, those that do not are sick, and not the service overloaded: shrunk to one for their sake,
     * the limit would starve the very evidence that takes them out */
    if (spared(g, st, now_ns)) return;
    if (limit_milli(g, st) < 2 * LIMIT_ONE) {
        word_store(&g->limit_since_ns, now_ns);
        if (pause_ns < took_ns) pause_ns = took_ns;
        if (pause_ns > LIMIT_PAUSE_MAX_NS) pause_ns = LIMIT_PAUSE_MAX_NS;
        word_store(&g->limit_pause_ns, pause_ns);
        word_store(&g->limit_ready_ns, now_ns + pause_ns);
    }
    limit_set(g, st, limit_shrunk);
}

#endif
