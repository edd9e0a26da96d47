/* Blame and blast kept up to date: docs/concepts/blame.md and blast-radius.md, "Keeping it up to date".
 *
 * A change puts the services it is about on a list, ordered by their place in the sweep; each that comes off it is worked
 * out anew from its neighbours, and only when something about it changed are those put on the list who depend on it. So
 * nothing is added up over time, there is no rounding that could drift, and what is not reached is not looked at. A cycle
 * counts as one and is worked out from nothing, as a whole sweep would.
 *
 * Everything about a service is in two cache lines, one for each direction, everything about an edge in half of one,
 * beside those of the same caller; the edges into a service that carry excess stand before those that do not, so that a
 * service which the whole company calls is not asked about callers that are well.
 */
#ifndef CONTROLPLANE_SPREAD_H
#define CONTROLPLANE_SPREAD_H

#include <stdlib.h>

#include "flows.h"

struct spread_node {
    int32_t out, out_end;              /* edges to callees */
    int32_t in, in_end;                /* places in `into` of edges from callers */
    int32_t place;                     /* where its component begins in the sweep */
    int32_t hurt_at, blamed_at;        /* places in the lists of results, -1 when in none */
    uint8_t in_cycle, in_blast, in_blame, unused; /* a member of a cycle; on which list of work */
    double own_failure, own_latency, failure, latency;
    int32_t in_active, at;             /* where the edges into it that carry excess end; its own place in the sweep */
    double excess, local, source;      /* mass, NaN = unknown */
    double pace;                       /* of its edges' excess: what goes out per mass of it */
    double stays, lost, arrived;       /* mass that stays; mass that nothing explains; mass that came */
};
_Static_assert(sizeof(struct spread_node) == 128, "one line for each direction");

struct spread_edge {
    int32_t callee, into;       /* whom it calls; its place in `into` */
    double need, calls, excess; /* fraction, with the sign set where it is soft; calls; mass, NaN = unknown */
};

struct spread_into {
    int32_t caller, edge;
};

/* A service still to be worked out: the first of its component. The lists are heaps by `place`, the least on top. */
struct spread_due {
    int32_t place, service;
};

struct spread_list {
    struct spread_due *due;
    int64_t length;
};

struct spread {
    int64_t services, edges, worked;
    struct spread_node *nodes;
    struct spread_edge *edge;
    struct spread_into *into;
    int32_t *order;             /* services by place */
    int32_t *hurt, *blamed;     /* services with a result */
    int64_t hurt_count, blamed_count;
    struct spread_list blast, blame;
    struct around *around;      /* by place: for cycles */
};

static inline double spread_hard(const struct spread_edge *e) { return e->need > 0 ? e->need : 0; }

static void spread_push(struct spread_list *l, int32_t place, int32_t service) {
    int64_t i = l->length++;
    for (int64_t up = (i - 1) / 2; i > 0 && l->due[up].place > place; i = up, up = (i - 1) / 2)
        l->due[i] = l->due[up];
    l->due[i] = (struct spread_due){place, service};
}

static int32_t spread_pop(struct spread_list *l) {
    int32_t service = l->due[0].service;
    struct spread_due last = l->due[--l->length];
    int64_t i = 0;
    for (int64_t down; (down = 2 * i + 1) < l->length; i = down) {
        if (down + 1 < l->length && l->due[down + 1].place < l->due[down].place)
            down++;
        if (l->due[down].place >= last.place)
            break;
        l->due[i] = l->due[down];
    }
    l->due[i] = last;
    return service;
}

/* Put a service's component on the list of work, unless it is there. Callees come first up, callers first down. */
static inline void spread_due_blast(struct spread *s, int32_t service) {
    struct spread_node *v = &s->nodes[service];
    if (v->in_cycle)
        v = &s->nodes[service = s->order[v->place]];
    if (v->in_blast)
        return;
    v->in_blast = 1;
    __builtin_prefetch(&s->edge[v->out]);
    __builtin_prefetch((const char *)&s->edge[v->out] + 64);
    __builtin_prefetch(&s->into[v->in]);
    spread_push(&s->blast, v->place, service);
}

static inline void spread_due_blame(struct spread *s, int32_t service) {
    struct spread_node *v = &s->nodes[service];
    if (v->in_cycle)
        v = &s->nodes[service = s->order[v->place]];
    if (v->in_blame)
        return;
    v->in_blame = 1;
    __builtin_prefetch(&s->into[v->in]);
    __builtin_prefetch(&s->edge[v->out]);
    __builtin_prefetch((const char *)v + 64);
    spread_push(&s->blame, -v->place, service);
}

/* Keep `service` in the list of results while it belongs there. */
static void spread_enlist(int32_t *list, int64_t *count, struct spread_node *nodes, int32_t service, int in, int blamed) {
    int32_t *at = blamed ? &nodes[service].blamed_at : &nodes[service].hurt_at;
    if (in && *at < 0) {
        *at = (int32_t)*count;
        list[(*count)++] = service;
    } else if (!in && *at >= 0) {
        int32_t last = list[--*count];
        list[*at] = last;
        *(blamed ? &nodes[last].blamed_at : &nodes[last].hurt_at) = *at;
        *at = -1;
    }
}

/* Move an edge to where its excess says: before `in_active` of its callee when it carries some. */
static void spread_sort_into(struct spread *s, int32_t edge) {
    struct spread_edge *e = &s->edge[edge];
    struct spread_node *v = &s->nodes[e->callee];
    int carries = e->excess > 0, is_before = e->into < v->in_active;
    if (carries == is_before)
        return;
    int32_t to = carries ? v->in_active++ : --v->in_active;
    struct spread_into other = s->into[to];
    s->into[to] = s->into[e->into];
    s->into[e->into] = other;
    s->edge[other.edge].into = e->into;
    e->into = to;
}

#endif
