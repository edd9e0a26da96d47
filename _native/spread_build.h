/* Memory for a spread, and its first filling. See spread.h. */
#ifndef CONTROLPLANE_SPREAD_BUILD_H
#define CONTROLPLANE_SPREAD_BUILD_H

#include <sys/mman.h>

#include "spread.h"

#define HUGE_PAGE ((size_t)2 << 20)

/* Zeroed memory; much of it in huge pages where the system has them, since a change jumps about in it. NULL: none left. */
static void *spread_room(size_t count, size_t size) {
    size_t bytes = (count + 1) * size, align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
    void *room = NULL;
    if (posix_memalign(&room, align, bytes))
        return NULL;
#ifdef MADV_HUGEPAGE
    if (bytes >= HUGE_PAGE)
        madvise(room, bytes, MADV_HUGEPAGE);
#endif
    return memset(room, 0, bytes);
}

static void spread_free(struct spread *s) {
    free(s->nodes);
    free(s->edge);
    free(s->into);
    free(s->order);
    free(s->hurt);
    free(s->blamed);
    free(s->blast.due);
    free(s->blame.due);
    free(s->around);
}

/* Room for the services and edges of `s`; 0: there is not enough memory. What only grows with use is left untouched. */
static int spread_allocate(struct spread *s) {
    size_t n = (size_t)s->services + 1, edges = (size_t)s->edges + 1;
    s->nodes = spread_room(n, sizeof *s->nodes);
    s->edge = spread_room(edges, sizeof *s->edge);
    s->into = spread_room(edges, sizeof *s->into);
    s->order = spread_room(n, sizeof *s->order);
    s->hurt = malloc(n * sizeof *s->hurt);
    s->blamed = malloc(n * sizeof *s->blamed);
    s->blast.due = malloc(n * sizeof *s->blast.due);
    s->blame.due = malloc(n * sizeof *s->blame.due);
    s->around = calloc(n, sizeof *s->around);
    return s->nodes && s->edge && s->into && s->order && s->hurt && s->blamed && s->blast.due && s->blame.due && s->around;
}

/* The structure of `g`; figures are as `spread_allocate` left them, but for excess of edges, which is in place already. */
static void spread_build(struct spread *s, const struct graph *g) {
    int64_t cycle = 0;
    int32_t begin = 0, until = 0, place = 0;
    for (int32_t i = 0; i < g->services; i++) {
        const struct stop *stop = &g->stops[i];
        struct spread_node *v = &s->nodes[stop->service];
        if (cycle < g->cycles && i == g->cycle[2 * cycle]) {
            begin = i;
            until = g->cycle[2 * cycle++ + 1];
        }
        s->order[i] = stop->service;
        v->in_cycle = i < until;
        v->place = v->in_cycle ? begin : i;
        v->at = i;
        v->hurt_at = v->blamed_at = -1;
        v->out = (int32_t)stop->begin;
        v->out_end = v->out + stop->degree;
        for (int32_t e = 0; e < stop->degree; e++) {
            int32_t callee = g->stops[g->callees[stop->first + e]].service;
            s->edge[v->out + e].callee = callee;
            s->nodes[callee].in_end++;
        }
    }
    for (int32_t v = 0; v < g->services; v++) {
        s->nodes[v].in = s->nodes[v].in_active = place;
        place += s->nodes[v].in_end;
        s->nodes[v].in_end = s->nodes[v].in;
    }
    for (int32_t v = 0; v < g->services; v++)
        for (int32_t e = s->nodes[v].out; e < s->nodes[v].out_end; e++) {
            struct spread_node *callee = &s->nodes[s->edge[e].callee];
            s->edge[e].into = callee->in_end;
            s->into[callee->in_end++] = (struct spread_into){v, e};
            spread_sort_into(s, e);
        }
}

#endif
