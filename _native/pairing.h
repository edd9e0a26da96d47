/* Who called whom: client and server spans of one call, which come in any order and in different batches, as one edge.
 *
 * A client span waits for a server span whose parent it is, and the other way round, in a table that never grows: eight
 * places in which a span may wait, of which one that has met its other side gives way, else the oldest. What has waited long enough is told without the other
 * side: a client span as a call to the peer that it names (a service that sends no spans), a server span as a call by
 * nobody known. A second server span of one client span (a balancer that tried again) adds its time and no call.
 * Producers and consumers pair likewise; the time between them is no latency of anybody.
 *
 * Names and edges are numbered in tables of fixed size; what finds no place is counted and told as nothing.
 */
#ifndef CONTROLPLANE_PAIRING_H
#define CONTROLPLANE_PAIRING_H

#include <stdlib.h>

#include "siphash.h"
#include "span.h"

#define PAIR_WAYS 8
#define NAME_BYTES_MAX 128 /* as in configuration */
#define NOBODY 0           /* number of the caller without a name */
#define NO_PLACE (-1)

struct waiting { /* one line */
    uint8_t key[24]; /* trace and client span */
    int32_t service, peer;
    int64_t since_ns, latency_ns; /* latency -1: its times make no sense */
    double weight;
    uint8_t side, failed, matched, async;
};

enum { SIDE_CALLER, SIDE_CALLEE };

struct edge {
    int32_t caller, callee;
    double calls, failures, timed, client_ns, served, server_ns;
};

struct pairing {
    int64_t secret[2], names_max, edges_max, waiting_max, names, edges;
    int64_t spans, rejected, paired, alone, evicted, unnamed, without_place;
    char (*text)[NAME_BYTES_MAX];
    int32_t *length, *name_slots, *edge_slots; /* slots hold number + 1; 0: free */
    struct edge *edge;
    struct waiting *waiting;
    uint32_t *tag; /* of what waits in each place, so that looking for a span touches one line; 0: nobody waits there */
};

static int64_t pair_slots(int64_t numbers) { return 2 * numbers; } /* half full at most; numbers are a power of two */

static void pairing_free(struct pairing *p) {
    free(p->text), free(p->length), free(p->name_slots), free(p->edge_slots), free(p->edge), free(p->waiting), free(p->tag);
}

static int pairing_begin(struct pairing *p, int64_t names_max, int64_t edges_max, int64_t waiting_max) {
    p->names_max = names_max, p->edges_max = edges_max, p->waiting_max = waiting_max;
    p->text = calloc((size_t)names_max, NAME_BYTES_MAX);
    p->length = calloc((size_t)names_max, sizeof *p->length);
    p->name_slots = calloc((size_t)pair_slots(names_max), sizeof *p->name_slots);
    p->edge_slots = calloc((size_t)pair_slots(edges_max), sizeof *p->edge_slots);
    p->edge = calloc((size_t)edges_max, sizeof *p->edge);
    p->waiting = aligned_alloc(sizeof *p->waiting, (size_t)waiting_max * sizeof *p->waiting);
    p->tag = calloc((size_t)waiting_max, sizeof *p->tag);
    p->names = 1; /* NOBODY */
    return p->text && p->length && p->name_slots && p->edge_slots && p->edge && p->waiting && p->tag;
}

static int32_t name_number(struct pairing *p, struct bytes b) {
    int64_t length = bytes_length(b), mask = pair_slots(p->names_max) - 1;
    if (length < 1) return NO_PLACE;
    if (length > NAME_BYTES_MAX) {
        p->without_place++;
        return NO_PLACE;
    }
    for (int64_t at = (int64_t)siphash(p->secret, 1, b.at, length) & mask;; at = (at + 1) & mask) {
        int32_t number = p->name_slots[at] - 1;
        if (number < 0) {
            if (p->names == p->names_max) {
                p->without_place++;
                return NO_PLACE;
            }
            number = (int32_t)p->names++;
            memcpy(p->text[number], b.at, (size_t)length);
            p->length[number] = (int32_t)length;
            p->name_slots[at] = number + 1;
            return number;
        }
        if (p->length[number] == length && memcmp(p->text[number], b.at, (size_t)length) == 0) return number;
    }
}

static struct edge *edge_of(struct pairing *p, int32_t caller, int32_t callee) {
    int32_t key[2] = {caller, callee};
    int64_t mask = pair_slots(p->edges_max) - 1;
    if (caller < 0 || callee < 0 || caller == callee) return NULL; /* nobody known, or a call to itself */
    for (int64_t at = (int64_t)siphash(p->secret, 2, key, sizeof key) & mask;; at = (at + 1) & mask) {
        int32_t number = p->edge_slots[at] - 1;
        if (number < 0) {
            if (p->edges == p->edges_max) {
                p->without_place++;
                return NULL;
            }
            number = (int32_t)p->edges++;
            p->edge_slots[at] = number + 1;
            p->edge[number] = (struct edge){caller, callee, 0, 0, 0, 0, 0, 0};
        }
        if (p->edge[number].caller == caller && p->edge[number].callee == callee) return &p->edge[number];
    }
}

static void edge_call(struct edge *e, const struct waiting *w, int failed) {
    e->calls += w->weight;
    if (failed) e->failures += w->weight;
}

static void edge_client(struct edge *e, const struct waiting *w) {
    if (w->async || w->latency_ns < 0) return;
    e->timed += w->weight;
    e->client_ns += w->weight * (double)w->latency_ns;
}

static void edge_server(struct edge *e, const struct waiting *w, double weight) {
    if (w->latency_ns < 0) return;
    e->served += weight;
    e->server_ns += weight * (double)w->latency_ns;
}

/* Nobody has come for `w` in time. */
static void pairing_alone(struct pairing *p, const struct waiting *w) {
    struct edge *e;
    if (w->matched) return;
    if (w->side == SIDE_CALLER && w->peer < 0) {
        p->unnamed++;
        return;
    }
    e = w->side == SIDE_CALLER ? edge_of(p, w->service, w->peer) : edge_of(p, NOBODY, w->service);
    if (!e) return;
    p->alone++;
    edge_call(e, w, w->failed);
    if (w->side == SIDE_CALLER) edge_client(e, w);
    else edge_server(e, w, w->weight);
}

static void pairing_meet(struct pairing *p, const struct waiting *caller, const struct waiting *callee, int first) {
    struct edge *e = edge_of(p, caller->service, callee->service);
    if (!e) return;
    if (first) {
        p->paired++;
        edge_call(e, caller, caller->async ? callee->failed : caller->failed);
        edge_client(e, caller);
    }
    edge_server(e, callee, caller->weight);
}

/* Which of two gives way: one that has met its other side, else the older one. */
static int sooner(const struct waiting *one, const struct waiting *other) {
    return one->matched != other->matched ? one->matched : one->since_ns < other->since_ns;
}

/* Where `w` waits, or would: the place of its own call's other span, else one that is free, else the oldest of its set. */
static int64_t pairing_place(const struct pairing *p, const struct waiting *w, uint64_t hash, uint32_t tag, int caller) {
    int64_t first = (int64_t)hash & (p->waiting_max - 1) & ~(int64_t)(PAIR_WAYS - 1), place = -1;
    for (int64_t at = first; at < first + PAIR_WAYS; at++) {
        if (p->tag[at] == 0 && place < 0) place = at;
        if (p->tag[at] != tag) continue;
        const struct waiting *other = &p->waiting[at];
        /* a callee meets its caller only: a second one of the same call waits beside it */
        if ((caller || other->side == SIDE_CALLER) && memcmp(other->key, w->key, sizeof w->key) == 0) return at;
    }
    if (place >= 0) return place;
    place = first;
    for (int64_t at = first + 1; at < first + PAIR_WAYS; at++)
        if (sooner(&p->waiting[at], &p->waiting[place])) place = at;
    return place;
}

static void pairing_add(struct pairing *p, const struct span *s, int32_t service, int64_t now_ns) {
    struct waiting w = {.service = service, .peer = NO_PLACE, .since_ns = now_ns, .weight = s->weight};
    int caller = s->kind == SPAN_CLIENT || s->kind == SPAN_PRODUCER;
    int callee = s->kind == SPAN_SERVER || s->kind == SPAN_CONSUMER;
    if (!(caller || callee) || service < 0) return;
    w.side = caller ? SIDE_CALLER : SIDE_CALLEE;
    w.failed = (uint8_t)span_failed(s);
    w.async = s->kind == SPAN_PRODUCER || s->kind == SPAN_CONSUMER;
    w.latency_ns = s->end_ns >= s->start_ns && s->start_ns > 0 ? s->end_ns - s->start_ns : -1;
    if (caller && s->peer_rank) w.peer = name_number(p, s->peer);
    memcpy(w.key, s->trace, 16);
    memcpy(w.key + 16, caller ? s->id : s->parent, 8);
    if (callee && !s->has_parent) { /* users, or whoever sends no spans */
        pairing_alone(p, &w);
        return;
    }
    uint64_t hash = siphash(p->secret, 3, w.key, sizeof w.key);
    uint32_t tag = (uint32_t)(hash >> 32) | 1;
    int64_t at = pairing_place(p, &w, hash, tag, caller);
    struct waiting *place = &p->waiting[at];
    if (p->tag[at] == tag && memcmp(place->key, w.key, sizeof w.key) == 0) {
        if (callee && place->side == SIDE_CALLER) {
            pairing_meet(p, place, &w, !place->matched);
            place->matched = 1;
            return;
        }
        if (caller && place->side == SIDE_CALLER) return; /* once more: exporters repeat what was not acknowledged */
        if (caller) {
            pairing_meet(p, &w, place, 1);
            w.matched = 1; /* waits for another server span of the same call */
        }
    } else if (p->tag[at]) {
        if (!place->matched) p->evicted++;
        pairing_alone(p, place);
    }
    *place = w;
    p->tag[at] = tag;
}

/* Tells what has waited since before `before_ns`. */
static void pairing_sweep(struct pairing *p, int64_t before_ns) {
    for (int64_t at = 0; at < p->waiting_max; at++) {
        if (p->tag[at] == 0 || p->waiting[at].since_ns > before_ns) continue;
        pairing_alone(p, &p->waiting[at]);
        p->tag[at] = 0;
    }
}

/* Edges are told and begin again; names too, once half of their table is used up: numbers that wait go with them. */
static void pairing_told(struct pairing *p) {
    memset(p->edge_slots, 0, (size_t)pair_slots(p->edges_max) * sizeof *p->edge_slots);
    p->edges = 0;
    if (2 * p->names < p->names_max) return;
    memset(p->name_slots, 0, (size_t)pair_slots(p->names_max) * sizeof *p->name_slots);
    memset(p->tag, 0, (size_t)p->waiting_max * sizeof *p->tag);
    p->names = 1;
}

#endif
