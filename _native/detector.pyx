# cython: freethreading_compatible=True
"""Sequential change detection: failures and latency of many edges, each judged against what is normal there.

cusum.h has the sums, shift.h the latency law, row.h what a row learns; docs/concepts/detection.md derives them. The words:

    layout   kind, version and geometry in one number; false alarms per 10^12 calls; padding to a line
    rows     struct row each
"""

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.math cimport log
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "<stdlib.h>":
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from "row.h":
    """
    static int row_observe_private(struct row *r, int failed, int64_t latency_ns, double budget_nats) {
        return row_observe(THREADS, r, failed, latency_ns, budget_nats);
    }
    static int row_observe_shared(struct row *r, int failed, int64_t latency_ns, double budget_nats) {
        return row_observe(1, r, failed, latency_ns, budget_nats);
    }
    """
    enum:
        BANK_SUMS
        BANKS
        RUNGS
        LATENCY_BINS
        CALL_SCALE
        PENDING_BITS
    struct row:
        int64_t failing, late, failed, passed, failing_limits, late_limits, window, calls, failures, rung, rejected
        int64_t bins[1]
        int64_t steps[1]
    int64_t word_load(const int64_t *word)
    int64_t bank_sum(int64_t word, int j)
    int64_t bank_step(int64_t step, int j)
    double rung_share(int64_t rung)
    int64_t rung_of(double share)
    void bank_failing(int64_t rung, double budget_nats, int64_t *failed, int64_t *passed, int64_t *limits)
    double[3] bank_shares
    double[3] shift_factors
    void shift_begin()
    void row_begin(row *r, double budget_nats)
    void row_clear(row *r)
    int row_observe_private(row *r, int failed, int64_t latency_ns, double budget_nats) noexcept nogil
    int row_observe_shared(row *r, int failed, int64_t latency_ns, double budget_nats) noexcept nogil

include "arguments.pxi"
include "memory.pxi"

cdef int64_t KIND = (<int64_t>0x44455443 << 28) | 1  # "DETC", version 1; the rows are added to it
cdef int64_t HEAD_WORDS = 8
cdef int64_t ROW_WORDS = sizeof(row) // sizeof(int64_t)
cdef int64_t ROWS_MAX = 1 << 24

HEALTHY, FAILING, LATE = 0, 1, 4
SHARES = tuple([bank_shares[j] for j in range(3)])
FACTORS = tuple([shift_factors[j] for j in range(3)])

shift_begin()


cdef list sums(int64_t word):
    return [bank_sum(word, j) for j in range(BANK_SUMS)]


cdef list steps_of(int64_t word):
    return [bank_step(word, j) for j in range(BANK_SUMS)]


cdef double budget_of(double false_alarm) except? -1:
    if not 1e-12 <= false_alarm <= 1e-2:
        raise ValueError(f"false_alarm must be between 1e-12 and 0.01 a call, not {false_alarm}")
    return log(BANKS * BANK_SUMS / false_alarm)


def bank(double failure_share, double false_alarm, /):
    cdef int64_t failed, passed, limits, rung
    if not 0 <= failure_share <= 1:
        raise ValueError(f"failure_share must be between 0 and 1, not {failure_share}")
    rung = rung_of(failure_share)
    bank_failing(rung, budget_of(false_alarm), &failed, &passed, &limits)
    return (rung_share(rung), tuple(steps_of(failed)), tuple(steps_of(passed)), tuple(sums(limits)))


@cython.final
@cython.no_gc
cdef class Detector:
    """Failures and latency of `rows` edges or endpoints, at one rate of false alarms."""

    cdef int64_t *words_at
    cdef row *rows_at
    cdef Py_buffer *view
    cdef int64_t count
    cdef double budget_nats
    cdef bint shared

    def __cinit__(self, rows, *, double false_alarm=1e-6, memory=None):
        cdef int64_t i, length, per_tera
        self.count = integer(rows, "rows", 1, ROWS_MAX)
        self.budget_nats = budget_of(false_alarm)
        per_tera = <int64_t>(false_alarm * 1e12 + 0.5)
        length = HEAD_WORDS + self.count * ROW_WORDS
        if memory is None:
            if posix_memalign(<void **>&self.words_at, 64, length * sizeof(int64_t)):
                self.words_at = NULL
                raise MemoryError
            memset(self.words_at, 0, length * sizeof(int64_t))
        else:
            self.view = map_words(memory, length)
            self.words_at = <int64_t *>self.view.buf
            self.shared = True
        self.rows_at = <row *>(self.words_at + HEAD_WORDS)
        if self.words_at[0] == 0:
            for i in range(self.count):
                row_begin(self.rows_at + i, self.budget_nats)
            self.words_at[1] = per_tera
            self.words_at[0] = KIND + self.count
        elif self.words_at[0] != KIND + self.count:
            raise ValueError(f"memory must be fresh or a detector of {self.count} rows, not {self.words_at[0]:#x}")
        elif self.words_at[1] != per_tera:
            raise ValueError(f"false_alarm must be {self.words_at[1] * 1e-12}, as in memory, not {false_alarm}")

    def __dealloc__(self):
        if self.view != NULL:
            unmap_words(self.view)
        else:
            free(self.words_at)

    @staticmethod
    def words(rows):
        return HEAD_WORDS + integer(rows, "rows", 1, ROWS_MAX) * ROW_WORDS

    @property
    def rows(self):
        return self.count

    cdef row *at(self, object index) except NULL:
        return self.rows_at + integer(index, "row", 0, self.count - 1)

    def observe(self, Py_ssize_t index, bint failed, Py_ssize_t latency_ns, /):  # Py_ssize_t refuses a float
        if index < 0 or index >= self.count:
            raise ValueError(f"row must be between 0 and {self.count - 1}, not {index}")
        if self.shared:
            return row_observe_shared(self.rows_at + index, failed, latency_ns, self.budget_nats)
        return row_observe_private(self.rows_at + index, failed, latency_ns, self.budget_nats)

    def observe_many(self, index, const unsigned char[::1] failed not None, const int64_t[::1] latency_ns not None, /):
        cdef Py_ssize_t i, length = failed.shape[0], found = -1
        cdef int verdict = 0
        cdef int64_t own = integer(index, "row", 0, self.count - 1)
        if latency_ns.shape[0] != length:
            raise ValueError(f"latency_ns must be as many as failed, {length}, not {latency_ns.shape[0]}")
        with nogil:
            for i in range(length):
                verdict = row_observe_shared(self.rows_at + own, failed[i] != 0, latency_ns[i], self.budget_nats)
                if verdict:
                    found = i
                    break
        return (found, verdict)

    def clear(self, index, /):
        row_clear(self.at(index))

    def forget(self, index, /):
        cdef row *r = self.at(index)
        memset(r, 0, ROW_WORDS * sizeof(int64_t))
        row_begin(r, self.budget_nats)

    def describe(self, index, /):
        cdef row *r = self.at(index)
        return {
            "failing_mnat": sums(word_load(&r.failing)),
            "late_mnat": sums(word_load(&r.late)),
            "failing_limits_mnat": sums(word_load(&r.failing_limits)),
            "late_limits_mnat": sums(word_load(&r.late_limits)),
            "failed_mnat": steps_of(word_load(&r.failed)),
            "passed_mnat": steps_of(word_load(&r.passed)),
            "failure_share": rung_share(word_load(&r.rung)),
            "learned_calls": word_load(&r.calls) / <double>CALL_SCALE,
            "learned_failures": word_load(&r.failures) / <double>CALL_SCALE,
            "window_calls": word_load(&r.window) & 0xFFFFFFFF,
            "windows_rejected": word_load(&r.rejected),
        }

    def latency(self, index, /):
        cdef row *r = self.at(index)
        cdef list found = []
        cdef int b
        for b in range(LATENCY_BINS):
            found.append(((word_load(&r.bins[b]) >> PENDING_BITS) / <double>CALL_SCALE, *steps_of(word_load(&r.steps[b]))))
        return found
