/* Sequential evidence against one endpoint: CUSUM of the log-likelihood ratio (Page 1954), in thousandths of a nat.
 *
 * Failures: two sums of the bank in cusum.h, for a quarter and for a twentieth of the calls failing, against the share that is
 * normal on this edge. That share is learned (learn.py) and never below 1 %, so that a few stray failures eject nobody: an
 * ejection in vain is worse than one call more. The third sum of the bank, for a total failure, would save one call, and is left
 * out for the same reason.
 * Slowness: p0 = 2 % when healthy, p1 = 50 % when sick: ln(.50/.02) = 3.219, when in time ln(.50/.98) = -.673.
 * A sum never falls below zero. At limit h a healthy endpoint is rejected at most once in e^h calls, on average, if its
 * results are independent. They come in bursts: the sum for a twentieth remembers a failure for some thirty calls, and seven
 * time-outs of one bad moment would decide it. So its limit is twice h, and a burst is left to the other one.
 *
 * Stalls that come due within the same STALL_INSTANT_NS are one observation: what made one of them late made all of them late.
 *
 * Five words an endpoint, each with the tag of the standing it is about, so that what was cleared stays so:
 *     evidence       tag:16 | failures in a row:16 | trickle:16 | evidence:16
 *     slow_evidence  tag:16 | evidence:48
 *     since          tag:16 | calls:24 | failures:24       both: since the tests last stood at zero; they say how
 *     since_kinds    tag:16 | slow:16 | overload:16 | stalled:16     much and of what kind, and decide nothing alone
 *     began          tag:16 | microseconds:48                        when that was: where the change began, by the sums
 */
#ifndef CONTROLPLANE_EVIDENCE_H
#define CONTROLPLANE_EVIDENCE_H

#include "cusum.h"
#include "draft.h"

#define FAILURE_SHARE_LOWEST .01
#define TRICKLE_SUM 0 /* of the bank */
#define FAILURE_SUM 1
#define TRICKLE_FACTOR 2 /* of the limit: see above */
#define STALL_INSTANT_NS (20 * SECOND_NS / 1000) /* a pause of 80 ms beyond the mark is four observations: no ejection */
#define SLOW_MNAT 3219
#define IN_TIME_MNAT 673
#define BITS(n) (((int64_t)1 << (n)) - 1)
#define BEGAN_UNIT_NS 1000 /* in 48 bits they reach nine years after boot */

struct evidence { /* the words, read */
    int64_t consecutive, mnat, trickle_mnat, slow_mnat;
    int64_t calls, failures, slow, overload, stalled;
};

ALWAYS_INLINE int64_t evidence_tag(int64_t clears) { return (int64_t)((uint64_t)clears << 48); }
/* What the word holds of this standing. */
ALWAYS_INLINE int64_t evidence_of(int64_t word, int64_t tag) { return (word ^ tag) >> 48 ? 0 : word & BITS(48); }
ALWAYS_INLINE int64_t evidence_less(int64_t evidence, int64_t mnat) { return evidence > mnat ? evidence - mnat : 0; }
ALWAYS_INLINE int64_t evidence_more(int64_t is, int64_t by, int64_t most) { return is + by < most ? is + by : most; }

static struct evidence evidence_read(const struct endpoint *e, int64_t clears) {
    int64_t tag = evidence_tag(clears), a = evidence_of(word_load(&e->evidence), tag);
    int64_t since = evidence_of(word_load(&e->since), tag), kinds = evidence_of(word_load(&e->since_kinds), tag);
    return (struct evidence){
        .consecutive = a >> 32, .mnat = a & BITS(16), .trickle_mnat = a >> 16 & BITS(16),
        .slow_mnat = evidence_of(word_load(&e->slow_evidence), tag),
        .calls = since >> 24, .failures = since & BITS(24),
        .slow = kinds >> 32, .overload = kinds >> 16 & BITS(16), .stalled = kinds & BITS(16),
    };
}

ALWAYS_INLINE int64_t evidence_began(int64_t tag, int64_t now_ns) { return tag | (now_ns / BEGAN_UNIT_NS & BITS(48)); }
/* 0: not known. */
ALWAYS_INLINE int64_t evidence_began_ns(int64_t word, int64_t tag) { return evidence_of(word, tag) * BEGAN_UNIT_NS; }

static void evidence_since(
    struct endpoint *e, int64_t tag, int64_t now_ns, int failed, int slow, int overload, int stalled
) {
    int64_t is = word_load(&e->since), wanted, of;
    do {
        of = evidence_of(is, tag);
        wanted = tag | evidence_more(of >> 24, 1, BITS(24)) << 24 | evidence_more(of & BITS(24), failed, BITS(24));
    } while (!word_swap(1, &e->since, &is, wanted));
    if (!of) word_store(&e->began, evidence_began(tag, now_ns));
    if (!(slow | overload | stalled)) return;
    is = word_load(&e->since_kinds);
    do {
        of = evidence_of(is, tag);
        wanted = tag | evidence_more(of >> 32, slow, BITS(16)) << 32
            | evidence_more(of >> 16 & BITS(16), overload, BITS(16)) << 16 | evidence_more(of & BITS(16), stalled, BITS(16));
    } while (!word_swap(1, &e->since_kinds, &is, wanted));
}

/* What a failure moves the sums by where `rung` is what is normal: cusum.h. */
static void evidence_believe(struct standing *st, int64_t rung) {
    int64_t limits;
    st->failure_rung = rung;
    bank_failing(rung, 0, &st->failed_step, &st->passed_step, &limits);
}

ALWAYS_INLINE int64_t evidence_sums(int64_t of, int64_t step) {
    return bank_clamped((of >> 16 & BITS(16)) + bank_step(step, TRICKLE_SUM)) << 16
        | bank_clamped((of & BITS(16)) + bank_step(step, FAILURE_SUM));
}

static void evidence_failed(
    struct endpoint *e, const struct standing *st, int64_t clears, int64_t now_ns, int64_t outcome
) {
    int64_t tag = evidence_tag(clears), is = word_load(&e->evidence), of;
    do of = evidence_of(is, tag);
    while (!word_swap(1, &e->evidence, &is,
                      tag | evidence_more(of >> 32, 1, BITS(16)) << 32 | evidence_sums(of, st->failed_step)));
    evidence_since(e, tag, now_ns, 1, 0, outcome != ERROR, outcome == STALLED);
}

/* Whether a stall that is found now is an observation of its own. */
static int evidence_apart(struct endpoint *e, int64_t now_ns) {
    int64_t is = word_load(&e->stalled_ns);
    do if (is && now_ns - is < STALL_INSTANT_NS) return 0;
    while (!word_swap(1, &e->stalled_ns, &is, now_ns));
    return 1;
}

/* A success where something is held against the endpoint, or that is slow. `slow_ns` 0: slowness is not judged, its evidence stays. */
static void evidence_weigh(struct endpoint *e, const struct standing *st, int64_t clears, int64_t now_ns, int slow) {
    int64_t tag = evidence_tag(clears), is = word_load(&e->evidence), slow_ns = st->policy.slow_ns, mnat, slow_mnat;
    do mnat = evidence_sums(evidence_of(is, tag), st->passed_step);
    while (!word_swap(1, &e->evidence, &is, tag | mnat));
    is = word_load(&e->slow_evidence);
    do {
        slow_mnat = evidence_of(is, tag);
        if (slow) slow_mnat = evidence_more(slow_mnat, SLOW_MNAT, BITS(31));
        else if (slow_ns) slow_mnat = evidence_less(slow_mnat, IN_TIME_MNAT);
    } while (!word_swap(1, &e->slow_evidence, &is, tag | slow_mnat));
    if (mnat | slow_mnat) { /* `mnat` is both sums */
        evidence_since(e, tag, now_ns, 0, slow, 0, 0);
    } else {
        word_store(&e->since, tag);
        word_store(&e->since_kinds, tag);
    }
}

/* What the evidence says: 0, or BY_CONSECUTIVE, BY_ERRORS, BY_SLOW, BY_STALLED. */
static inline int64_t evidence_verdict(const struct endpoint *e, const struct standing *st, int64_t clears) {
    const struct policy *policy = &st->policy;
    int64_t limit = policy->endpoint_evidence_mnat, tag = evidence_tag(clears);
    int64_t a = evidence_of(word_load(&e->evidence), tag);
    int consecutive = policy->endpoint_consecutive && a >> 32 >= policy->endpoint_consecutive;
    if (consecutive
        || (limit && ((a & BITS(16)) >= limit || (a >> 16 & BITS(16)) >= TRICKLE_FACTOR * limit))) {
        struct evidence seen = evidence_read(e, clears);
        if (seen.stalled * 2 > seen.failures) return BY_STALLED;
        return consecutive ? BY_CONSECUTIVE : BY_ERRORS;
    }
    return limit && evidence_of(word_load(&e->slow_evidence), tag) >= limit ? BY_SLOW : 0;
}

/* Less than a third of what would reject it: good enough to stand in for a sick sibling. */
static inline int evidence_clean(const struct evidence *seen, const struct policy *policy) {
    int64_t limit = policy->endpoint_evidence_mnat;
    if (limit) return seen->mnat * 3 < limit && seen->slow_mnat * 3 < limit;
    return !policy->endpoint_consecutive || seen->consecutive * 3 < policy->endpoint_consecutive;
}

#endif
