# cython: freethreading_compatible=True
"""Rate limiters of their own: one limit, or one for each key. gcra.h has the mathematics and the promise.

The words of a limiter, private or mapped by many processes (`memory`):

    terms   kind, version and geometry in one number; the terms in force, and those before      struct terms
    tat     one word in a line of its own; of a KeyedRateLimiter the table of keyed.h
"""

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

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

include "arguments.pxi"

cdef int64_t INTERVAL_MAX_NS = 1_000_000_000_000_000  # eleven days, as for a guard
cdef int64_t BURST_MAX = 1_000_000_000_000
cdef int64_t SPAN_MAX_NS = <int64_t>1 << 60  # interval_ns * burst: 36 years
cdef int64_t CLOCK_TEST_MAX_NS = <int64_t>1 << 60  # so a TAT keeps clear of the sign, which keyed.h uses
cdef int64_t UNKEYED = 0x6C696D6974_01  # layouts: what it is, and the version of its words


def set_test_clock(now_ns, /):
    global clock_test_ns
    clock_test_ns = integer(now_ns, "now_ns", -1, CLOCK_TEST_MAX_NS)


cdef int64_t burst_for(object burst, int64_t interval_ns) except -1:
    cdef int64_t most = SPAN_MAX_NS // interval_ns
    return integer(burst, "burst", 1, most if most < BURST_MAX else BURST_MAX)


@cython.final
@cython.no_gc
cdef class Words:
    """The words of one limiter: of this process alone, or of a buffer that lives as long as this does."""

    cdef int64_t *at
    cdef void *private
    cdef Py_buffer *mapped  # on the heap, out of the collector's sight

    def __dealloc__(self):
        free(self.private)
        if self.mapped != NULL:
            PyBuffer_Release(self.mapped)
            free(self.mapped)


cdef Words words_of(object memory, int64_t length):
    cdef Words w = Words.__new__(Words)
    cdef Py_buffer *view
    if memory is None:
        if posix_memalign(&w.private, 64, length * sizeof(int64_t)):
            raise MemoryError
        w.at = <int64_t *>w.private
        w.at[0] = 0
        return w
    view = <Py_buffer *>calloc(1, sizeof(Py_buffer))
    if view == NULL:
        raise MemoryError
    try:
        PyObject_GetBuffer(memory, view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except:
        free(view)
        raise
    w.mapped = view
    if view.itemsize != sizeof(int64_t) or view.format == NULL or view.format[0] not in b"ql":
        raise TypeError("memory must hold int64")
    if view.len < length * <Py_ssize_t>sizeof(int64_t):
        raise ValueError(f"memory must hold {length} words, not {view.len // sizeof(int64_t)}")
    if <uint64_t>view.buf % 64:
        raise ValueError("memory must begin at a multiple of 64 bytes: words that are shared have lines of their own")
    w.at = <int64_t *>view.buf
    return w


@cython.final
@cython.no_gc
cdef class RateLimiter:
    """One limit."""

    cdef Words words_
    cdef terms *terms
    cdef int64_t *tat
    cdef int shared

    def __cinit__(self, interval_ns, burst, *, memory=None):
        cdef int64_t interval = integer(interval_ns, "interval_ns", 1, INTERVAL_MAX_NS)
        cdef int64_t most = burst_for(burst, interval)
        self.words_ = words_of(memory, TERMS_WORDS + 8)
        self.terms = <terms *>self.words_.at
        self.tat = self.words_.at + TERMS_WORDS
        self.shared = THREADS or memory is not None
        if word_load(&self.terms.layout) == 0:
            memset(self.words_.at, 0, (TERMS_WORDS + 8) * sizeof(int64_t))
            terms_lay_out(self.terms, interval, most)
            word_store(&self.terms.layout, UNKEYED)
        elif word_load(&self.terms.layout) != UNKEYED:
            raise ValueError(f"memory holds {word_load(&self.terms.layout):#x}, not a RateLimiter ({UNKEYED:#x})")

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
