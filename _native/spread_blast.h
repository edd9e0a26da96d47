/* The way up of a change: failure and latency. See spread.h. */
#ifndef CONTROLPLANE_SPREAD_BLAST_H
#define CONTROLPLANE_SPREAD_BLAST_H

#include "spread.h"

static struct hurt spread_hurt_one(const struct spread *s, const struct spread_node *v) {
    double keep = 1 - v->own_failure, latency = v->own_latency;
    for (int32_t e = v->out; e < v->out_end; e++) {
        const struct spread_node *callee = &s->nodes[s->edge[e].callee];
        keep *= 1 - spread_hard(&s->edge[e]) * callee->failure;
        latency += s->edge[e].calls * callee->latency;
    }
    if (latency != latency) { /* no calls to what never answers: they add nothing */
        latency = v->own_latency;
        for (int32_t e = v->out; e < v->out_end; e++)
            if (s->edge[e].calls > 0)
                latency += s->edge[e].calls * s->nodes[s->edge[e].callee].latency;
    }
    return (struct hurt){1 - keep, latency};
}

/* A service has new figures: who depends on them is due, unless it is a member of the same cycle. */
static void spread_hurt_changed(struct spread *s, int32_t service) {
    struct spread_node *v = &s->nodes[service];
    spread_enlist(s->hurt, &s->hurt_count, s->nodes, service, v->failure > 0 || v->latency > 0, 0);
    for (int32_t i = v->in; i < v->in_end; i++) {
        if (i + 8 < v->in_end)
            __builtin_prefetch(&s->nodes[s->into[i + 8].caller]);
        if (!v->in_cycle || s->nodes[s->into[i].caller].place != v->place)
            spread_due_blast(s, s->into[i].caller);
    }
}

/* The cycle that begins at `place`, from nothing up to the least solution, as hurt_cycle does. */
static void spread_hurt_cycle(struct spread *s, int32_t place) {
    int32_t end = place;
    for (; end < s->services && s->nodes[s->order[end]].place == place; end++) {
        struct spread_node *v = &s->nodes[s->order[end]];
        s->around[end].pending = v->failure;
        s->around[end].settled = v->latency;
        v->failure = v->latency = 0;
    }
    s->worked += end - place - 1;
    for (int sweep = 0, moving = 1; moving && sweep < SWEEPS_MAX + (end - place); sweep++) {
        moving = 0;
        for (int32_t i = place; i < end; i++) {
            struct spread_node *v = &s->nodes[s->order[i]];
            struct hurt fresh = spread_hurt_one(s, v);
            int grows = fresh.latency > v->latency * (1 + SETTLED);
            if (grows && sweep >= SWEEPS_MAX)
                fresh.latency = INFINITY;
            moving |= grows | (fresh.failure > v->failure + SETTLED);
            v->failure = fresh.failure;
            v->latency = fresh.latency;
        }
    }
    for (int32_t i = place; i < end; i++) {
        struct spread_node *v = &s->nodes[s->order[i]];
        if (v->failure != s->around[i].pending || v->latency != s->around[i].settled)
            spread_hurt_changed(s, s->order[i]);
    }
}

static void spread_update_blast(struct spread *s) {
    while (s->blast.length) {
        int32_t service = spread_pop(&s->blast);
        struct spread_node *v = &s->nodes[service];
        v->in_blast = 0;
        s->worked++;
        if (v->in_cycle) {
            spread_hurt_cycle(s, v->place);
            continue;
        }
        struct hurt fresh = spread_hurt_one(s, v);
        if (fresh.failure == v->failure && fresh.latency == v->latency)
            continue;
        v->failure = fresh.failure;
        v->latency = fresh.latency;
        spread_hurt_changed(s, service);
    }
}

#endif
