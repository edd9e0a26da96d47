/* What a detector holds of one edge or endpoint: two banks, and what is normal there, learned from its own healthy calls.
 *
 * Learning goes by windows of WINDOW_CALLS results. A window ends when it is full and nothing is suspected: all sums are
 * below a third of their limits. If a sum came to two thirds at any time in it, or it does not end in four times its
 * length, it is thrown away, and so is one in which there was a verdict: what an incident brings is not learned. An
 * accepted window weighs 1/64 of what is known, once 64 windows are, and of its failures no more are believed than 2 and twice the
 * expected: detection.md says how slowly something must creep to be taken for normal.
 *
 * Any number of threads and processes may observe at once: banks are moved by compare-and-swap, counts by addition, and the steps
 * of a bin are one word, so that a result is weighed by the old or the new ones. Who finds a window full takes it.
 */
#ifndef CONTROLPLANE_ROW_H
#define CONTROLPLANE_ROW_H

#include "shift.h"

#define WINDOW_CALLS 256
#define MEMORY_WINDOWS_LOG2 6
#define CALL_SCALE 256 /* learned counts are in 256ths of a call, so that forgetting does not round away what is rare */
#define PENDING_BITS 20
#define PENDING_MASK (((int64_t)1 << PENDING_BITS) - 1)
#define REFRESH_WINDOWS 4 /* when much is known, the steps follow every fourth window: 5 us in 1,024 calls */
#define PRIOR_CALLS 256.0 /* before anything is learned, 1 % of calls fail */
#define PRIOR_SHARE .01
#define BELIEVED_FAILURES 2

struct row {
    int64_t failing, late;                  /* banks */
    int64_t failed, passed, failing_limits; /* steps and limits of the first */
    int64_t late_limits, window, suspect;   /* window: failures:32 | calls:32 */
    int64_t calls, failures, answers;       /* learned, in 256ths */
    int64_t rung, windows, rejected, spare[2];
    int64_t bins[LATENCY_BINS];  /* learned:44 | of this window:20 */
    int64_t steps[LATENCY_BINS]; /* of the second bank; 0: nothing is slow yet */
};

enum { FAILING = 1, LATE = 4 }; /* verdicts: + which sum, 0 to 2 */

static void row_refresh(struct row *r, double budget_nats) {
    double calls = word_load(&r->calls) / (double)CALL_SCALE, failures = word_load(&r->failures) / (double)CALL_SCALE;
    double counts[LATENCY_BINS], answers = 0;
    int64_t failed, passed, limits, rung = rung_of((failures + PRIOR_SHARE * PRIOR_CALLS) / (calls + PRIOR_CALLS));
    bank_failing(rung, budget_nats, &failed, &passed, &limits);
    word_store(&r->failed, failed);
    word_store(&r->passed, passed);
    word_store(&r->failing_limits, limits);
    word_store(&r->rung, rung);
    for (int b = 0; b < LATENCY_BINS; b++) {
        counts[b] = (word_load(&r->bins[b]) >> PENDING_BITS) / (double)CALL_SCALE;
        answers += counts[b];
    }
    if (answers >= LATENCY_CALLS_MIN) shift_steps(counts, answers, budget_nats, r->steps, &r->late_limits);
}

static void row_begin(struct row *r, double budget_nats) {
    int64_t most = bank_pack(SUM_MAX, SUM_MAX, SUM_MAX);
    word_store(&r->late_limits, most);
    row_refresh(r, budget_nats);
}

/* What is in the window is learned, or not. */
static void row_bins_close(struct row *r, int accepted, int full) {
    for (int b = 0; b < LATENCY_BINS; b++) {
        int64_t is = word_load(&r->bins[b]), learned;
        if (!is || (!accepted && !(is & PENDING_MASK))) continue;
        do {
            learned = is >> PENDING_BITS;
            if (accepted) {
                if (full) learned -= learned >> MEMORY_WINDOWS_LOG2;
                learned += (is & PENDING_MASK) * CALL_SCALE;
            }
        } while (!word_swap(1, &r->bins[b], &is, learned << PENDING_BITS));
    }
}

static void row_learn(struct row *r, int64_t calls, int64_t failures, double budget_nats) {
    int64_t known = word_load(&r->calls), failed = word_load(&r->failures);
    int64_t full = known >= (int64_t)WINDOW_CALLS * CALL_SCALE << MEMORY_WINDOWS_LOG2;
    int64_t believed = (int64_t)(CALL_SCALE * (BELIEVED_FAILURES + 2 * rung_share(word_load(&r->rung)) * (double)calls));
    if (failures * CALL_SCALE < believed) believed = failures * CALL_SCALE;
    if (full) {
        known -= known >> MEMORY_WINDOWS_LOG2;
        failed -= failed >> MEMORY_WINDOWS_LOG2;
    }
    word_store(&r->calls, known + calls * CALL_SCALE);
    word_store(&r->failures, failed + believed);
    row_bins_close(r, 1, (int)full);
    if (!full || !(word_add(1, &r->windows, 1) % REFRESH_WINDOWS)) row_refresh(r, budget_nats);
}

/* The window is full: it ends, or waits until what is suspected has come to nothing. */
static __attribute__((noinline)) void row_close(struct row *r, double budget_nats) {
    int64_t window = word_load(&r->window), calls = window & 0xFFFFFFFF;
    int suspect = word_load(&r->suspect) || calls >= 4 * WINDOW_CALLS;
    if (calls < WINDOW_CALLS) return;
    if (!suspect
        && (bank_reached(word_load(&r->failing), word_load(&r->failing_limits), 2)
            || bank_reached(word_load(&r->late), word_load(&r->late_limits), 2)))
        return;
    if (!word_swap(1, &r->window, &window, 0)) return; /* another one has it, or is about to */
    word_store(&r->suspect, 0);
    if (!suspect) {
        row_learn(r, calls, window >> 32, budget_nats);
    } else {
        word_add(1, &r->rejected, 1);
        row_bins_close(r, 0, 0);
    }
}

/* Begin again: what is held against the row is dropped, and so is its window. What is normal stays. */
static void row_clear(struct row *r) {
    int64_t *banks[BANKS] = {&r->failing, &r->late};
    for (int k = 0; k < BANKS; k++) {
        int64_t is = word_load(banks[k]);
        while (!word_swap(1, banks[k], &is, (int64_t)(((uint64_t)is >> 48) + 1) << 48)) {}
    }
    word_store(&r->window, 0);
    word_store(&r->suspect, 0);
    row_bins_close(r, 0, 0);
}

/* Moves a bank; the verdict is told to one caller only, because it begins the bank again under another tag. */
ALWAYS_INLINE int row_weigh(int shared, struct row *r, int64_t *bank, int64_t step, const int64_t *limits_at) {
    int64_t is = word_load(bank), limits = word_load(limits_at), wanted;
    int verdict;
    do {
        wanted = bank_moved(is, step);
        if (!((wanted ^ is) & BANK_MASK)) return 0;
        verdict = bank_verdict(wanted, limits);
        if (__builtin_expect(verdict, 0)) wanted = (int64_t)((((uint64_t)is >> 48) + 1) << 48);
    } while (!word_swap(shared, bank, &is, wanted));
    if (__builtin_expect(verdict || bank_reached(wanted, limits, 4), 0) && !word_load(&r->suspect)) word_store(&r->suspect, 1);
    return verdict;
}

/* How one call ended; latency below zero: nobody knows it. Of a call that failed it is not asked. */
ALWAYS_INLINE int row_observe(int shared, struct row *r, int failed, int64_t latency_ns, double budget_nats) {
    int verdict = 0, late = 0;
    if (__builtin_expect(failed || (word_load(&r->failing) & BANK_MASK), 0))
        verdict = row_weigh(shared, r, &r->failing, failed ? word_load(&r->failed) : word_load(&r->passed), &r->failing_limits);
    if (__builtin_expect(!failed && latency_ns >= 0, 1)) {
        int64_t bin = latency_bin(latency_ns);
        word_add(shared, &r->bins[bin], 1);
        late = row_weigh(shared, r, &r->late, word_load(&r->steps[bin]), &r->late_limits);
    }
    if (__builtin_expect((word_add(shared, &r->window, (failed ? (int64_t)1 << 32 : 0) + 1) & 0xFFFFFFFF) + 1 >= WINDOW_CALLS, 0))
        row_close(r, budget_nats);
    if (__builtin_expect(verdict, 0)) return FAILING + verdict - 1;
    return __builtin_expect(late, 0) ? LATE + late - 1 : 0;
}

#endif
