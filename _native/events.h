/* The event ring: rows for control loops. Any process writes, each reads at its own pace from its own place; the oldest
 * row gives way to the newest, and a reader counts what it has lost.
 *
 * A row is claimed by adding to `events_written` and is there once its first word is its number. A writer that dies
 * between the two leaves a hole, which readers step over after EVENT_HOLE_NS.
 */
#ifndef CONTROLPLANE_EVENTS_H
#define CONTROLPLANE_EVENTS_H

#include "state.h"

#define EVENT_HOLE_NS (10 * SECOND_NS / 1000)

static inline int64_t *event_row(const struct edge *g, int64_t number) {
    return state_words(g) + g->events_at + number % EVENTS_MAX * EVENT_WORDS;
}

/* `row`: kind, endpoint, t_ns, a, b, c, d. */
static void event_write_row(struct edge *g, const int64_t *row) {
    int64_t number = word_add(1, &g->events_written, 1), *at = event_row(g, number);
    word_store(at, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (int k = 1; k < EVENT_WORDS; k++) __atomic_store_n(at + k, row[k - 1], __ATOMIC_RELAXED);
    word_store(at, number + 1);
}

static void event_write(struct edge *g, int64_t kind, int64_t endpoint, int64_t t_ns, int64_t a, int64_t b, int64_t c) {
    int64_t row[EVENT_WORDS - 1] = {kind, endpoint, t_ns, a, b, c, 0};
    event_write_row(g, row);
}

/* Rows overwritten before this seat read them, so far. */
static inline int64_t event_lost(const struct seat *s) {
    int64_t behind = word_load(&s->g->events_written) - s->events_read - EVENTS_MAX;
    return s->events_lost + (behind > 0 ? behind : 0);
}

/* Copies row `number` out; 1: done, 0: it is not there yet, -1: it is gone. */
static int event_read_row(const struct edge *g, int64_t number, int64_t *out) {
    const int64_t *at = event_row(g, number);
    int64_t seen = word_load(at);
    if (seen != number + 1) return seen > number + 1 ? -1 : 0;
    for (int k = 0; k < EVENT_WORDS; k++) out[k] = __atomic_load_n(at + k, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return word_load(at) == number + 1 ? 1 : -1;
}

/* Copies at most `rows` of the oldest rows that this seat has not read into `out`; returns their number. */
static int64_t event_drain(struct seat *s, int64_t now_ns, int64_t *out, int64_t rows) {
    int64_t written = word_load(&s->g->events_written), read = 0;
    s->events_lost = event_lost(s);
    if (s->events_read < written - EVENTS_MAX) s->events_read = written - EVENTS_MAX;
    while (read < rows && s->events_read < written) {
        int there = event_read_row(s->g, s->events_read, out + read * EVENT_WORDS);
        if (!there && (!s->events_stuck_ns || now_ns - s->events_stuck_ns < EVENT_HOLE_NS)) {
            if (!s->events_stuck_ns) s->events_stuck_ns = now_ns;
            break;
        }
        s->events_stuck_ns = 0;
        s->events_read++;
        if (there > 0) read++;
        else s->events_lost++;
    }
    s->events_told = written;
    return read;
}

/* 1 once for any number of new rows: the caller rings the control loop. Rows that an admission wrote ride along. */
ALWAYS_INLINE int event_tell(struct seat *s) {
    int64_t written = word_load(&s->g->events_written);
    if (__builtin_expect(s->events_told == written, 1)) return 0;
    s->events_told = written;
    return 1;
}

#endif
