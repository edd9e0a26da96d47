/* The retry budget, in thousandths of a retry: first calls earn retry_percent of one each, and time earns a small
 * floor, so that retries multiply load by at most 1 + retry_percent / 100 however deep the trouble.
 */
#ifndef CONTROLPLANE_RETRY_H
#define CONTROLPLANE_RETRY_H

#include "state.h"

#define RETRY_MILLI 1000
#define RETRY_FILL_NS (10 * SECOND_NS) /* the floor alone fills the budget in ten seconds */
#define RETRY_SUSPENDED_NS SECOND_NS   /* after ENDPOINT_CAPPED: endpoints fail together, and retries only feed it */

static inline void retry_earn(struct edge *g, int64_t milli) {
    g->retry_milli += milli;
    if (g->retry_milli > g->retry_capacity_milli) g->retry_milli = g->retry_capacity_milli;
}

/* Credits the floor for the time since the last refill, exactly: the remainder of the division is carried. */
static inline void retry_refill(struct edge *g, int64_t now_ns) {
    int64_t floor = g->policy.retry_floor_per_s, elapsed = now_ns - g->retry_at_ns, fine;
    if (elapsed <= 0) return;
    g->retry_at_ns = now_ns;
    if (elapsed > RETRY_FILL_NS) elapsed = RETRY_FILL_NS;
    fine = elapsed % 1000000 * floor + g->retry_carry;
    g->retry_carry = fine % 1000000;
    retry_earn(g, elapsed / 1000000 * floor + fine / 1000000);
}

/* Nanoseconds until the floor alone has earned one retry; 0: it never does, only first calls do. */
static inline int64_t retry_wait_ns(const struct edge *g) {
    int64_t floor = g->policy.retry_floor_per_s, missing = RETRY_MILLI - g->retry_milli;
    return floor ? (missing * 1000000 - g->retry_carry + floor - 1) / floor : 0;
}

#endif
