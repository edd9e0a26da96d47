/* A concurrency limit that finds by itself how many calls a service can bear at a time. The mathematics, and which
 * published limits fail where, are in docs/concepts/adaptive-concurrency.md.
 *
 * Calls are gathered in windows. A window is one word: a call adds itself by one compare-and-swap, and whoever claims
 * the window's end owns what it holds. A process that dies between the two has only made the window longer. At a high
 * rate one call in 2^sampling is counted, chosen by its start, so that a window holds 128 to 256 of them.
 *
 * At its end a window is judged: calls in vain cut the limit by their share, a queue that is longer than allowed
 * shrinks it by half of the excess, room that is left lets it grow by half of the room. The queue is what Little's law
 * makes of the mean latency and the base, the latency without a queue. The base falls with what is measured. It rises
 * only when a shrink has shown that the latency does not come from us: the limit fell, and the latency stayed.
 *
 * The owner judges on a copy of the words that only a window's end writes, and puts them back if the claim is still its
 * own. One that is suspended right there for a whole window puts back what was right then; the next end corrects it.
 */
#ifndef CONTROLPLANE_ADAPTIVE_H
#define CONTROLPLANE_ADAPTIVE_H

#include <math.h>
#include <stddef.h>

#include "atomic.h"
#include "state.h"

#define ADAPTIVE_ONE ((int64_t)1000)          /* limits are kept in thousandths of a call */
#define ADAPTIVE_LIMIT_MAX ((int64_t)1000000) /* far above what one host can have in flight */
#define ADAPTIVE_LATENCIES 4                  /* a window lasts so many: fewer would count mostly quick calls */
#define ADAPTIVE_SETTLE 2                     /* latencies after a shrink before the next window opens, likewise */
#define ADAPTIVE_SAMPLES 256                  /* a window aims at half of these to all of them */
#define ADAPTIVE_VAIN_MAX 8                   /* calls in vain that need no more company to be judged */
#define ADAPTIVE_VAIN_SHARE 0.125             /* from here on the calls in vain are the news, not the latency */
#define ADAPTIVE_STEP (5.0 / 8)               /* ln 1.6 is four times the noise of a mean of 128 answers */
#define ADAPTIVE_QUEUE_ELASTICITY 0.5         /* a check goes on while latency follows the limit at least so far */
#define ADAPTIVE_FLAT_ELASTICITY 0.25         /* so little: the latency does not come from us */
#define ADAPTIVE_RISE (4.0 / 5)               /* of such a latency is what the base then becomes */
#define ADAPTIVE_NOISE_PPM ((int64_t)125000)  /* of means of 64 answers, until it has been measured */
#define ADAPTIVE_UNIT_FIRST 13                /* 8 us: latencies up to 2 s fit before any is known */

/* The window's word, low to high: sum of latencies in units of 2^unit ns, calls in vain, answers that ended when the
 * limit was nearly used up, answers, log2 of the unit, log2 of calls per counted call. The sum holds 511 long ones.
 */
enum { SUM_BITS = 27, COUNT_BITS = 9, UNIT_BITS = 6, SAMPLING_BITS = 3 };
enum {
    VAIN_AT = SUM_BITS, TIGHT_AT = VAIN_AT + COUNT_BITS, ANSWERS_AT = TIGHT_AT + COUNT_BITS,
    UNIT_AT = ANSWERS_AT + COUNT_BITS, SAMPLING_AT = UNIT_AT + UNIT_BITS
};
#define COUNT_MAX (((int64_t)1 << COUNT_BITS) - 1)
#define LATENCY_UNITS_MAX (((int64_t)1 << (SUM_BITS - COUNT_BITS)) - 1)
#define SAMPLING_MAX (((int64_t)1 << SAMPLING_BITS) - 1)

struct adaptive_policy {
    int64_t limit_min, limit_max, limit_initial; /* whole calls */
    int64_t window_ns;                           /* a window lasts this at least */
    int64_t samples_min;                         /* and holds so many calls at least */
    int64_t slack_percent;                       /* calls that may wait: one, and this share of the limit's root */
    int64_t check_ns;                            /* a limit in use has its base checked so often, +-25 % */
};

struct adaptive {
    int64_t limit_milli, window, opened_ns, since_ns; /* what every call reads: half a cache line */
    int64_t vain_ns;              /* how long the last call in vain took */
    int64_t base_ns, latency_ns;  /* without a queue, 0: never measured; of the last window */
    int64_t judged_ns, noise_ppm; /* of the last window judged by it; how much that differs from one to the next */
    int64_t ref_milli, ref_ns;    /* limit and latency from where it has been shrinking; 0: it has not */
    int64_t checking, check_ns;   /* the limit at which a check of the base began; when the next one is due */
    int64_t grow_ns;              /* no growth before */
    int64_t windows, cuts, rises; /* judged; cut by calls in vain; times the base rose */
};
#define ADAPTIVE_WORDS (sizeof(struct adaptive) / sizeof(int64_t))
#define ADAPTIVE_COLD (offsetof(struct adaptive, base_ns) / sizeof(int64_t)) /* from here only a window's end writes */

struct adaptive_window { /* what was in the word, when it ended */
    double answers, vain, tight, latency_ns;
    int64_t end_ns;
};

static inline int64_t adaptive_clamp(const struct adaptive_policy *p, double milli) {
    double low = (double)(p->limit_min * ADAPTIVE_ONE), high = (double)(p->limit_max * ADAPTIVE_ONE);
    return (int64_t)(milli < low ? low : milli > high ? high : milli);
}

static inline void adaptive_begin(struct adaptive *a, const struct adaptive_policy *p, int64_t now_ns) {
    *a = (struct adaptive){.opened_ns = now_ns, .since_ns = now_ns};
    a->check_ns = now_ns + p->check_ns / 8; /* it may begin amid an overload */
    a->window = (int64_t)ADAPTIVE_UNIT_FIRST << UNIT_AT;
    a->noise_ppm = ADAPTIVE_NOISE_PPM;
    a->limit_milli = p->limit_initial * ADAPTIVE_ONE;
}

/* Whole calls, at least one. */
static inline int64_t adaptive_limit(const struct adaptive *a) {
    int64_t limit = word_load(&a->limit_milli) / ADAPTIVE_ONE;
    return limit > 1 ? limit : 1;
}

/* What was learned stays; the limit comes between the new bounds. */
static inline void adaptive_retune(int shared, struct adaptive *a, const struct adaptive_policy *p) {
    int64_t milli = word_load(&a->limit_milli);
    while (!word_swap(shared, &a->limit_milli, &milli, adaptive_clamp(p, (double)milli))) {}
}

/* Chance without a state: the high bits of a time, multiplied by 2^64 over the golden ratio. */
static inline int64_t adaptive_scatter(int64_t ns) { return (int64_t)((uint64_t)ns * 0x9E3779B97F4A7C15u >> 33); }

static inline int64_t adaptive_field(int64_t window, int at, int bits) {
    return window >> at & (((int64_t)1 << bits) - 1);
}

/* Calls that may wait at this limit: one, and what chance needs, which goes with the root of the load. */
static inline double adaptive_queue_max(const struct adaptive_policy *p, double limit_milli) {
    double one = (double)ADAPTIVE_ONE;
    return one * (1 + (double)p->slack_percent / 100 * sqrt(limit_milli / one));
}

/* How much of a shrink since the reference the latency has followed: 1 it was all queue, 0 none of it. */
static inline double adaptive_elasticity(const struct adaptive *a, double limit_milli, double latency_ns) {
    return log((double)a->ref_ns / latency_ns) / log((double)a->ref_milli / limit_milli);
}

/* Calls from before this moment teach nothing any more, and those that end first after it are the quick ones. */
static inline void adaptive_turn(struct adaptive *a, int64_t now_ns, double latency_ns) {
    word_store(&a->since_ns, now_ns);
    word_store(&a->opened_ns, now_ns + ADAPTIVE_SETTLE * (int64_t)latency_ns);
}

static inline void adaptive_refer(struct adaptive *a, double milli, double latency_ns) {
    a->ref_milli = (int64_t)milli;
    a->ref_ns = (int64_t)latency_ns;
}

/* Latency tells what it is without a queue at most. The least of many noisy means would be far too low: so not the mean
 * counts, but the mean and twice its noise. */
static void adaptive_measure(struct adaptive *a, double latency_ns) {
    double bound;
    if (!a->ref_milli && a->base_ns) /* while it shrinks, latency changes for a reason */
        a->noise_ppm += ((int64_t)(fmin(fabs(log(latency_ns / (double)a->judged_ns)), 1) * 1e6) - a->noise_ppm) / 8;
    a->judged_ns = (int64_t)latency_ns;
    bound = latency_ns * (1 + 2e-6 * (double)a->noise_ppm);
    if (!a->base_ns) a->base_ns = (int64_t)latency_ns;
    else if (bound < (double)a->base_ns) a->base_ns = (int64_t)(((double)a->base_ns + bound) / 2);
}

static double adaptive_check_begin(struct adaptive *a, const struct adaptive_policy *p, const struct adaptive_window *w,
                                   double milli) {
    a->checking = (int64_t)milli;
    a->check_ns = w->end_ns + p->check_ns * 3 / 4 + adaptive_scatter(w->end_ns) % (p->check_ns / 2 + 1);
    adaptive_refer(a, milli, w->latency_ns);
    return milli * ADAPTIVE_STEP;
}

/* As long as latency follows, it was queue that went, and the step has cost nothing: take another. Else this is the
 * base, or an upper bound of it. A base that was wrong was learned in a queue: it is soon checked again, and the limit
 * grows anew from where the queue began. */
static double adaptive_check(struct adaptive *a, const struct adaptive_policy *p, const struct adaptive_window *w,
                             double milli, double elasticity) {
    double base = w->latency_ns * (1 + 1e-6 * (double)a->noise_ppm);
    if (elasticity >= ADAPTIVE_QUEUE_ELASTICITY && milli > (double)(p->limit_min * ADAPTIVE_ONE)) {
        adaptive_refer(a, milli, w->latency_ns);
        return milli * ADAPTIVE_STEP;
    }
    milli = (double)a->checking;
    if (base < (double)a->base_ns) {
        if (8 * base < 7 * (double)a->base_ns) {
            milli = (double)a->ref_milli;
            a->check_ns = w->end_ns + p->check_ns / 8;
        }
        a->base_ns = (int64_t)base;
    }
    a->checking = a->ref_milli = 0;
    return milli;
}

/* The limit has shrunk, and the latency stayed: back to where it began, with the latency as the base. A fifth less of it,
 * since the queue of others looks the same; what keeps limits from pushing each other up is that the queue each allows
 * itself goes with a root. */
static double adaptive_rise(struct adaptive *a, const struct adaptive_policy *p, const struct adaptive_window *w) {
    double ref = (double)a->ref_milli, base = w->latency_ns * ADAPTIVE_RISE;
    if (base > (double)a->base_ns) {
        a->base_ns = (int64_t)base;
        a->rises++;
        a->check_ns = w->end_ns + p->check_ns / 8;
    }
    a->ref_milli = 0;
    return ref;
}

/* The limit after a window that is judged by its latency. */
static double adaptive_by_latency(struct adaptive *a, const struct adaptive_policy *p, const struct adaptive_window *w,
                                  double milli) {
    double latency_ns = w->latency_ns, expected_ns, queue, queue_max, elasticity = 1;
    adaptive_measure(a, latency_ns);
    if (4 * w->tight < w->answers) { /* it is hardly used: nothing is known about more, nor about less */
        if (a->checking) milli = (double)a->checking;
        a->checking = a->ref_milli = 0;
        return milli;
    }
    if ((double)a->ref_milli > milli) elasticity = adaptive_elasticity(a, milli, latency_ns);
    if (a->checking) return adaptive_check(a, p, w, milli, elasticity);
    if (milli <= (double)a->ref_milli * ADAPTIVE_STEP) {
        if (elasticity < ADAPTIVE_FLAT_ELASTICITY) return adaptive_rise(a, p, w);
        if (milli * 2 <= (double)a->ref_milli) a->ref_milli = 0; /* that part of it was queue */
    }
    expected_ns = (double)a->base_ns * (1 + 1e-6 * (double)a->noise_ppm);
    queue = latency_ns > expected_ns ? milli * (1 - expected_ns / latency_ns) : 0;
    queue_max = adaptive_queue_max(p, milli);
    if (queue > queue_max) {
        double cut = (queue - queue_max) / 2;
        if (!a->ref_milli) adaptive_refer(a, milli, latency_ns);
        return milli - (cut < milli / 2 ? cut : milli / 2);
    }
    if ((double)a->ref_milli <= milli) a->ref_milli = 0;
    if (w->end_ns >= a->check_ns && milli > (double)(p->limit_min * ADAPTIVE_ONE))
        return adaptive_check_begin(a, p, w, milli);
    return w->end_ns < a->grow_ns ? milli : milli + (queue_max - queue) / 2;
}

/* How many calls per counted one the next window takes, as a power of two. */
static inline int64_t adaptive_sampling(int64_t counted, int64_t sampling) {
    int64_t calls = counted << sampling, next = 0;
    while (calls >> next > ADAPTIVE_SAMPLES && next < SAMPLING_MAX) next++;
    return next;
}

/* The unit in which `latency_ns` has ten binary digits. */
static inline int64_t adaptive_unit(double latency_ns) {
    int64_t unit = 0;
    while (latency_ns >= (double)((int64_t)1024 << unit) && unit < 30) unit++;
    return unit;
}

/* Takes what the window holds, and leaves an empty one with unit and sampling to match. */
static struct adaptive_window adaptive_take(int shared, struct adaptive *a, int64_t now_ns) {
    int64_t word = word_load(&a->window), unit, sampling, answers, vain;
    struct adaptive_window w = {.end_ns = now_ns};
    do {
        unit = adaptive_field(word, UNIT_AT, UNIT_BITS);
        answers = adaptive_field(word, ANSWERS_AT, COUNT_BITS);
        vain = adaptive_field(word, VAIN_AT, COUNT_BITS);
        w.answers = (double)answers;
        w.vain = (double)vain;
        w.tight = (double)adaptive_field(word, TIGHT_AT, COUNT_BITS);
        w.latency_ns = answers ? (double)(adaptive_field(word, 0, SUM_BITS) << unit) / w.answers : 0;
        if (answers) unit = adaptive_unit(w.latency_ns);
        sampling = adaptive_sampling(answers + vain, adaptive_field(word, SAMPLING_AT, SAMPLING_BITS));
    } while (!word_swap(shared, &a->window, &word, sampling << SAMPLING_AT | unit << UNIT_AT));
    return w;
}

/* Judges the window that the caller has claimed by setting `opened_ns` to `now_ns`. */
static void adaptive_close(int shared, struct adaptive *a, const struct adaptive_policy *p, int64_t now_ns) {
    struct adaptive_window w = adaptive_take(shared, a, now_ns);
    struct adaptive b;
    double milli, share = w.vain / (w.answers + w.vain);
    int64_t limit;
    if (w.answers + w.vain == 0) return;
    for (size_t k = 0; k < ADAPTIVE_WORDS; k++) ((int64_t *)&b)[k] = word_load((const int64_t *)a + k);
    b.windows++;
    if (w.answers > 0) b.latency_ns = (int64_t)w.latency_ns;
    milli = (double)b.limit_milli * (1 - (share < 0.5 ? share : 0.5));
    if (share >= ADAPTIVE_VAIN_SHARE) { /* what the cut has helped shows when other calls have taken as long */
        b.cuts++;
        b.checking = b.ref_milli = 0;
        b.grow_ns = now_ns + b.vain_ns;
    } else {
        milli = adaptive_by_latency(&b, p, &w, milli);
    }
    limit = adaptive_clamp(p, milli);
    if (word_load(&a->opened_ns) != now_ns) return; /* suspended meanwhile: another one was judged since */
    if (limit < b.limit_milli) adaptive_turn(a, now_ns, w.latency_ns);
    word_store(&a->limit_milli, limit);
    for (size_t k = ADAPTIVE_COLD; k < ADAPTIVE_WORDS; k++) word_store((int64_t *)a + k, ((const int64_t *)&b)[k]);
}

/* A call ended, or became overdue; it is one of `in_flight`. An error is an answer that says nothing about load. */
ALWAYS_INLINE void adaptive_learn(int shared, struct adaptive *a, const struct adaptive_policy *p, int64_t start_ns,
                                  int64_t now_ns, int64_t latency_ns, int64_t outcome, int64_t in_flight) {
    int64_t word = word_load(&a->window), opened_ns = word_load(&a->opened_ns);
    int64_t limit, next, answers, vain, units, sum_ns;
    int64_t skip = ((int64_t)1 << adaptive_field(word, SAMPLING_AT, SAMPLING_BITS)) - 1;
    if ((adaptive_scatter(start_ns) & skip) || outcome == ERROR) return;
    if (now_ns < opened_ns || start_ns < word_load(&a->since_ns)) return;
    limit = word_load(&a->limit_milli) / ADAPTIVE_ONE;
    if (outcome != SUCCESS) word_store(&a->vain_ns, latency_ns);
    do {
        next = word;
        answers = adaptive_field(word, ANSWERS_AT, COUNT_BITS);
        vain = adaptive_field(word, VAIN_AT, COUNT_BITS);
        if (answers + vain >= COUNT_MAX) break; /* full: it only waits for its time */
        if (outcome == SUCCESS) {
            units = (latency_ns > 0 ? latency_ns >> adaptive_field(word, UNIT_AT, UNIT_BITS) : 0) + 1;
            next += units < LATENCY_UNITS_MAX ? units : LATENCY_UNITS_MAX;
            next += (int64_t)1 << ANSWERS_AT;
            if (4 * in_flight >= 3 * limit) next += (int64_t)1 << TIGHT_AT;
            answers++;
        } else {
            next += (int64_t)1 << VAIN_AT;
            vain++;
        }
    } while (!word_swap(shared, &a->window, &word, next));
    if (now_ns - opened_ns < p->window_ns) return;
    if (4 * vain < answers || (vain < ADAPTIVE_VAIN_MAX && 2 * vain < limit)) { /* else that is news enough */
        sum_ns = adaptive_field(next, 0, SUM_BITS) << adaptive_field(next, UNIT_AT, UNIT_BITS);
        if (answers + vain < p->samples_min) return;
        if (now_ns - opened_ns < ADAPTIVE_LATENCIES * (sum_ns / (answers + 1))) return;
    }
    if (word_swap(shared, &a->opened_ns, &opened_ns, now_ns)) adaptive_close(shared, a, p, now_ns);
}

#endif
