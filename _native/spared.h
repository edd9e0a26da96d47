/* What half of a window failing means while an endpoint serves well: the endpoints that fail are the cause, and the edge
 * as a whole is not. Who serves well goes on serving; ejection and retries elsewhere are for the others. An open breaker
 * would refuse the calls of the healthy ones with those of the dead: with two of five replicas left, all of them.
 */
#ifndef CONTROLPLANE_SPARED_H
#define CONTROLPLANE_SPARED_H

#include "evidence.h"
#include "retry.h"
#include "state.h"

/* True when at least one endpoint takes calls and answers them: it has, next to nothing is held against it, and it was not
 * condemned and kept a moment ago (then it begins anew without evidence, and that does not make it clean). */
static int spared(const struct edge *g, const struct standing *st, int64_t now_ns) {
    for (int64_t k = 0; g->endpoints > 1 && k < g->endpoints; k++) {
        const struct place *at = state_place(st, k);
        const struct endpoint *e = state_endpoint(g, k);
        int64_t capped_ns = at->capped_ns < 0 ? -at->capped_ns : at->capped_ns;
        struct evidence seen;
        if (at->state != HEALTHY || !at->weight || word_load(&e->calls) <= word_load(&e->failures)) continue;
        if (capped_ns && now_ns - capped_ns < RETRY_SUSPENDED_NS) continue;
        seen = evidence_read(e, at->clears);
        if (!seen.consecutive && evidence_clean(&seen, &st->policy)) return 1;
    }
    return 0;
}

/* Endpoint `i` was condemned a moment ago and had to stay, by a cap or a floor, while another one serves well. */
static int spared_from(const struct edge *g, const struct standing *st, int64_t i, int64_t now_ns) {
    const struct place *at = state_place(st, i);
    if (at->state != HEALTHY || at->capped_ns <= 0 || now_ns - at->capped_ns >= RETRY_SUSPENDED_NS) return 0;
    return spared(g, st, now_ns);
}

#endif
