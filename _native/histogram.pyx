"""HDR recorder over a flat int64 buffer; bucket for bucket the layout of HdrHistogram (see hdr.h).

Each method is atomic under the interpreter's lock. The counts are plain words without pointers.
"""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_FillInfo
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "hdr.h":
    struct hdr:
        int64_t counters
    hdr hdr_shape(int64_t lowest, int64_t highest, int64_t digits)
    int64_t hdr_index(const hdr *h, int64_t value)
    int64_t hdr_low(const hdr *h, int64_t index)
    int64_t hdr_quantile(const hdr *h, const int64_t *counts, int64_t permille)

include "arguments.pxi"
include "words.pxi"

cdef int64_t VALUE_MAX = (<int64_t>1 << 62) - 1


@cython.final
@cython.no_gc
cdef class Histogram:
    """Counts of integer values between `lowest` and `highest`, to `digits` significant decimal digits."""

    cdef hdr shape
    cdef int64_t *words
    cdef Py_ssize_t length
    cdef readonly int64_t lowest, highest, digits
    cdef readonly int64_t total, maximum, out_of_range

    def __cinit__(self, lowest, highest, digits):
        self.lowest = integer(lowest, "lowest", 1, VALUE_MAX // 2)
        self.highest = integer(highest, "highest", 2 * self.lowest, VALUE_MAX)
        self.digits = integer(digits, "digits", 1, 5)
        self.shape = hdr_shape(self.lowest, self.highest, self.digits)
        if self.shape.counters == 0:
            raise ValueError(f"lowest must be smaller for {self.digits} digits: the finest buckets exceed 62 bits")
        self.length = self.shape.counters
        self.words = <int64_t *>calloc(self.length, sizeof(int64_t))
        if self.words == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.words)

    def __getbuffer__(self, Py_buffer *view, int flags):
        show_words(view, self, self.words, &self.length, flags)

    cdef inline bint count(self, int64_t value, int64_t times) noexcept:
        cdef int64_t index
        if value >= 0:
            index = hdr_index(&self.shape, value)
            if index < self.shape.counters:
                self.words[index] += times
                self.total += times
                if value > self.maximum:
                    self.maximum = value
                return True
        self.out_of_range += times
        return False

    def record(self, value, /):
        return <int>self.count(wide(value, "value"), 1)

    def record_corrected(self, value, interval, /):
        # The terms value, value - interval, ... down to the first at or under interval; whole buckets at a time, so
        # that a hostile pair costs no more than the number of counters.
        cdef int64_t at = wide(value, "value"), step = wide(interval, "interval"), low, times
        if not self.count(at, 1):
            return 0
        while step > 0 and at > step:
            at -= step
            low = hdr_low(&self.shape, hdr_index(&self.shape, at))
            if low <= step:
                low = step + 1
            times = 1 if at < low else (at - low) // step + 1
            self.count(at, times)
            at -= (times - 1) * step
        return 1

    def quantile(self, permille, /):
        return hdr_quantile(&self.shape, self.words, integer(permille, "permille", 0, 1000))

    @property
    def counts(self):
        return memoryview(self)

    def add(self, Histogram other not None, /):
        cdef int64_t i
        if (other.lowest, other.highest, other.digits) != (self.lowest, self.highest, self.digits):
            raise ValueError(
                f"other must have the shape ({self.lowest}, {self.highest}, {self.digits}), "
                f"not ({other.lowest}, {other.highest}, {other.digits})"
            )
        for i in range(self.shape.counters):
            self.words[i] += other.words[i]
        self.total += other.total
        self.out_of_range += other.out_of_range
        if other.maximum > self.maximum:
            self.maximum = other.maximum

    def reset(self):
        memset(self.words, 0, self.shape.counters * sizeof(int64_t))
        self.total = self.maximum = self.out_of_range = 0
