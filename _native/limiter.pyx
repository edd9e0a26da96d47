# cython: freethreading_compatible=True
"""Rate limiters of their own: one limit, or one for each key. gcra.h has the mathematics and the promise.

The words of a limiter, private or mapped by many processes (`memory`):

    terms   kind, version and geometry in one number; the terms in force, and those before      struct terms
    tat     one word in a line of its own; of a KeyedRateLimiter the table of keyed.h
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.number cimport PyIndex_Check, PyNumber_Index
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from os import urandom

cdef extern from "<stdlib.h>":
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from "atomic.h":
    enum:
        THREADS
    int64_t word_load(const int64_t *word)
    void word_store(int64_t *word, int64_t value)

cdef extern from "clock.h":
    int64_t clock_test_ns
    int64_t clock_now_ns()

cdef extern from "terms.h":
    enum:
        TERMS_WORDS
    struct terms:
        int64_t layout
    void terms_lay_out(terms *t, int64_t interval_ns, int64_t burst)
    int64_t terms_burst(const terms *t)
    int64_t terms_interval_ns(const terms *t)
    int64_t terms_wait_ns(int shared, const terms *t, int64_t *at, int64_t count)
    int64_t terms_take(int shared, const terms *t, int64_t *at, int64_t count)
    void terms_retune(terms *t, int64_t *words, int64_t length, int64_t interval_ns, int64_t burst)

cdef extern from "keyed.h":
    enum:
        KEYED_WAYS
    int64_t KEYED_FULL
    struct keyed:
        terms terms
        int64_t *secret
        int64_t sets, full
    int64_t keyed_take(int shared, keyed *t, uint64_t hash, int64_t *full_ns)
    int64_t keyed_wait_ns(keyed *t, uint64_t hash)
    int64_t keyed_live(keyed *t)
    void keyed_retune(keyed *t, int64_t interval_ns, int64_t burst)
    uint64_t siphash(const int64_t *secret, uint64_t domain, const void *bytes, int64_t length)

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    int PyUnicode_KIND(object text)
    void *PyUnicode_DATA(object text)

include "arguments.pxi"
include "memory.pxi"

cdef int64_t INTERVAL_MAX_NS = 1_000_000_000_000_000  # eleven days, as for a guard
cdef int64_t BURST_MAX = 1_000_000_000_000
cdef int64_t SPAN_MAX_NS = <int64_t>1 << 60  # interval_ns * burst: 36 years
cdef int64_t CLOCK_TEST_MAX_NS = <int64_t>1 << 60  # so a TAT keeps clear of the sign, which keyed.h uses
cdef int64_t SLOTS_MAX = <int64_t>1 << 30  # 16 GiB
cdef int64_t UNKEYED = 0x6C696D6974_0001  # layouts: what it is, and the version of its words
cdef int64_t KEYED = 0x6B65796564_0001  # and from bit 56 on the logarithm of its number of sets
cdef uint64_t BYTES_KEY = 0, INT_KEY = 8  # domains of keys; a str's is the width of its characters, 1, 2 or 4


def set_test_clock(now_ns, /):
    global clock_test_ns
    clock_test_ns = integer(now_ns, "now_ns", -1, CLOCK_TEST_MAX_NS)


cdef int64_t burst_for(object burst, int64_t interval_ns) except -1:
    cdef int64_t most = SPAN_MAX_NS // interval_ns
    return integer(burst, "burst", 1, most if most < BURST_MAX else BURST_MAX)


cdef struct words:  # of one limiter: of this process alone, or of a buffer that lives as long as the limiter
    int64_t *at
    void *private
    Py_buffer *mapped  # on the heap, out of the collector's sight


cdef int words_take(words *w, object memory, int64_t length) except -1:
    if memory is None:
        if posix_memalign(&w.private, 64, length * sizeof(int64_t)):
            raise MemoryError
        w.at = <int64_t *>w.private
        w.at[0] = 0
        return 0
    w.mapped = map_words(memory, length)
    w.at = <int64_t *>w.mapped.buf
    return 0


cdef void words_drop(words *w) noexcept:
    free(w.private)
    unmap_words(w.mapped)


@cython.final
@cython.no_gc
cdef class RateLimiter:
    """One limit."""

    cdef words own
    cdef terms *terms
    cdef int64_t *tat
    cdef int shared

    def __cinit__(self, interval_ns, burst, *, memory=None):
        cdef int64_t interval = integer(interval_ns, "interval_ns", 1, INTERVAL_MAX_NS)
        cdef int64_t most = burst_for(burst, interval)
        words_take(&self.own, memory, TERMS_WORDS + 8)
        self.terms = <terms *>self.own.at
        self.tat = self.own.at + TERMS_WORDS
        self.shared = THREADS or memory is not None
        if word_load(&self.terms.layout) == 0:
            memset(self.own.at, 0, (TERMS_WORDS + 8) * sizeof(int64_t))
            terms_lay_out(self.terms, interval, most)
            word_store(&self.terms.layout, UNKEYED)
        elif word_load(&self.terms.layout) != UNKEYED:
            raise ValueError(f"memory holds {word_load(&self.terms.layout):#x}, not a RateLimiter ({UNKEYED:#x})")

    def __dealloc__(self):
        words_drop(&self.own)

    @staticmethod
    def words():
        return TERMS_WORDS + 8

    cdef inline int64_t take(self, int64_t count) noexcept:
        if self.shared:
            return terms_take(1, self.terms, self.tat, count)
        return terms_take(THREADS, self.terms, self.tat, count)

    def try_acquire(self):
        return self.take(1) == 0

    def acquire_wait_ns(self):
        return self.take(1)

    def try_acquire_many(self, count, /):
        return self.take(self.some(count)) == 0

    def wait_ns(self, count, /):
        return terms_wait_ns(1, self.terms, self.tat, self.some(count))

    cdef int64_t some(self, object count) except -1:
        return integer(count, "count", 1, terms_burst(self.terms))

    def retune(self, interval_ns, burst, /):
        cdef int64_t interval = integer(interval_ns, "interval_ns", 1, INTERVAL_MAX_NS)
        cdef int64_t most = burst_for(burst, interval)
        with cython.critical_section(self):
            terms_retune(self.terms, self.tat, 1, interval, most)

    @property
    def interval_ns(self):
        return terms_interval_ns(self.terms)

    @property
    def burst(self):
        return terms_burst(self.terms)


cdef int64_t sets_for(object slots) except -1:
    """The number of sets, a power of two, that hold at least so many slots."""
    cdef int64_t wanted = integer(slots, "slots", KEYED_WAYS, SLOTS_MAX), sets = 1
    while sets * KEYED_WAYS < wanted:
        sets *= 2
    return sets


cdef int sets_log(int64_t sets) noexcept:
    cdef int log = 0
    while sets >> log > 1:
        log += 1
    return log


cdef int64_t keyed_words(int64_t sets) noexcept:
    return (<int64_t>sizeof(keyed) // <int64_t>sizeof(int64_t)) + 2 * KEYED_WAYS * sets


@cython.final
@cython.no_gc
cdef class KeyedRateLimiter:
    """One limit for each key, in bounded memory."""

    cdef words own
    cdef keyed *table
    cdef int shared
    cdef int admits  # when a set is full

    def __cinit__(self, interval_ns, burst, *, slots, on_full="refuse", memory=None):
        cdef int64_t interval = integer(interval_ns, "interval_ns", 1, INTERVAL_MAX_NS)
        cdef int64_t most = burst_for(burst, interval)
        cdef int64_t sets = sets_for(slots), layout = KEYED | <int64_t>sets_log(sets) << 56
        if on_full not in ("refuse", "admit"):
            raise ValueError(f"on_full must be 'refuse' or 'admit', not {on_full!r}")
        self.admits = on_full == "admit"
        words_take(&self.own, memory, keyed_words(sets))
        self.table = <keyed *>self.own.at
        self.shared = THREADS or memory is not None
        if word_load(&self.table.terms.layout) == 0:
            memset(self.own.at, 0, keyed_words(sets) * sizeof(int64_t))
            terms_lay_out(&self.table.terms, interval, most)
            secret = urandom(16)
            memcpy(self.table.secret, PyBytes_AS_STRING(secret), 16)
            self.table.sets = sets
            word_store(&self.table.terms.layout, layout)
        elif word_load(&self.table.terms.layout) != layout:
            raise ValueError(
                f"memory holds {word_load(&self.table.terms.layout):#x}, "
                f"not a KeyedRateLimiter of {sets * KEYED_WAYS} slots ({layout:#x})"
            )

    def __dealloc__(self):
        words_drop(&self.own)

    @staticmethod
    def words(slots, /):
        return keyed_words(sets_for(slots))

    cdef inline uint64_t hash(self, object key) except? 1:
        cdef int64_t number
        cdef int kind, overflow = 0
        if PyUnicode_Check(key):
            kind = PyUnicode_KIND(key)
            return siphash(self.table.secret, kind, PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key) * kind)
        if PyBytes_Check(key):
            return siphash(self.table.secret, BYTES_KEY, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        if isinstance(key, bool) or not PyIndex_Check(key):
            raise TypeError(f"key must be a str, bytes or int, not {type(key).__name__}")
        number = PyLong_AsLongLongAndOverflow(PyNumber_Index(key), &overflow)
        if overflow:
            raise ValueError(f"key must be between {-INT64_HIGHEST - 1} and {INT64_HIGHEST} when it is an int, not {key}")
        return siphash(self.table.secret, INT_KEY, &number, sizeof(int64_t))

    cdef inline int64_t take(self, object key, int64_t *full_ns) except? -9:
        cdef uint64_t hash = self.hash(key)
        if self.shared:
            return keyed_take(1, self.table, hash, full_ns)
        return keyed_take(THREADS, self.table, hash, full_ns)

    def try_acquire(self, key, /):
        cdef int64_t full_ns, answer = self.take(key, &full_ns)
        return True if answer == 0 else self.admits != 0 and answer == KEYED_FULL

    def acquire_wait_ns(self, key, /):
        cdef int64_t full_ns, answer = self.take(key, &full_ns)
        if answer == KEYED_FULL:
            return 0 if self.admits else full_ns
        return answer

    def wait_ns(self, key, /):
        return keyed_wait_ns(self.table, self.hash(key))

    def retune(self, interval_ns, burst, /):
        cdef int64_t interval = integer(interval_ns, "interval_ns", 1, INTERVAL_MAX_NS)
        cdef int64_t most = burst_for(burst, interval)
        with cython.critical_section(self):
            keyed_retune(self.table, interval, most)

    def statistics(self):
        return {
            "slots": self.table.sets * KEYED_WAYS, "live": keyed_live(self.table), "full": word_load(&self.table.full)
        }

    @property
    def interval_ns(self):
        return terms_interval_ns(&self.table.terms)

    @property
    def burst(self):
        return terms_burst(&self.table.terms)
