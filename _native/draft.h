/* A draft of the next standing: begun as a copy of the one in force, changed freely, and published whole or not at all.
 *
 * Every worker owns two standings; one of them is never in force, so there is always room for a draft, and nobody
 * has to be asked. When another process published first, `draft_commit` answers 0 and nothing has happened: begin again,
 * look again. Some process always gets ahead. What a draft has to tell (rows, signals) is told after it was published.
 */
#ifndef CONTROLPLANE_DRAFT_H
#define CONTROLPLANE_DRAFT_H

#include <sched.h>

#include "events.h"

#define DRAFT_ROWS 64 /* of one draft; lapse.h leaves what exceeds it for the next one */
#define UNTOUCHED ((int64_t)-1)

struct draft {
    struct seat *s;
    struct edge *g;
    struct standing *st;
    int64_t base, rows, locked;
    int64_t edge_signal_ns, signal_endpoint, signal_ns; /* UNTOUCHED: leave it */
    int64_t side_signal_ns[PARTS_END];                  /* likewise */
    int64_t row[DRAFT_ROWS][EVENT_WORDS - 1];
};

/* Threads of one process that run at once share one seat, and so its spare: one draft at a time. Only the process itself
 * can wait here, so this is no lock that a dead process could hold. */
static inline void draft_lock(struct draft *d, struct seat *s) {
    if (!THREADS || d->locked) return;
    while (__atomic_exchange_n(&s->drafting, 1, __ATOMIC_ACQUIRE)) sched_yield();
    d->locked = 1;
}

static inline void draft_end(struct draft *d) {
    if (THREADS && d->locked) __atomic_store_n(&d->s->drafting, 0, __ATOMIC_RELEASE);
}

/* Declares a draft that ends with the block it is in. */
#define DRAFT(d) \
    struct draft d __attribute__((cleanup(draft_end))); \
    d.locked = 0

static void draft_begin(struct draft *d, struct seat *s) {
    struct edge *g = s->g;
    d->s = s;
    draft_lock(d, s);
    d->g = g;
    d->rows = 0;
    d->edge_signal_ns = d->signal_endpoint = UNTOUCHED;
    for (int part = 0; part < PARTS_END; part++) d->side_signal_ns[part] = UNTOUCHED;
    do {
        const int64_t *from;
        int64_t *to, spare;
        d->base = word_load(&g->current);
        spare = 2 * s->worker + ((d->base & 0xFF) == 2 * s->worker);
        d->st = state_standing(g, spare);
        from = (const int64_t *)state_standing(g, d->base);
        to = (int64_t *)d->st;
        for (int64_t k = 0; k < g->standing_words; k++) {
            int64_t word = __atomic_load_n(from + k, __ATOMIC_RELAXED);
            __atomic_store_n(to + k, word, __ATOMIC_RELAXED);
        }
    } while (!state_still(1, g, d->base));
}

/* A row about evidence that last stood at zero at `began_ns`; 0: not known, or it is about no evidence. */
static void draft_row_since(
    struct draft *d, int64_t kind, int64_t endpoint, int64_t t_ns, int64_t a, int64_t b, int64_t c, int64_t began_ns
) {
    int64_t *row;
    if (d->rows == DRAFT_ROWS) return; /* out of reach for all but lapse_all, which asks for room first */
    row = d->row[d->rows++];
    row[0] = kind;
    row[1] = endpoint;
    row[2] = t_ns;
    row[3] = a;
    row[4] = b;
    row[5] = c;
    row[6] = began_ns;
}

static inline void draft_row(
    struct draft *d, int64_t kind, int64_t endpoint, int64_t t_ns, int64_t a, int64_t b, int64_t c
) {
    draft_row_since(d, kind, endpoint, t_ns, a, b, c, 0);
}

/* The signal that a refusal by the edge, or the next pick without endpoint `i`, will make effective. */
static inline void signal_set(struct edge *g, int64_t *signal, int64_t signal_ns, int of_endpoint) {
    int64_t was = word_load(signal);
    while (!word_swap(1, signal, &was, signal_ns)) {}
    if (of_endpoint) word_add(1, &g->signals, (signal_ns != 0) - (was != 0));
}

/* Takes a signal; the one process that gets it tells of its effect. 0: there is none. */
static inline int64_t signal_take(struct edge *g, int64_t *signal, int of_endpoint) {
    int64_t was = word_load(signal);
    if (!was || !word_swap(1, signal, &was, 0)) return 0;
    if (of_endpoint) word_add(1, &g->signals, -1);
    return was;
}

/* 1: published and told. 0: another process was faster, and nothing has happened. */
static int draft_commit(struct draft *d) {
    struct edge *g = d->g;
    int64_t base = d->base;
    int64_t index = d->st == state_standing(g, 2 * d->s->worker) ? 2 * d->s->worker : 2 * d->s->worker + 1;
    if (!word_swap(1, &g->current, &base, (((base >> 8) + 1) << 8) | index)) return 0;
    if (d->edge_signal_ns != UNTOUCHED) signal_set(g, &g->signal_ns, d->edge_signal_ns, 0);
    if (d->signal_endpoint != UNTOUCHED)
        signal_set(g, &state_endpoint(g, d->signal_endpoint)->signal_ns, d->signal_ns, 1);
    for (int part = 1; part < PARTS_END; part++)
        if (d->side_signal_ns[part] != UNTOUCHED) signal_set(g, &g->side_signal_ns[part], d->side_signal_ns[part], 0);
    for (int64_t k = 0; k < d->rows; k++) event_write_row(g, d->row[k]);
    return 1;
}

#endif
