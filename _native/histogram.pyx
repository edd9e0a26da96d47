# cython: freethreading_compatible=True
"""HDR recorder over a flat int64 buffer, private or mapped by many processes; its words are those of recorder.h.

Bucket for bucket the layout of HdrHistogram (hdr.h). Every figure is read from the counters (summary.h): what one
reads of a histogram that others record into is of the moment in which its counter was looked at, so figures that must
agree with each other are read from a snapshot.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from "hdr.h":
    struct hdr:
        int64_t counters
    hdr hdr_shape(int64_t lowest, int64_t highest, int64_t digits)
    int64_t hdr_index(const hdr *h, int64_t value)
    int64_t hdr_low(const hdr *h, int64_t index)
    int64_t hdr_high(const hdr *h, int64_t index)
    int64_t hdr_quantile(const hdr *h, const int64_t *counts, int64_t permille)

cdef extern from "summary.h":
    int64_t hdr_total(const hdr *h, const int64_t *counts)
    int64_t hdr_minimum(const hdr *h, const int64_t *counts)
    int64_t hdr_maximum(const hdr *h, const int64_t *counts)
    int64_t hdr_percentile(const hdr *h, const int64_t *counts, double percent)
    int64_t hdr_between(const hdr *h, const int64_t *counts, int64_t low, int64_t high)
    double hdr_percent(const hdr *h, const int64_t *counts, int64_t value)
    double hdr_mean(const hdr *h, const int64_t *counts)
    double hdr_deviation(const hdr *h, const int64_t *counts)

cdef extern from "atomic.h":
    int64_t word_load(const int64_t *word)
    int64_t word_add(int shared, int64_t *word, int64_t value)

cdef extern from "recorder.h":
    enum: RECORDER_THREADS
    struct recorder:
        int64_t layout, lowest, highest, digits, out_of_range
        int64_t counts[0]
    int64_t recorder_words(const hdr *h)
    int64_t recorder_layout(int64_t lowest, int64_t highest, int64_t digits)
    void recorder_lay_out(recorder *r, const hdr *h, int64_t lowest, int64_t highest, int64_t digits)
    bint recorder_count(int shared, recorder *r, const hdr *h, uint64_t limit, int64_t value, int64_t times)
    void recorder_move(int shared, recorder *origin, recorder *to, const hdr *h)
    void recorder_add(int shared, recorder *to, const recorder *other, const hdr *h)
    void recorder_reset(recorder *r, const hdr *h)

cdef extern from "exact.h":
    bint exact_small(object value, int64_t *number)

include "arguments.pxi"
include "words.pxi"

cdef int64_t VALUE_MAX = (<int64_t>1 << 62) - 1


cdef struct shape:
    int64_t lowest, highest, digits
    hdr buckets


cdef int shape_take(shape *s, object lowest, object highest, object digits) except -1:
    """Fill `s` from what a caller asks for."""
    s.lowest = integer(lowest, "lowest", 1, VALUE_MAX // 2)
    s.highest = integer(highest, "highest", 2 * s.lowest, VALUE_MAX)
    s.digits = integer(digits, "digits", 1, 5)
    s.buckets = hdr_shape(s.lowest, s.highest, s.digits)
    if s.buckets.counters == 0:
        raise ValueError(f"lowest must be smaller for {s.digits} digits: the finest buckets exceed 62 bits")
    return 0


cdef int check_int64(Py_buffer *view, str name) except -1:
    if view.itemsize != sizeof(int64_t) or view.format == NULL or view.format[0] not in b"ql":
        raise TypeError(f"{name} must hold int64")
    return 0


@cython.final
@cython.no_gc
cdef class Histogram:
    """Counts of integer values between `lowest` and `highest`, to `digits` significant decimal digits."""

    cdef shape shape
    cdef recorder *at
    cdef uint64_t limit
    cdef int shared
    cdef Py_buffer *mapped
    cdef void *private
    cdef Py_ssize_t length

    def __cinit__(self, lowest, highest, digits, *, memory=None):
        cdef shape *s = &self.shape
        shape_take(s, lowest, highest, digits)
        self.length = s.buckets.counters
        self.limit = <uint64_t>hdr_high(&s.buckets, self.length - 1) + 1
        self.shared = RECORDER_THREADS or memory is not None
        if memory is None:
            self.private = calloc(recorder_words(&s.buckets), sizeof(int64_t))
            if self.private == NULL:
                raise MemoryError
            self.at = <recorder *>self.private
        else:
            self.map(memory)
        if word_load(&self.at.layout) == 0:
            recorder_lay_out(self.at, &s.buckets, s.lowest, s.highest, s.digits)
        else:
            self.check_layout()

    cdef int map(self, object memory) except -1:
        """Use the words of `memory`, as long as this histogram lives."""
        cdef int64_t words = recorder_words(&self.shape.buckets)
        cdef Py_buffer *view = <Py_buffer *>calloc(1, sizeof(Py_buffer))
        if view == NULL:
            raise MemoryError
        try:
            PyObject_GetBuffer(memory, view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except:
            free(view)
            raise
        self.mapped = view
        check_int64(view, "memory")
        if view.len < words * <Py_ssize_t>sizeof(int64_t):
            raise ValueError(f"memory must hold {words} words, not {view.len // sizeof(int64_t)}")
        if <uint64_t>view.buf % 64:
            raise ValueError("memory must begin at a multiple of 64 bytes: the counters have cache lines of their own")
        self.at = <recorder *>view.buf
        return 0

    cdef int check_layout(self) except -1:
        """The words hold a histogram of this shape, or the error says what they hold."""
        cdef shape *s = &self.shape
        cdef recorder *r = self.at
        cdef int64_t found = word_load(&r.layout), wanted = recorder_layout(s.lowest, s.highest, s.digits)
        if found == wanted:
            return 0
        held = f"a histogram of the shape ({r.lowest}, {r.highest}, {r.digits})"
        if found >> 36 != wanted >> 36:
            held = f"no histogram, but layout {found:#x}"
        elif found >> 32 != wanted >> 32:
            held = f"a histogram of layout version {found >> 32 & 15}"
        raise ValueError(
            f"memory holds {held}; expected a histogram of the shape ({s.lowest}, {s.highest}, {s.digits}), "
            f"layout version {wanted >> 32 & 15}"
        )

    @staticmethod
    def words(lowest, highest, digits, /):
        cdef shape s
        shape_take(&s, lowest, highest, digits)
        return recorder_words(&s.buckets)

    def __dealloc__(self):
        free(self.private)
        if self.mapped != NULL:
            PyBuffer_Release(self.mapped)
            free(self.mapped)

    def __getbuffer__(self, Py_buffer *view, int flags):
        show_words(view, self, self.at.counts, &self.length, flags)

    @property
    def lowest(self):
        return self.shape.lowest

    @property
    def highest(self):
        return self.shape.highest

    @property
    def digits(self):
        return self.shape.digits

    @property
    def counts(self):
        return memoryview(self)

    cdef inline bint count(self, int64_t value, int64_t times) noexcept:
        if self.shared:
            return recorder_count(1, self.at, &self.shape.buckets, self.limit, value, times)
        return recorder_count(RECORDER_THREADS, self.at, &self.shape.buckets, self.limit, value, times)

    def record(self, value, /):
        cdef int64_t number
        if not exact_small(value, &number):
            number = wide(value, "value")
        return self.count(number, 1)

    def record_times(self, value, times, /):
        cdef int64_t number = wide(value, "value")
        return self.count(number, integer(times, "times", 0, VALUE_MAX))

    def record_corrected(self, value, interval, /):
        # The terms value, value - interval, ... down to the first at or under interval; whole buckets at a time, so
        # that a hostile pair costs no more than the number of counters.
        cdef int64_t at = wide(value, "value"), step = wide(interval, "interval"), low, times
        cdef const hdr *buckets = &self.shape.buckets
        if not self.count(at, 1):
            return False
        while step > 0 and at > step:
            at -= step
            low = hdr_low(buckets, hdr_index(buckets, at))
            if low <= step:
                low = step + 1
            times = 1 if at < low else (at - low) // step + 1
            self.count(at, times)
            at -= (times - 1) * step
        return True

    cdef int same_shape(self, Histogram other) except -1:
        """`other` has the shape of this one."""
        cdef shape *s = &self.shape
        cdef shape *o = &other.shape
        if (o.lowest, o.highest, o.digits) != (s.lowest, s.highest, s.digits):
            raise ValueError(
                f"other must have the shape ({s.lowest}, {s.highest}, {s.digits}), "
                f"not ({o.lowest}, {o.highest}, {o.digits})"
            )
        return 0

    def add(self, Histogram other not None, /):
        self.same_shape(other)
        recorder_add(self.shared, self.at, other.at, &self.shape.buckets)

    def add_counts(self, counts, /):
        cdef Py_buffer view
        cdef const int64_t *given
        cdef int64_t i
        PyObject_GetBuffer(counts, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            check_int64(&view, "counts")
            if view.len != self.length * <Py_ssize_t>sizeof(int64_t):
                raise ValueError(f"counts must be {self.length}, one a bucket, not {view.len // sizeof(int64_t)}")
            given = <const int64_t *>view.buf
            for i in range(self.length):
                if given[i] < 0:
                    raise ValueError(f"counts must not be negative: number {i} is {given[i]}")
            for i in range(self.length):
                if given[i]:
                    word_add(self.shared, &self.at.counts[i], given[i])
        finally:
            PyBuffer_Release(&view)

    def move_to(self, Histogram other not None, /):
        self.same_shape(other)
        recorder_move(self.shared | other.shared, self.at, other.at, &self.shape.buckets)

    cdef Histogram fresh(self):
        """An empty one of this shape, in memory of its own."""
        return Histogram(self.shape.lowest, self.shape.highest, self.shape.digits)

    def snapshot(self):
        cdef Histogram made = self.fresh()
        recorder_add(RECORDER_THREADS, made.at, self.at, &self.shape.buckets)
        return made

    def snapshot_and_reset(self):
        cdef Histogram made = self.fresh()
        recorder_move(self.shared, self.at, made.at, &self.shape.buckets)
        return made

    def reset(self):
        recorder_reset(self.at, &self.shape.buckets)

    @property
    def total(self):
        return hdr_total(&self.shape.buckets, self.at.counts)

    @property
    def out_of_range(self):
        return word_load(&self.at.out_of_range)

    @property
    def minimum(self):
        return hdr_minimum(&self.shape.buckets, self.at.counts)

    @property
    def maximum(self):
        return hdr_maximum(&self.shape.buckets, self.at.counts)

    @property
    def mean(self):
        return hdr_mean(&self.shape.buckets, self.at.counts)

    @property
    def deviation(self):
        return hdr_deviation(&self.shape.buckets, self.at.counts)

    def quantile(self, permille, /):
        return hdr_quantile(&self.shape.buckets, self.at.counts, integer(permille, "permille", 0, 1000))

    def percentile(self, percent, /):
        cdef double wanted
        if isinstance(percent, (bool, str)):
            raise TypeError(f"percent must be a number, not {type(percent).__name__}")
        wanted = percent
        if not 0 <= wanted <= 100:  # what is no number is not between them either
            raise ValueError(f"percent must be between 0 and 100, not {percent}")
        return hdr_percentile(&self.shape.buckets, self.at.counts, wanted)

    def percent_at_or_below(self, value, /):
        return hdr_percent(&self.shape.buckets, self.at.counts, wide(value, "value"))

    def count_at(self, value, /):
        cdef int64_t number = wide(value, "value")
        if <uint64_t>number >= self.limit:
            return 0
        return word_load(&self.at.counts[hdr_index(&self.shape.buckets, number)])

    def count_between(self, low, high, /):
        cdef int64_t lowest = wide(low, "low"), highest = wide(high, "high")
        return hdr_between(&self.shape.buckets, self.at.counts, lowest, highest)

    def bucket(self, value, /):
        cdef const hdr *buckets = &self.shape.buckets
        cdef int64_t index = hdr_index(buckets, integer(value, "value", 0, <int64_t>(self.limit - 1)))
        return hdr_low(buckets, index), hdr_high(buckets, index)
