/* Seeded randomness: xorshift64* (Vigna 2016), one word. Two guards with one seed and the same calls agree. */
#ifndef CONTROLPLANE_RANDOM_H
#define CONTROLPLANE_RANDOM_H

#include <stdint.h>

/* splitmix64 spreads small seeds over the word; xorshift must not start at zero. */
static inline int64_t random_seeded(uint64_t seed) {
    uint64_t z = seed + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (int64_t)(z ? z : 1);
}

static inline uint64_t random_next(int64_t *state) {
    uint64_t x = (uint64_t)*state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = (int64_t)x;
    return x * 0x2545F4914F6CDD1Du;
}

/* Uniform in 0 .. n-1 for 1 <= n < 2^32, from the good upper half of the word. */
static inline int64_t random_below(int64_t *state, int64_t n) {
    return (int64_t)(((random_next(state) >> 32) * (uint64_t)n) >> 32);
}

/* `span` give or take 10 %, so that guards which opened together do not probe together. */
static inline int64_t random_jitter(int64_t *state, int64_t span) {
    int64_t tenth = span / 10;
    return span - tenth + (int64_t)(random_next(state) % (uint64_t)(2 * tenth + 1));
}

#endif
