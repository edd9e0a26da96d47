/* One limit for each key, in a table that never grows: sets of eight slots, a line of names and a line of TATs.
 *
 * A key may lie in any slot of its own set. A slot whose TAT has passed is free, whatever its name: a key that is fresh
 * and one whose debt has lapsed are the same. So what is taken away from a key is worth nothing, no flood of
 * other keys resets a limit, and when all eight slots of a set are in debt the caller's policy decides: refuse or admit.
 *
 * Name: 48 bits of a keyed hash (siphash.h) and 16 bits of version. The other 16 and more bits of the hash choose the
 * set, so two keys pass for one with a chance of 2^-48 when they are in the same set, 2^-(48 + log2 sets) when any two are
 * (2^-64 at most); then they share one limit, which admits fewer calls and never more. TAT: a word of gcra.h, or negative:
 * the slot is moving to another name, since the time in the other bits.
 *
 * Name and TAT are two words, and anyone may die between any two instructions:
 *
 *   take    Load the TAT, then see the name (again), then CAS the TAT. A name changes only while its TAT is moving, and the
 *           time of a slot only grows from one owner to the next; so if the CAS succeeds, the name was ours all the time.
 *           An old owner's late CAS fails, and a thief's fails when the owner was first: no debt is lost or misplaced.
 *   claim   CAS a lapsed TAT to moving since now; CAS the name to the key with the next version; look for the key in the
 *           other slots; CAS the TAT to what the first call owes. In doubt free the slot (no name, lapsed) and begin again.
 *           A late CAS of a claimer that was overtaken fails by the version, or by the time in the moving word.
 *   twice   Two may claim one key in two slots. Each announces its name, then a fence, then looks: one of them sees the
 *           other. Who sees a slot that has settled, or one below that is moving, frees its own and begins again; who sees
 *           one above that is moving waits until that has gone either way. So of two only one is ever charged.
 *   death   A slot that has been moving for KEYED_MOVING_NS is freed by who needs it: it was lapsed, or not yet
 *           charged, so nothing is lost. A claimer that was merely slow finds that out by its last CAS and begins again.
 *
 * Waiting happens only for a slot that is moving: a few instructions, or KEYED_MOVING_NS when its claimer lost its core.
 */
#ifndef CONTROLPLANE_KEYED_H
#define CONTROLPLANE_KEYED_H

#include <sched.h>

#include "siphash.h"
#include "terms.h"

#define KEYED_WAYS 8
#define KEYED_MOVING_NS ((int64_t)1000000)
#define KEYED_AGAIN ((int64_t)-2)
#define KEYED_FULL ((int64_t)-3)

struct keyed {
    struct terms terms;
    int64_t secret[2], sets, full, spare[4]; /* full: calls that found their set full */
};

struct keyed_set {
    int64_t name[KEYED_WAYS], tat[KEYED_WAYS];
};

ALWAYS_INLINE struct keyed_set *keyed_sets(const struct keyed *t) { return (struct keyed_set *)(t + 1); }

/* 48 bits, never 0: that is a slot without a name. */
ALWAYS_INLINE uint64_t keyed_name(uint64_t hash) { return hash >> 16 ? hash >> 16 : 1; }

ALWAYS_INLINE int64_t keyed_named(const struct keyed_set *s, int way, uint64_t name) {
    return (uint64_t)word_load(&s->name[way]) >> 16 == name;
}

ALWAYS_INLINE int keyed_find(const struct keyed_set *s, uint64_t name) {
    for (int way = 0; way < KEYED_WAYS; way++)
        if (keyed_named(s, way, name)) return way;
    return -1;
}

ALWAYS_INLINE int64_t keyed_moving(int64_t since_ns) { return INT64_MIN | since_ns; }

/* Gives a slot that is ours, since `moving`, another name; 0: it is no longer ours. */
static int keyed_rename(struct keyed_set *s, int way, int64_t moving, uint64_t name) {
    int64_t was = word_load(&s->name[way]);
    do if (word_load(&s->tat[way]) != moving) return 0;
    while (!word_swap(1, &s->name[way], &was, (int64_t)(name << 16 | (uint64_t)((was + 1) & 0xFFFF))));
    return 1;
}

/* Frees a slot that is ours: lapsed in a nanosecond, and so later than all that it ever was. */
static void keyed_free(struct keyed_set *s, int way, int64_t moving, const struct gcra *r) {
    if (keyed_rename(s, way, moving, 0)) word_swap(1, &s->tat[way], &moving, gcra_word(clock_now_ns() + 1, r->side));
}

/* A slot was seen moving, by `word`: lets its claimer go on, or frees the slot when that is overdue. A time yet to come is
 * of another boot. */
static void keyed_await(struct keyed_set *s, int way, int64_t word, const struct gcra *r) {
    int64_t now_ns = clock_now_ns(), age_ns = now_ns - (word & INT64_MAX);
    if (age_ns >= 0 && age_ns < KEYED_MOVING_NS) sched_yield();
    else if (word_swap(1, &s->tat[way], &word, keyed_moving(now_ns))) keyed_free(s, way, keyed_moving(now_ns), r);
}

/* The TAT's word of a slot, sound, or KEYED_AGAIN after whatever stood in the way was seen to. */
ALWAYS_INLINE int64_t keyed_load(struct keyed_set *s, int way, int64_t now_ns, const struct gcra *r) {
    int64_t word = word_load(&s->tat[way]), mended;
    if (__builtin_expect(word >= 0 && gcra_sound(word, r, now_ns), 1)) return word;
    if (word < 0) {
        keyed_await(s, way, word, r);
        return KEYED_AGAIN;
    }
    mended = gcra_mended(word, r);
    if (mended == word) return word;
    if (gcra_current(r)) word_swap(1, &s->tat[way], &word, mended);
    return KEYED_AGAIN;
}

/* 1 when no other slot bears the name of `way`, which is ours; 0: ours is free again. */
static int keyed_alone(struct keyed_set *s, int way, int64_t moving, uint64_t name, const struct gcra *r) {
    word_fence(1);
    for (int other = 0; other < KEYED_WAYS; other++) {
        while (other != way && keyed_named(s, other, name)) {
            int64_t theirs = word_load(&s->tat[other]);
            if (theirs >= 0 || other < way) {
                keyed_free(s, way, moving, r);
                return 0;
            }
            keyed_await(s, other, theirs, r);
        }
    }
    return 1;
}

/* The first way whose debt has lapsed, and its word; -1: none, and after how many nanoseconds; KEYED_AGAIN: look again. */
static int64_t keyed_lapsed(struct keyed_set *s, int64_t now_ns, const struct gcra *r, int64_t *word, int64_t *wait_ns) {
    *wait_ns = INT64_MAX;
    for (int way = 0; way < KEYED_WAYS; way++) {
        int64_t left_ns;
        if ((*word = keyed_load(s, way, now_ns, r)) == KEYED_AGAIN) return KEYED_AGAIN;
        if ((left_ns = gcra_tat_ns(*word) - now_ns) <= 0) return way;
        if (left_ns < *wait_ns) *wait_ns = left_ns;
    }
    return -1;
}

/* Takes the first call of a key that has no slot. By a clock reading younger than the look that found none: the debt that
 * the key may have had has lapsed by then. */
static __attribute__((noinline)) int64_t keyed_claim(
    int shared, struct keyed *t, struct keyed_set *s, uint64_t name, const struct gcra *r, int64_t *wait_ns
) {
    int64_t now_ns = clock_now_ns(), moving = keyed_moving(now_ns), word, way = keyed_lapsed(s, now_ns, r, &word, wait_ns);
    if (way == KEYED_AGAIN || (shared && !gcra_current(r))) return KEYED_AGAIN;
    if (way < 0) {
        word_add(shared, &t->full, 1);
        return KEYED_FULL;
    }
    if (!word_swap(shared, &s->tat[way], &word, moving)) return KEYED_AGAIN;
    if (!keyed_rename(s, (int)way, moving, name)) return KEYED_AGAIN;
    if (shared && !keyed_alone(s, (int)way, moving, name, r)) return KEYED_AGAIN;
    return word_swap(shared, &s->tat[way], &moving, gcra_word(now_ns + r->interval_ns, r->side)) ? 0 : KEYED_AGAIN;
}

/* Takes one call of a key that has the slot `way`. */
ALWAYS_INLINE int64_t keyed_charge(
    int shared, struct keyed_set *s, int way, uint64_t name, int64_t now_ns, const struct gcra *r
) {
    int64_t word = keyed_load(s, way, now_ns, r), wait_ns, tat_ns;
    if (__builtin_expect(word == KEYED_AGAIN, 0)) return KEYED_AGAIN;
    if (shared && __builtin_expect(!keyed_named(s, way, name) || !gcra_current(r), 0)) return KEYED_AGAIN;
    if ((wait_ns = gcra_wait_ns(word, now_ns, r->interval_ns, r->burst, 1))) return wait_ns;
    tat_ns = gcra_tat_ns(word);
    tat_ns = (tat_ns > now_ns ? tat_ns : now_ns) + r->interval_ns;
    return word_swap(shared, &s->tat[way], &word, gcra_word(tat_ns, r->side)) ? 0 : KEYED_AGAIN;
}

ALWAYS_INLINE struct keyed_set *keyed_set_of(const struct keyed *t, uint64_t hash) {
    return keyed_sets(t) + (hash & (uint64_t)(t->sets - 1));
}

/* Takes one call of a key: 0; or after how many nanoseconds there would be one; or KEYED_FULL, and the same in *full_ns. */
ALWAYS_INLINE int64_t keyed_take(int shared, struct keyed *t, uint64_t hash, int64_t *full_ns) {
    struct keyed_set *s = keyed_set_of(t, hash);
    uint64_t name = keyed_name(hash);
    int64_t now_ns = clock_now_ns(), answer;
    do {
        struct gcra r = terms_read(&t->terms);
        int way = keyed_find(s, name);
        answer = way < 0 ? keyed_claim(shared, t, s, name, &r, full_ns) : keyed_charge(shared, s, way, name, now_ns, &r);
    } while (__builtin_expect(answer == KEYED_AGAIN, 0));
    return answer;
}

/* 0 when a call of a key would be admitted now, else after how many nanoseconds; also where its set is full. */
static int64_t keyed_wait_ns(struct keyed *t, uint64_t hash) {
    struct keyed_set *s = keyed_set_of(t, hash);
    uint64_t name = keyed_name(hash);
    for (;;) {
        struct gcra r = terms_read(&t->terms);
        int64_t now_ns = clock_now_ns(), word, wait_ns;
        int way = keyed_find(s, name);
        if (way < 0) {
            int64_t lapsed = keyed_lapsed(s, now_ns, &r, &word, &wait_ns);
            if (lapsed != KEYED_AGAIN && gcra_current(&r)) return lapsed < 0 ? wait_ns : 0;
        } else if ((word = keyed_load(s, way, now_ns, &r)) != KEYED_AGAIN && keyed_named(s, way, name) && gcra_current(&r)) {
            return gcra_wait_ns(word, now_ns, r.interval_ns, r.burst, 1);
        }
    }
}

/* Other terms, once every slot has settled in the present ones. */
static void keyed_retune(struct keyed *t, int64_t interval_ns, int64_t burst) {
    struct gcra r = terms_read(&t->terms);
    for (int64_t k = 0; k < t->sets; k++)
        for (int way = 0; way < KEYED_WAYS; way++)
            while (keyed_load(keyed_sets(t) + k, way, clock_now_ns(), &r) == KEYED_AGAIN) {}
    terms_publish(&t->terms, interval_ns, burst);
}

/* Slots whose debt has not lapsed. */
static int64_t keyed_live(struct keyed *t) {
    int64_t now_ns = clock_now_ns(), live = 0;
    for (int64_t k = 0; k < t->sets; k++)
        for (int way = 0; way < KEYED_WAYS; way++) {
            int64_t word = word_load(&keyed_sets(t)[k].tat[way]);
            live += word >= 0 && gcra_tat_ns(word) > now_ns;
        }
    return live;
}

#endif
