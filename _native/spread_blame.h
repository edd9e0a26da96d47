/* The way down of a change: mass. See spread.h. Mass is kept as it is; shares of all of it are taken when somebody asks. */
#ifndef CONTROLPLANE_SPREAD_BLAME_H
#define CONTROLPLANE_SPREAD_BLAME_H

#include "blame.h"
#include "spread.h"

/* blame_divide, of a service here. */
static double spread_divide(const struct spread *s, const struct spread_node *v, double *stay) {
    double out = 0;
    for (int32_t e = v->out; e < v->out_end; e++)
        out += s->edge[e].excess > 0 ? s->edge[e].excess : 0;
    double own = v->excess - out > 0 ? v->excess - out : 0;
    own = v->local > own ? v->local : own;
    double inverse = own + out >= MASS_MIN ? 1 / (own + out) : 0;
    *stay = own * inverse;
    return inverse;
}

/* What arrives from callers, of a cycle's members from those outside only, and what users saw at the service itself. */
static double spread_arriving(const struct spread *s, const struct spread_node *v) {
    double mass = v->source > 0 ? v->source : 0;
    for (int32_t i = v->in; i < v->in_active; i++) {
        const struct spread_node *caller = &s->nodes[s->into[i].caller];
        if (caller->pace > 0 && !(v->in_cycle && caller->place == v->place))
            mass += caller->pace * s->edge[s->into[i].edge].excess;
    }
    return mass;
}

/* A service has new figures: put them down, and callees on the list where what goes out to them changed. */
static void spread_blame_changed(struct spread *s, int32_t service, double arrived, double pace, double stays, double lost) {
    struct spread_node *v = &s->nodes[service];
    int flows = pace != v->pace;
    v->arrived = arrived;
    v->stays = stays;
    v->lost = lost;
    v->pace = pace;
    spread_enlist(s->blamed, &s->blamed_count, s->nodes, service, arrived > 0 || lost > 0 || v->source > 0, 1);
    for (int32_t e = v->out; flows && e < v->out_end; e++)
        if (s->edge[e].excess > 0 && !(v->in_cycle && s->nodes[s->edge[e].callee].place == v->place))
            spread_due_blame(s, s->edge[e].callee);
}

/* A small cycle, as blame_cycle_exact does it; what is lost is put down at its first member. */
static void spread_blame_exact(struct spread *s, int32_t place, int32_t end) {
    struct cycle_system c = {.count = end - place};
    struct around *at = &s->around[place];
    for (int32_t i = 0; i < c.count; i++) {
        const struct spread_node *v = &s->nodes[s->order[place + i]];
        c.leave[i] = at[i].stay;
        c.arriving[i] = at[i].pending;
        for (int32_t e = v->out; e < v->out_end; e++) {
            const struct spread_node *callee = &s->nodes[s->edge[e].callee];
            double part = s->edge[e].excess > 0 ? s->edge[e].excess * at[i].inverse : 0;
            *(callee->place == place ? &c.pass[i][callee->at - place] : &c.leave[i]) += part;
        }
        at[i].pending = 0;
    }
    at[0].pending = cycle_solve(&c);
    for (int32_t i = 0; i < c.count; i++)
        at[i].settled = c.through[i];
}

/* A larger one, as blame_cycle does it. */
static void spread_blame_around(struct spread *s, int32_t place, int32_t end, double entered) {
    double left = entered;
    for (int sweep = 0, quiet = 0; left > SETTLED * entered && sweep < SWEEPS_MAX && quiet <= end - place; sweep++) {
        double gone = 0;
        for (int32_t i = end - 1; i >= place; i--) {
            struct around *a = &s->around[i];
            const struct spread_node *v = &s->nodes[s->order[i]];
            double mass = a->pending;
            if (mass == 0 || a->inverse == 0) /* what arrives where nothing is known stays pending, and is lost at the end */
                continue;
            a->pending = 0;
            a->settled += mass;
            gone += mass * a->stay;
            for (int32_t e = v->out; e < v->out_end; e++) {
                if (!(s->edge[e].excess > 0))
                    continue;
                const struct spread_node *callee = &s->nodes[s->edge[e].callee];
                double part = mass * a->inverse * s->edge[e].excess;
                if (callee->place == place)
                    s->around[callee->at].pending += part;
                gone += callee->place != place || s->around[callee->at].inverse == 0 ? part : 0;
            }
        }
        left = 0;
        for (int32_t i = place; i < end; i++)
            left += s->around[i].inverse == 0 ? 0 : s->around[i].pending;
        quiet = gone > 0 ? 0 : quiet + 1;
    }
}

/* The cycle that begins at `place`, from nothing. */
static void spread_blame_cycle(struct spread *s, int32_t place) {
    int32_t end = place;
    double entered = 0;
    for (; end < s->services && s->nodes[s->order[end]].place == place; end++) {
        struct around *a = &s->around[end];
        const struct spread_node *v = &s->nodes[s->order[end]];
        a->inverse = spread_divide(s, v, &a->stay);
        a->settled = 0;
        entered += a->pending = spread_arriving(s, v);
    }
    s->worked += end - place - 1;
    if (end - place <= CYCLE_EXACT_MAX)
        spread_blame_exact(s, place, end);
    else
        spread_blame_around(s, place, end, entered);
    for (int32_t i = place; i < end; i++) {
        const struct around *a = &s->around[i];
        spread_blame_changed(s, s->order[i], a->settled, a->settled * a->inverse, a->settled * a->stay, a->pending);
    }
}

static void spread_update_blame(struct spread *s) {
    while (s->blame.length) {
        int32_t service = spread_pop(&s->blame);
        struct spread_node *v = &s->nodes[service];
        v->in_blame = 0;
        s->worked++;
        if (v->in_cycle) {
            spread_blame_cycle(s, v->place);
            continue;
        }
        double arrived = spread_arriving(s, v), stay = 0, inverse = 0;
        if (arrived == 0 && v->arrived == 0)
            continue;
        if (arrived > 0)
            inverse = spread_divide(s, v, &stay);
        spread_blame_changed(s, service, arrived, arrived * inverse, arrived * stay, inverse == 0 ? arrived : 0);
    }
}

#endif
