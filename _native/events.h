/* The event ring: rows for the control loop. The oldest row gives way to the newest, and the loss is counted. */
#ifndef CONTROLPLANE_EVENTS_H
#define CONTROLPLANE_EVENTS_H

#include <string.h>

#include "state.h"

static inline int64_t *event_row(struct edge *g, int64_t seq) {
    return state_words(g) + g->events_at + seq % EVENTS_MAX * EVENT_WORDS;
}

static void event_write(struct edge *g, int64_t kind, int64_t endpoint, int64_t t_ns, int64_t a, int64_t b, int64_t c) {
    int64_t *row = event_row(g, g->events_written);
    if (g->events_written - g->events_read == EVENTS_MAX) {
        g->events_read++;
        g->events_lost++;
    }
    row[0] = ++g->events_written;
    row[1] = kind;
    row[2] = endpoint;
    row[3] = t_ns;
    row[4] = a;
    row[5] = b;
    row[6] = c;
}

/* Moves at most `rows` of the oldest unread rows into `out`. */
static int64_t event_drain(struct edge *g, int64_t *out, int64_t rows) {
    int64_t moved = 0;
    for (; moved < rows && g->events_read < g->events_written; moved++, g->events_read++)
        memcpy(out + moved * EVENT_WORDS, event_row(g, g->events_read), EVENT_WORDS * sizeof(int64_t));
    g->events_told = g->events_written;
    return moved;
}

/* 1 once for any number of new rows: the caller rings the control loop. Rows that an admission wrote ride along. */
static inline int event_tell(struct edge *g) {
    if (__builtin_expect(g->events_told == g->events_written, 1)) return 0;
    g->events_told = g->events_written;
    return 1;
}

#endif
