/* A world of services in virtual time: an event heap, replicas with finite workers and bounded queues, calls that hold
 * their caller's worker while they wait. docs/concepts/simulation.md says what is modelled and what is not.
 *
 * Randomness is counted, not drawn: every number is a hash of the seed, of who asks and of what for. So the same user
 * request meets the same service times whatever a policy does elsewhere, and runs compare request by request.
 */
#ifndef CONTROLPLANE_WORLD_H
#define CONTROLPLANE_WORLD_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 8
#define NONE (-1)

enum { EV_USER, EV_ARRIVE, EV_WORKED, EV_ANSWER, EV_TIMEOUT, EV_OVERDUE, EV_FAULT, EV_WAKE, EV_PATIENCE };
enum { WELL, BY_ERROR, BY_TIMEOUT, BY_OVERLOAD, BY_RELAY, BY_REFUSAL };

struct event {
    int64_t at, number;
    int32_t kind, index, how, cause;
    int64_t generation;
};

/* Events after one same delay come in the order in which they were made: most of all. Each delay has a lane, a ring; a heap
 * has the rest. What is next is the earliest of all their heads, so the order is that of one heap with everything. */
#define LANES_MAX 8
struct lane {
    struct event *events;
    int64_t head, count, room; /* room: a power of two */
};

struct heap {
    struct event *events;
    int64_t count, room, number;
    struct lane lanes[LANES_MAX];
};

static inline int event_before(const struct event *a, const struct event *b) {
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static int heap_add(struct heap *h, const struct event *e) {
    if (h->count == h->room) {
        int64_t room = h->room ? 2 * h->room : 1024;
        struct event *grown = realloc(h->events, (size_t)room * sizeof *grown);
        if (!grown) return -1;
        h->events = grown, h->room = room;
    }
    int64_t hole = h->count++;
    while (hole > 0) {
        int64_t parent = (hole - 1) / 2;
        if (!event_before(e, &h->events[parent])) break;
        h->events[hole] = h->events[parent];
        hole = parent;
    }
    h->events[hole] = *e;
    return 0;
}

static int lane_add(struct lane *l, const struct event *e) {
    if (l->count == l->room) {
        int64_t room = l->room ? 2 * l->room : 256;
        struct event *grown = malloc((size_t)room * sizeof *grown);
        if (!grown) return -1;
        for (int64_t k = 0; k < l->count; k++) grown[k] = l->events[(l->head + k) & (l->room - 1)];
        free(l->events);
        l->events = grown, l->room = room, l->head = 0;
    }
    l->events[(l->head + l->count++) & (l->room - 1)] = *e;
    return 0;
}

/* `lane`: of the delay after which it comes; NONE, or earlier than that lane's last: the heap's. */
static int heap_push(
    struct heap *h, int32_t lane, int64_t at, int32_t kind, int32_t index, int64_t generation, int32_t how, int32_t cause
) {
    struct event e = {at, h->number++, kind, index, how, cause, generation};
    struct lane *l = &h->lanes[lane < 0 ? 0 : lane];
    if (lane < 0 || (l->count && at < l->events[(l->head + l->count - 1) & (l->room - 1)].at)) return heap_add(h, &e);
    return lane_add(l, &e);
}

/* Where the next event is: a lane, NONE: the heap, -2: nowhere. */
static inline int32_t heap_next(const struct heap *h) {
    const struct event *first = h->count ? h->events : NULL;
    int32_t where = first ? NONE : -2;
    for (int32_t k = 0; k < LANES_MAX; k++) {
        const struct lane *l = &h->lanes[k];
        if (!l->count || (first && !event_before(&l->events[l->head], first))) continue;
        first = &l->events[l->head], where = k;
    }
    return where;
}

static inline int64_t heap_next_at(const struct heap *h, int32_t where) {
    return where == NONE ? h->events[0].at : h->lanes[where].events[h->lanes[where].head].at;
}

static struct event heap_pop(struct heap *h, int32_t where) {
    if (where >= 0) {
        struct lane *l = &h->lanes[where];
        struct event next = l->events[l->head];
        l->head = (l->head + 1) & (l->room - 1);
        l->count--;
        return next;
    }
    struct event top = h->events[0], last = h->events[--h->count];
    int64_t hole = 0;
    for (;;) {
        int64_t child = 2 * hole + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && event_before(&h->events[child + 1], &h->events[child])) child++;
        if (!event_before(&h->events[child], &last)) break;
        h->events[hole] = h->events[child];
        hole = child;
    }
    if (h->count) h->events[hole] = last;
    return top;
}

static void heap_free(struct heap *h) {
    for (int32_t k = 0; k < LANES_MAX; k++) free(h->lanes[k].events);
    free(h->events);
}

/* splitmix64's finisher over a chain of words. */
static inline uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x7f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline double unit(uint64_t bits) { return ((double)(bits >> 11) + 0.5) * 0x1p-53; }

static inline double normal(uint64_t key) {
    return sqrt(-2 * log(unit(mix(key, 101)))) * cos(6.283185307179586 * unit(mix(key, 102)));
}

/* Lognormal of mean 1, with sigma in the exponent. */
static inline double lognormal(uint64_t key, double sigma) { return exp(sigma * normal(key) - sigma * sigma / 2); }

struct replica {
    int32_t service, workers, busy, queue_max, queue_head, queue_count, down, hangs, hung;
    double slow, errors;
    int64_t paused_until;
    int32_t *queue; /* requests that wait, a ring of queue_max */
};

struct service {
    int32_t first, replicas, steps, turn;
    int32_t edges[STEPS_MAX];
    double work_ns, sigma, errors, shard; /* shard: share of the users whose requests fail there, however often tried */
};

struct edge {
    int32_t caller, callee, soft, lane;
    int64_t timeout_ns;
    double low, high; /* which requests make this call: those whose own number lies between */
};

/* One request at one replica. `call` is the call that it answers, as that stood (`generation`); NONE: a user's. */
struct request {
    int32_t service, replica, step, call, user, priority, hung, next;
    int64_t generation, began, deadline; /* deadline: when whoever asked stops waiting */
    uint64_t key, root; /* root: the user's own, whatever calls and retries lie between */
};

/* One logical call, by `request`, and its attempt under way, which is awaited `until` then. */
struct call {
    int32_t edge, request, made, open, next;
    int64_t generation, until;
    uint64_t key;
};

struct user {
    int64_t began;
    int32_t ended;
};

#endif
