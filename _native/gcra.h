/* GCRA, the virtual scheduling form of ITU-T I.371: one word, the theoretical arrival time (TAT) of the next call.
 *
 * A call at t conforms when max(TAT, t) + interval - t <= burst * interval, and then TAT becomes max(TAT, t) +
 * interval. So in any closed window of length T at most burst + floor(T / interval) calls are admitted, with no
 * accounting at window borders. The time of a call is its own clock reading: the bound holds in whatever order callers
 * come to write (each adds an interval to what it finds, and none is admitted further ahead than burst intervals), and a
 * call acts later than its time by as long as its process was stopped in between.
 *
 * Three things besides taking change a word, and none of them lets more calls through:
 *
 *   return   What was taken and not used comes back only while nobody took after it: then the word is what it was, as if
 *            nothing had happened. Otherwise it is lost, an interval of capacity. To give back less, and then always, is
 *            not safe: with burst 3 and interval 10 two take at 0, the first returns, one takes at 10; the second's
 *            share of the word has lapsed by then, but cannot be told from that of the third.
 *   retune   The debt is carried over in calls: it takes as many intervals as before, and the intervals are the new ones;
 *            never more than a full burst. So who is refused stays refused unless the burst grew. The lowest bit of a word
 *            says whose terms it is in; whoever meets a word of the terms before carries it over, in the same
 *            compare-and-swap as a taking or in one of its own. New terms are published only when no word is left in the
 *            terms before the present ones, so one bit is enough.
 *   clamp    A word further ahead than a full burst was written by another clock (a file that outlived a boot), or
 *            before the burst shrank: it becomes a full burst. By a clock reading younger than the word, because another
 *            process may be ahead of ours; and it is stored even by who only asks, or the end would move on with every asking.
 */
#ifndef CONTROLPLANE_GCRA_H
#define CONTROLPLANE_GCRA_H

#include "atomic.h"
#include "clock.h"

#define GCRA_RETUNED ((int64_t)-1)

/* The terms of a limit: in force as long as `*current` is `version`. */
struct gcra {
    const int64_t *current;
    int64_t version;
    int64_t interval_ns, burst;
    int64_t from_ns; /* interval of the terms before: words that do not have `side` count in it */
    int64_t side;    /* 0 or 1 */
};

ALWAYS_INLINE int64_t gcra_word(int64_t tat_ns, int64_t side) { return (int64_t)((uint64_t)tat_ns << 1 | (uint64_t)side); }

ALWAYS_INLINE int64_t gcra_tat_ns(int64_t word) { return (int64_t)((uint64_t)word >> 1); }

ALWAYS_INLINE int gcra_current(const struct gcra *r) { return word_load(r->current) == r->version; }

/* Whether a word is in these terms, and its debt is one that they can make. */
ALWAYS_INLINE int gcra_sound(int64_t word, const struct gcra *r, int64_t now_ns) {
    return (word & 1) == r->side && gcra_tat_ns(word) - now_ns <= r->burst * r->interval_ns;
}

/* `word` carried over and clamped, by a clock reading younger than itself. */
static __attribute__((noinline)) int64_t gcra_mended(int64_t word, const struct gcra *r) {
    int64_t now_ns = clock_now_ns(), debt_ns = gcra_tat_ns(word) - now_ns, most_ns = r->burst * r->interval_ns;
    __int128 carried = debt_ns;
    if (gcra_sound(word, r, now_ns)) return word;
    if (debt_ns <= 0) return gcra_word(gcra_tat_ns(word), r->side);
    if ((word & 1) != r->side && r->from_ns > 0) /* else no terms were before: somebody else wrote it, and it is clamped */
        carried = (carried * r->interval_ns + r->from_ns - 1) / r->from_ns;
    return gcra_word(now_ns + (carried < most_ns ? (int64_t)carried : most_ns), r->side);
}

/* The same in place, for a word just loaded from `at`; left as it is when the terms are no longer in force. */
static __attribute__((noinline)) int64_t gcra_mend(int64_t *at, int64_t word, const struct gcra *r) {
    for (;;) {
        int64_t mended = gcra_mended(word, r);
        if (mended == word || !gcra_current(r)) return word;
        if (word_swap(1, at, &word, mended)) return mended;
    }
}

/* The word at `at`, sound as long as the terms are in force. */
ALWAYS_INLINE int64_t gcra_load(int64_t *at, int64_t now_ns, const struct gcra *r) {
    int64_t word = word_load(at);
    return __builtin_expect(gcra_sound(word, r, now_ns), 1) ? word : gcra_mend(at, word, r);
}

/* 0 when `count` calls at `now_ns` conform to `burst`, else after how many nanoseconds they would. Takes nothing. */
ALWAYS_INLINE int64_t gcra_wait_ns(int64_t word, int64_t now_ns, int64_t interval_ns, int64_t burst, int64_t count) {
    int64_t debt_ns = gcra_tat_ns(word) - now_ns, wait_ns = (debt_ns > 0 ? debt_ns : 0) - (burst - count) * interval_ns;
    return wait_ns > 0 ? wait_ns : 0;
}

/* Takes `count` calls, of a share of the burst: 0 and the word that it wrote; or after how many nanoseconds there would be
 * so many; or GCRA_RETUNED: begin again, with the terms that are in force. */
ALWAYS_INLINE int64_t gcra_take(
    int shared, int64_t *at, int64_t now_ns, const struct gcra *r, int64_t share, int64_t count, int64_t *wrote
) {
    int64_t word = word_load(at), wait_ns, tat_ns;
    do {
        if (__builtin_expect(!gcra_sound(word, r, now_ns), 0)) word = gcra_mend(at, word, r);
        if (shared && __builtin_expect(!gcra_current(r), 0)) return GCRA_RETUNED;
        if ((wait_ns = gcra_wait_ns(word, now_ns, r->interval_ns, share, count))) return wait_ns;
        tat_ns = gcra_tat_ns(word);
        *wrote = gcra_word((tat_ns > now_ns ? tat_ns : now_ns) + count * r->interval_ns, r->side);
    } while (!word_swap(shared, at, &word, *wrote));
    return 0;
}

/* `count` calls that were taken and not made; `wrote` is what the taking wrote. 1: they are back; 0: lost. */
ALWAYS_INLINE int gcra_return(int shared, int64_t *at, const struct gcra *r, int64_t count, int64_t wrote) {
    int64_t word = wrote;
    return word_swap(shared, at, &word, wrote - 2 * count * r->interval_ns);
}

#endif
