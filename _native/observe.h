/* Calls that somebody else's proxy has made, by word of its log: evidence as calls made here are, told when they are over.
 *
 * No admission of ours let such a call go, so it holds no slot and takes none. What was admitted before a move is known by
 * when it began: it is no evidence about what is in force since. On probation, and where the edge is half open, it is a
 * probe if a slot is free, for as long as it takes to be judged.
 *
 * The policy's adaptive concurrency and an ordered limit learn nothing from it: they bound what is in flight here.
 */
#ifndef CONTROLPLANE_OBSERVE_H
#define CONTROLPLANE_OBSERVE_H

#include "admit.h"
#include "settle.h"

#define OBSERVED 1       /* there are new rows */
#define OBSERVED_PROBE 2 /* it was a probe */

static int observe(struct seat *s, int64_t i, int64_t outcome, int64_t latency_ns) {
    int64_t now_ns = clock_now_ns(), current;
    const struct standing *st = lapse(s, now_ns, &current);
    const struct place *at = i < 0 ? NULL : state_place(st, i);
    struct ticket t = {.endpoint = i, .start_ns = now_ns - latency_ns, .answered_ns = now_ns, .flags = FOREIGN, .era = s->era};
    int probe = 0;
    t.generation = t.start_ns < st->closed_since_ns ? st->generation - 1 : st->generation;
    if (at != NULL) t.endpoint_generation = at->generation - (t.start_ns < at->healthy_since_ns || at->state == EJECTED);
    if (!state_still(1, s->g, current)) return 0; /* it was between two standings: one result of many is lost */
    if (st->state == EDGE_HALF_OPEN && t.generation == st->generation)
        probe = probes_free(st, EDGE) && admit_probe(s, &t, now_ns, EDGE);
    else if (at != NULL && at->state == PROBATION && t.endpoint_generation == at->generation)
        probe = now_ns >= at->ready_ns && probes_free(st, i) && admit_probe(s, &t, now_ns, i);
    t.flags |= FOREIGN;
    settle_judge(1, s, &t, now_ns, outcome);
    return (event_tell(s) ? OBSERVED : 0) | (probe ? OBSERVED_PROBE : 0);
}

#endif
