"""A concurrency limit that adapts to what the service bears; the algorithm is in adaptive.h.

Its state is a few words, private to this object or in memory that processes share.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "clock.h":
    int64_t CLOCK_MAX_NS

cdef extern from "adaptive.h":
    """
    /* `shared` is a constant where the code is inlined, so private memory pays for no lock prefix */
    static void adaptive_learn_private(struct adaptive *a, const struct adaptive_policy *p, int64_t start_ns,
                                       int64_t now_ns, int64_t latency_ns, int64_t outcome, int64_t in_flight) {
        adaptive_learn(THREADS, a, p, start_ns, now_ns, latency_ns, outcome, in_flight);
    }
    static void adaptive_learn_shared(struct adaptive *a, const struct adaptive_policy *p, int64_t start_ns,
                                      int64_t now_ns, int64_t latency_ns, int64_t outcome, int64_t in_flight) {
        adaptive_learn(1, a, p, start_ns, now_ns, latency_ns, outcome, in_flight);
    }
    """
    struct adaptive:
        int64_t base_ns, latency_ns, noise_ppm, checking, windows, cuts, rises
    struct adaptive_policy:
        int64_t limit_min, limit_max, limit_initial, window_ns, samples_min, slack_percent, check_ns
    int64_t ADAPTIVE_LIMIT_MAX
    int64_t SUCCESS, STALLED
    void adaptive_begin(adaptive *a, const adaptive_policy *p, int64_t now_ns)
    int64_t adaptive_limit(const adaptive *a)
    void adaptive_retune(int shared, adaptive *a, const adaptive_policy *p)
    void adaptive_learn_private(adaptive *a, const adaptive_policy *p, int64_t start_ns, int64_t now_ns,
                                int64_t latency_ns, int64_t outcome, int64_t in_flight)
    void adaptive_learn_shared(adaptive *a, const adaptive_policy *p, int64_t start_ns, int64_t now_ns,
                               int64_t latency_ns, int64_t outcome, int64_t in_flight)

include "arguments.pxi"
include "memory.pxi"

# word 0 of shared memory: what lies there, in which version
cdef int64_t LAYOUT = (<int64_t>0x41444150 << 16) | 1
cdef int64_t WORDS = 1 + sizeof(adaptive) // sizeof(int64_t)
cdef int64_t MILLISECOND_NS = 1000000
cdef int64_t HOUR_NS = 3600 * 1000 * MILLISECOND_NS


cdef adaptive_policy policy_of(limit_min, limit_max, limit_initial, window_ns, samples_min, slack_percent,
                               check_ns) except *:
    cdef adaptive_policy p
    p.limit_max = integer(limit_max, "limit_max", 1, ADAPTIVE_LIMIT_MAX)
    p.limit_min = integer(limit_min, "limit_min", 1, p.limit_max)
    p.limit_initial = integer(limit_initial, "limit_initial", p.limit_min, p.limit_max)
    p.window_ns = integer(window_ns, "window_ns", MILLISECOND_NS, HOUR_NS)
    p.samples_min = integer(samples_min, "samples_min", 8, 256)
    p.slack_percent = integer(slack_percent, "slack_percent", 10, 1000)
    p.check_ns = integer(check_ns, "check_ns", 10 * MILLISECOND_NS, 24 * HOUR_NS)
    return p


@cython.final
@cython.no_gc
cdef class AdaptiveLimit:
    """How many calls a service can bear at a time, learned from how they end."""

    cdef adaptive *state
    cdef adaptive own
    cdef adaptive_policy policy
    cdef Py_buffer *mapped  # on the heap, out of the collector's sight
    cdef bint shared

    def __cinit__(
        self, now_ns, *, limit_min=1, limit_max=1000, limit_initial=20, window_ns=100_000_000, samples_min=48,
        slack_percent=150, check_ns=10_000_000_000, memory=None
    ):
        cdef int64_t *words
        cdef int64_t now = integer(now_ns, "now_ns", 0, CLOCK_MAX_NS)
        self.policy = policy_of(
            limit_min, limit_max, limit_initial, window_ns, samples_min, slack_percent, check_ns
        )
        self.state = &self.own
        if memory is None:
            adaptive_begin(self.state, &self.policy, now)
            return
        self.mapped = map_words(memory, WORDS)
        words = <int64_t *>self.mapped.buf
        if words[0] == 0:
            memset(words, 0, WORDS * sizeof(int64_t))
            adaptive_begin(<adaptive *>(words + 1), &self.policy, now)
            words[0] = LAYOUT
        elif words[0] != LAYOUT:
            raise ValueError(f"memory must be fresh or an adaptive limit of layout {LAYOUT:#x}, not {words[0]:#x}")
        self.state = <adaptive *>(words + 1)
        self.shared = 1

    def __dealloc__(self):
        unmap_words(self.mapped)

    @staticmethod
    def words():
        return WORDS

    @property
    def limit(self):
        return adaptive_limit(self.state)

    def learn(self, start_ns, now_ns, latency_ns, outcome, in_flight, /):
        cdef int64_t now = integer(now_ns, "now_ns", 0, CLOCK_MAX_NS)
        cdef int64_t start = integer(start_ns, "start_ns", 0, now)
        cdef int64_t latency = integer(latency_ns, "latency_ns", 0, CLOCK_MAX_NS)
        cdef int64_t kind = integer(outcome, "outcome", SUCCESS, STALLED)
        cdef int64_t busy = integer(in_flight, "in_flight", 1, 1 << 32)
        if self.shared:
            adaptive_learn_shared(self.state, &self.policy, start, now, latency, kind, busy)
        else:
            adaptive_learn_private(self.state, &self.policy, start, now, latency, kind, busy)

    def retune(self, *, limit_min=None, limit_max=None, limit_initial=None, window_ns=None, samples_min=None,
               slack_percent=None, check_ns=None):
        cdef adaptive_policy p = self.policy
        self.policy = policy_of(
            p.limit_min if limit_min is None else limit_min,
            p.limit_max if limit_max is None else limit_max,
            p.limit_initial if limit_initial is None else limit_initial,
            p.window_ns if window_ns is None else window_ns,
            p.samples_min if samples_min is None else samples_min,
            p.slack_percent if slack_percent is None else slack_percent,
            p.check_ns if check_ns is None else check_ns,
        )
        adaptive_retune(1, self.state, &self.policy)

    def describe(self):
        return {
            "limit": adaptive_limit(self.state),
            "base_ns": self.state.base_ns,
            "latency_ns": self.state.latency_ns,
            "noise_ppm": self.state.noise_ppm,
            "checking": self.state.checking,
            "windows": self.state.windows,
            "cuts": self.state.cuts,
            "rises": self.state.rises,
        }
