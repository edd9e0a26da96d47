/* Sequential evidence against one endpoint: CUSUM of the log-likelihood ratio (Page 1954), in thousandths of a nat.
 *
 * Failures: p0 = 1 % when healthy, p1 = 25 % when sick: ln(.25/.01) = 3.219, on a success ln(.75/.99) = -.277.
 * Slowness: p0 = 2 % when healthy, p1 = 50 % when sick: ln(.50/.02) = 3.219, when in time ln(.50/.98) = -.673.
 * The sum never falls below zero. At threshold h a healthy endpoint is rejected at most once in e^h calls, on average
 * (Lorden 1971).
 */
#ifndef CONTROLPLANE_EVIDENCE_H
#define CONTROLPLANE_EVIDENCE_H

#include <string.h>

#include "state.h"

#define FAILED_MNAT 3219
#define SUCCEEDED_MNAT 277
#define SLOW_MNAT 3219
#define IN_TIME_MNAT 673

static inline int64_t evidence_less(int64_t evidence, int64_t mnat) { return evidence > mnat ? evidence - mnat : 0; }

static inline void evidence_clear(struct endpoint *e) {
    e->consecutive = e->evidence_mnat = e->slow_evidence_mnat = e->since_stalled = 0;
    memset(&e->since, 0, sizeof e->since);
}

static inline void evidence_failed(struct endpoint *e, int64_t outcome) {
    e->consecutive++;
    e->evidence_mnat += FAILED_MNAT;
    e->since.calls++;
    e->since.failures++;
    e->since.overload += outcome != ERROR;
    e->since_stalled += outcome == STALLED;
}

/* `slow_ns` 0: slowness is not judged, its evidence stays. */
static inline void evidence_succeeded(struct endpoint *e, int slow, int64_t slow_ns) {
    e->consecutive = 0;
    e->evidence_mnat = evidence_less(e->evidence_mnat, SUCCEEDED_MNAT);
    e->since.calls++;
    if (slow) {
        e->slow_evidence_mnat += SLOW_MNAT;
        e->since.slow++;
    } else if (slow_ns) {
        e->slow_evidence_mnat = evidence_less(e->slow_evidence_mnat, IN_TIME_MNAT);
    }
    if (!e->evidence_mnat && !e->slow_evidence_mnat) evidence_clear(e);
}

/* What the evidence says: 0, or BY_CONSECUTIVE, BY_ERRORS, BY_SLOW, BY_STALLED. */
static inline int64_t evidence_verdict(const struct endpoint *e, const struct policy *policy) {
    int64_t limit = policy->endpoint_evidence_mnat;
    int consecutive = policy->endpoint_consecutive && e->consecutive >= policy->endpoint_consecutive;
    if (consecutive || (limit && e->evidence_mnat >= limit)) {
        if (e->since_stalled * 2 > e->since.failures) return BY_STALLED;
        return consecutive ? BY_CONSECUTIVE : BY_ERRORS;
    }
    return limit && e->slow_evidence_mnat >= limit ? BY_SLOW : 0;
}

/* Less than a third of what would reject it: good enough to stand in for a sick sibling. */
static inline int evidence_clean(const struct endpoint *e, const struct policy *policy) {
    int64_t limit = policy->endpoint_evidence_mnat;
    if (limit) return e->evidence_mnat * 3 < limit && e->slow_evidence_mnat * 3 < limit;
    return !policy->endpoint_consecutive || e->consecutive * 3 < policy->endpoint_consecutive;
}

#endif
