/* One word, changed by one instruction: all that processes and threads which share memory may do to it.
 *
 * Memory is shared with processes that may be killed between any two instructions, so there are no locks, only loads,
 * stores, additions and 64-bit compare-and-swap, and every word alone, or every word with the tag inside it, has a meaning.
 * `shared` 0 says that nobody else can run now (one process, under the interpreter's lock): an addition then costs one
 * nanosecond and not six. It is a constant where these are inlined.
 */
#ifndef CONTROLPLANE_ATOMIC_H
#define CONTROLPLANE_ATOMIC_H

#include <stdint.h>

#ifdef Py_GIL_DISABLED
#define THREADS 1 /* threads of one process run at once: its own words need atomic additions, too */
#else
#define THREADS 0
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE int64_t word_load(const int64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

ALWAYS_INLINE void word_store(int64_t *word, int64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

/* Adds; returns what was there before. */
ALWAYS_INLINE int64_t word_add(int shared, int64_t *word, int64_t value) {
    int64_t before;
    if (shared) return __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
    before = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_store_n(word, before + value, __ATOMIC_RELAXED);
    return before;
}

/* Sets the word to `wanted` if it is `*expected`, and returns 1; else loads it into `*expected` and returns 0. */
ALWAYS_INLINE int word_swap(int shared, int64_t *word, int64_t *expected, int64_t wanted) {
    int64_t is;
    if (shared)
        return __atomic_compare_exchange_n(word, expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    is = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (is != *expected) {
        *expected = is;
        return 0;
    }
    __atomic_store_n(word, wanted, __ATOMIC_RELAXED);
    return 1;
}

/* Everything written before is seen before anything read after: for "announce, then look" between processes. */
ALWAYS_INLINE void word_fence(int shared) {
    if (shared) __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
