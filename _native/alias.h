/* Draws an index with given odds in constant time: Walker's alias table, built as by Vose (1991), in integers.
 *
 * There are as many columns as indices, each 2^32 wide. A column belongs to its own index up to a threshold, and above it
 * to one other index, its alias. A draw is one random number: its upper part is the column, the next 32 bits are the
 * place in it. A column is one word, threshold << 32 | alias, and every word is valid alone: whoever draws while another
 * thread writes a new table meets old and new odds, never an index out of range.
 */
#ifndef CONTROLPLANE_ALIAS_H
#define CONTROLPLANE_ALIAS_H

#include "atomic.h"
#include "random.h"

#define ALIAS_COLUMN ((int64_t)1 << 32)
#define ALIAS_TRIES 4

/* `units[i]` is the width that index i has of all columns together; the sum is n * ALIAS_COLUMN exactly (so there is always
 * a donor, and no rounding at the end). The units are used up. Instead of two stacks, two fingers move to the right: a
 * donor that became too small behind the first finger gets its own alias at once, one before it when it is met. */
static void alias_build(int64_t *units, int64_t n, int64_t *table) {
    int64_t donor = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t column = i;
        if (units[i] >= ALIAS_COLUMN) continue;
        for (;;) {
            while (units[donor] < ALIAS_COLUMN) donor++;
            word_store(&table[column], (int64_t)((uint64_t)units[column] << 32 | (uint64_t)donor));
            units[donor] -= ALIAS_COLUMN - units[column];
            if (units[donor] >= ALIAS_COLUMN || donor > i) break;
            column = donor;
        }
    }
    for (int64_t i = 0; i < n; i++)
        if (units[i] >= ALIAS_COLUMN) word_store(&table[i], i); /* all of it is its own: threshold 0, alias itself */
}

ALWAYS_INLINE int64_t alias_at(const int64_t *table, int64_t column, uint32_t place) {
    uint64_t entry = (uint64_t)word_load(&table[column]);
    /* without a branch: the place is random, so a jump would be mispredicted as often as not */
    int64_t own = -(int64_t)(place < (uint32_t)(entry >> 32));
    return (column & own) | ((int64_t)(uint32_t)entry & ~own);
}

ALWAYS_INLINE int64_t alias_draw(const int64_t *table, int64_t n, uint64_t random) {
    unsigned __int128 wide = (unsigned __int128)random * (uint64_t)n;
    return alias_at(table, (int64_t)(wide >> 64), (uint32_t)((uint64_t)wide >> 32));
}

/* Another index than `but`, or -1 where it did not turn up: then `but` has nearly all of the odds. The column of `but`
 * itself is left out, so that where all are equal the first try succeeds. */
ALWAYS_INLINE int64_t alias_draw_other(const int64_t *table, int64_t n, int64_t *random, int64_t but) {
    if (n < 2) return -1;
    for (int tries = 0; tries < ALIAS_TRIES; tries++) {
        unsigned __int128 wide = (unsigned __int128)random_next(random) * (uint64_t)(n - 1);
        int64_t column = (int64_t)(wide >> 64), other;
        other = alias_at(table, column + (column >= but), (uint32_t)((uint64_t)wide >> 32));
        if (__builtin_expect(other != but, 1)) return other;
    }
    return -1;
}

#endif
