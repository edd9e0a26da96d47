/* Orders of the control plane. Each is idempotent and expires by itself; while only observing they are ignored. */
#ifndef CONTROLPLANE_ORDERS_H
#define CONTROLPLANE_ORDERS_H

#include "lapse.h"

/* An order may not take the last healthy endpoint out: such an order is ignored. */
static int order_keeps_one(const struct edge *g, const struct standing *st, int64_t i) {
    for (int64_t k = 0; k < g->endpoints; k++)
        if (k != i && state_place(st, k)->state == HEALTHY) return 1;
    return 0;
}

static void order_eject(struct seat *s, int64_t i, int64_t now_ns, int64_t lease_ns, int64_t signal_ns) {
    DRAFT(d);
    do {
        struct place *at;
        draft_begin(&d, s);
        at = state_place(d.st, i);
        if (!d.st->policy.enforced || !order_keeps_one(d.g, d.st, i)) return;
        if (at->state != EJECTED) {
            if (at->state != PROBATION) window_forget(&d);
            endpoint_move(&d, i, EJECTED, now_ns);
            d.signal_endpoint = i;
            d.signal_ns = signal_ns;
        }
        if (now_ns + lease_ns > at->until_ns) at->until_ns = now_ns + lease_ns;
        at->ordered = 1;
        state_due(d.st, at->until_ns);
    } while (!draft_commit(&d));
}

static void order_probe(struct seat *s, int64_t i, int64_t now_ns, int64_t lease_ns) {
    DRAFT(d);
    do {
        struct place *at;
        draft_begin(&d, s);
        at = state_place(d.st, i);
        if (!d.st->policy.enforced || !order_keeps_one(d.g, d.st, i)) return;
        if (at->state != PROBATION) endpoint_move(&d, i, PROBATION, now_ns);
        at->until_ns = now_ns + lease_ns;
        at->ordered = 1;
        state_due(d.st, at->until_ns);
    } while (!draft_commit(&d));
}

static void order_weigh(struct seat *s, int64_t i, int64_t now_ns, int64_t percent, int64_t lease_ns) {
    DRAFT(d);
    do {
        struct place *at;
        draft_begin(&d, s);
        at = state_place(d.st, i);
        if (!d.st->policy.enforced) return;
        if (at->state == EJECTED && !at->ordered) return; /* a reflex has newer evidence than this order */
        if (at->state != HEALTHY) endpoint_move(&d, i, HEALTHY, now_ns);
        endpoint_weigh(d.st, at, percent);
        at->weight_until_ns = now_ns + lease_ns;
        if (percent < 100) state_due(d.st, at->weight_until_ns);
    } while (!draft_commit(&d));
}

static void order_restore(struct seat *s, int64_t i, int64_t now_ns) {
    DRAFT(d);
    do {
        struct place *at;
        draft_begin(&d, s);
        int64_t untried;
        at = state_place(d.st, i);
        untried = at->state == EJECTED;
        if (at->state != HEALTHY) endpoint_move(&d, i, HEALTHY, now_ns);
        if (untried) at->capped_ns = now_ns; /* it begins anew without evidence, and that does not make it clean */
        endpoint_weigh(d.st, at, 100);
        at->clears++;
    } while (!draft_commit(&d));
}

static void order_isolate(struct seat *s, int64_t now_ns, int64_t lease_ns, int64_t signal_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (!d.st->policy.enforced) return;
        if (d.st->state != EDGE_OPEN) {
            breaker_move(&d, EDGE_OPEN, now_ns);
            d.edge_signal_ns = signal_ns;
        }
        if (now_ns + lease_ns > d.st->until_ns) d.st->until_ns = now_ns + lease_ns;
        d.st->ordered = 1;
        state_due(d.st, d.st->until_ns);
    } while (!draft_commit(&d));
}

static void order_probe_edge(struct seat *s, int64_t now_ns, int64_t lease_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (!d.st->policy.enforced) return;
        if (d.st->state != EDGE_HALF_OPEN) breaker_move(&d, EDGE_HALF_OPEN, now_ns);
        d.st->until_ns = now_ns + lease_ns;
        d.st->ordered = 1;
        state_due(d.st, d.st->until_ns);
    } while (!draft_commit(&d));
}

static void order_weigh_edge(struct seat *s, int64_t now_ns, int64_t percent, int64_t lease_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (!d.st->policy.enforced) return;
        if (d.st->state == EDGE_OPEN && !d.st->ordered) return; /* as of an endpoint: the reflex knows more */
        if (d.st->state != EDGE_CLOSED) breaker_move(&d, EDGE_CLOSED, now_ns);
        d.st->weight = percent;
        d.st->weight_until_ns = now_ns + lease_ns;
        if (percent < 100) state_due(d.st, d.st->weight_until_ns);
    } while (!draft_commit(&d));
}

static void order_limit(struct seat *s, int64_t now_ns, int64_t concurrency, int64_t lease_ns, int64_t signal_ns) {
    DRAFT(d);
    int begins;
    do {
        draft_begin(&d, s);
        if (!d.st->policy.enforced) return;
        begins = concurrency != d.st->limit;
        /* the order answers the verdict that opened it, and adapts to what is answered; open, there would be no answers */
        if (begins && d.st->state != EDGE_CLOSED) breaker_move(&d, EDGE_CLOSED, now_ns);
        if (!d.st->limit) d.edge_signal_ns = signal_ns;
        if (begins) limit_begin(d.st, concurrency); /* a renewal keeps what was learned */
        d.st->limit_until_ns = now_ns + lease_ns;
        state_due(d.st, d.st->limit_until_ns);
    } while (!draft_commit(&d));
    if (begins) limit_began(s->g, d.st, now_ns, state_flying(s->g, EDGE));
}

static void order_side(
    struct seat *s, int64_t part, int64_t value, int64_t with, int64_t now_ns, int64_t lease_ns, int64_t signal_ns
) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (!d.st->policy.enforced) return;
        side_set(&d, part, value, with, now_ns + lease_ns, signal_ns);
    } while (!draft_commit(&d));
}

static void order_restore_side(struct seat *s, int64_t part) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (!side_is(d.st, part)) return;
        side_clear(&d, part);
    } while (!draft_commit(&d));
}

static void order_restore_edge_draft(struct draft *d, int64_t now_ns) {
    if (d->st->state != EDGE_CLOSED) breaker_move(d, EDGE_CLOSED, now_ns);
    window_forget(d);
    d->st->weight = 100;
    limit_clear(d->st);
    for (int64_t part = 1; part < PARTS_END; part++) side_clear(d, part);
    d->edge_signal_ns = 0;
}

static void order_restore_edge(struct seat *s, int64_t now_ns) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        order_restore_edge_draft(&d, now_ns);
    } while (!draft_commit(&d));
    word_store(&s->g->retry_suspended_until_ns, 0);
}

/* From enforcing to observing everything is taken back. From observing to enforcing evidence starts at zero: nothing is
 * done about what happened while nothing was to be done.
 */
static void order_enforce(struct seat *s, int64_t now_ns, int64_t on) {
    DRAFT(d);
    do {
        draft_begin(&d, s);
        if (on && d.st->policy.enforced) return;
        if (on) window_forget(&d);
        else order_restore_edge_draft(&d, now_ns);
        for (int64_t i = 0; i < d.g->endpoints; i++) {
            struct place *at = state_place(d.st, i);
            if (on) {
                at->clears++;
                continue;
            }
            if (at->state != HEALTHY) endpoint_move(&d, i, HEALTHY, now_ns);
            endpoint_weigh(d.st, at, 100);
        }
        d.st->policy.enforced = on;
    } while (!draft_commit(&d));
    if (!on) word_store(&s->g->retry_suspended_until_ns, 0);
}

#endif
