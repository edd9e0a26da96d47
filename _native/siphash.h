/* SipHash-1-3 (Aumasson & Bernstein 2012): a keyed hash of short strings, so that nobody who does not know the secret can make
 * keys collide on purpose. `domain` sets kinds of keys apart, as SipHash's own 128-bit form does; 0 is plain SipHash.
 */
#ifndef CONTROLPLANE_SIPHASH_H
#define CONTROLPLANE_SIPHASH_H

#include <stdint.h>
#include <string.h>

#define SIPHASH_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

static inline __attribute__((always_inline)) void siphash_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = SIPHASH_ROTATE(v[1], 13) ^ v[0];
    v[3] = SIPHASH_ROTATE(v[3], 16) ^ v[2];
    v[0] = SIPHASH_ROTATE(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = SIPHASH_ROTATE(v[3], 21) ^ v[0];
    v[1] = SIPHASH_ROTATE(v[1], 17) ^ v[2];
    v[2] = SIPHASH_ROTATE(v[2], 32);
}

static inline __attribute__((always_inline)) void siphash_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    siphash_round(v);
    v[0] ^= word;
}

/* Words are read as this machine stores them: the hash stays on this host. */
static inline uint64_t siphash(const int64_t secret[2], uint64_t domain, const void *bytes, int64_t length) {
    const unsigned char *at = bytes;
    uint64_t k0 = (uint64_t)secret[0], k1 = (uint64_t)secret[1], word;
    uint64_t last = (uint64_t)length << 56;
    uint64_t v[4] = {
        k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ domain, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u
    };
    for (; length >= 8; length -= 8, at += 8) {
        memcpy(&word, at, 8);
        siphash_word(v, word);
    }
    for (int64_t k = 0; k < length; k++) last |= (uint64_t)at[k] << 8 * k;
    siphash_word(v, last);
    v[2] ^= 0xff;
    siphash_round(v);
    siphash_round(v);
    siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
