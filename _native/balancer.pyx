# cython: freethreading_compatible=True
"""Endpoint choice by itself: the better of two random endpoints, of those that may be drawn.

The words of a balancer, in this order; private, or mapped by many processes (`memory`):

    header     layout number, version                                  8 words
    in flight  calls under way, a word for each endpoint and worker    int64 * endpoints * workers
    latency    peak-EWMA and its time in one word (cost.h)             int64 * endpoints
    health     weight, percent, ejection, recovery (balancer.h)        struct health * endpoints

What each process keeps for itself is the table that it draws from (route.h, alias.h). This file is the Python face and
checks what comes from outside; balancer.h says how the words stay right without a lock.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.long cimport PyLong_AsUnsignedLongLongMask
from cpython.number cimport PyIndex_Check, PyNumber_Index
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "<stdlib.h>":
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from "state.h":
    enum: THREADS
    int64_t WORKERS_MAX, NEVER

cdef extern from "atomic.h":
    int64_t word_load(const int64_t *word)
    void word_store(int64_t *word, int64_t value)

cdef extern from "random.h":
    int64_t random_seeded(uint64_t seed)

cdef extern from "balancer.h":
    int64_t CLOCK_MAX_NS, clock_test_ns
    int64_t clock_now_ns()
    int64_t ROUTE_SITES_MAX, ROUTE_LEVELS_MAX, ROUTE_LOCALITIES_MAX, ROUTE_WEIGHT_MAX, ROUTE_OVERPROVISION_MAX
    int64_t ROUTE_ONE, COST_LATENCY_MAX_NS, BALANCER_HEADER_WORDS
    int64_t slow_start_percent(int64_t age_ns, int64_t window_ns)
    int64_t slow_start_next_ns(int64_t age_ns, int64_t window_ns)
    int64_t cost_ewma_ns(int64_t word)
    int64_t cost_learnt(int64_t word, int64_t now_ns, int64_t latency_ns)
    int cost_second_wins(int64_t first, int64_t first_load, int64_t second, int64_t second_load)
    int64_t route_scratch_words(int64_t n, int64_t levels, int64_t localities)
    struct site:
        int64_t priority, locality, percent
    struct route_policy:
        int64_t levels, localities, overprovision_percent, panic_percent, local, local_percent, fail_over_percent
    struct route:
        int64_t drawable, panic
        int64_t *load
    struct health:
        int64_t weight, percent, usable, until_ns, since_ns, passed
    struct pick:
        int64_t endpoints, workers
        const int64_t *in_flight
        const int64_t *latency
        int64_t latency_step
        site *sites
        int64_t *table
        int64_t *burden
        int64_t *scratch
        int64_t random
        route_policy policy
        route route
    struct balancer:
        int64_t *version
        int64_t *in_flight
        int64_t *latency
        health *health
        int64_t worker, ejected_percent_max, slow_start_ns
        pick pick
        int64_t built, due_ns
    int64_t pick_flying(const pick *p, int64_t i)
    void balancer_turn(balancer *b, int64_t now_ns)
    int balancer_is_due(const balancer *b)
    int64_t balancer_pick(int shared, balancer *b, int64_t avoid)
    int balancer_ended(int shared, balancer *b, int64_t i)
    void balancer_done(balancer *b, int64_t i, int64_t latency_ns)
    int balancer_eject(balancer *b, int64_t i, int64_t until_ns)
    void balancer_recovered(balancer *b, int64_t i)
    void balancer_reclaim(balancer *b, int64_t worker)
    void balancer_changed(balancer *b)

include "arguments.pxi"
include "words.pxi"
include "memory.pxi"

ENDPOINTS_MAX, LEVELS_MAX, LOCALITIES_MAX = ROUTE_SITES_MAX, ROUTE_LEVELS_MAX, ROUTE_LOCALITIES_MAX
WEIGHT_MAX = ROUTE_WEIGHT_MAX

cdef int64_t LAYOUT = 1  # of the words; raise it with every change
cdef uint64_t MARK_PRIME = 0x100000001B3  # of FNV-1a
cdef int64_t DURATION_MAX_NS = 1_000_000_000_000_000  # 11.5 days
cdef int64_t HEALTH_WORDS = sizeof(health) // sizeof(int64_t)
cdef object NONE = -1  # what a pick says where there is no endpoint


def set_test_clock(now_ns, /):
    global clock_test_ns
    clock_test_ns = integer(now_ns, "now_ns", -1, CLOCK_MAX_NS)


def ramp_percent(age_ns, window_ns, /):
    return slow_start_percent(
        integer(age_ns, "age_ns", 0, DURATION_MAX_NS), integer(window_ns, "window_ns", 1, DURATION_MAX_NS)
    )


def ramp_next_ns(age_ns, window_ns, /):
    cdef int64_t window = integer(window_ns, "window_ns", 1, DURATION_MAX_NS)
    return slow_start_next_ns(integer(age_ns, "age_ns", 0, window - 1), window)


cdef int64_t line(int64_t words) noexcept:
    """`words`, rounded up to whole cache lines."""
    return (words + 7) // 8 * 8


cdef int64_t words_of(int64_t endpoints, int64_t workers) noexcept:
    return BALANCER_HEADER_WORDS + line(endpoints * workers) + line(endpoints) + line(endpoints * HEALTH_WORDS)


@cython.final
@cython.no_gc
cdef class Balancer:
    """Chooses the endpoint of each call; see balancer.pyi."""

    cdef balancer b
    cdef int shared
    cdef tuple indices  # the answers, made once: a pick allocates nothing
    cdef int64_t *memory
    cdef void *private
    cdef void *own
    cdef Py_buffer *mapped  # on the heap, out of the collector's sight
    cdef Py_ssize_t length

    def __cinit__(
        self, sites, *, seed=1, memory=None, worker=0, workers=1, overprovision_percent=140, panic_percent=50,
        local=None, local_percent=0, fail_over_percent=0, ejected_percent_max=10, slow_start_ns=10_000_000_000,
    ):
        cdef balancer *b = &self.b
        cdef int64_t n, i, scratch
        cdef object rows = [tuple(site) for site in sites]
        n = b.pick.endpoints = integer(len(rows), "the number of sites", 1, ROUTE_SITES_MAX)
        b.pick.workers = integer(workers, "workers", 1, WORKERS_MAX)
        b.worker = integer(worker, "worker", 0, b.pick.workers - 1)
        b.pick.policy.overprovision_percent = integer(
            overprovision_percent, "overprovision_percent", 100, ROUTE_OVERPROVISION_MAX
        )
        b.pick.policy.panic_percent = integer(panic_percent, "panic_percent", 0, 100)
        b.pick.policy.local = -1 if local is None else integer(local, "local", 0, ROUTE_LOCALITIES_MAX - 1)
        b.pick.policy.local_percent = integer(local_percent, "local_percent", 0, 100)
        b.pick.policy.fail_over_percent = integer(fail_over_percent, "fail_over_percent", 0, 100)
        b.ejected_percent_max = integer(ejected_percent_max, "ejected_percent_max", 0, 100)
        b.slow_start_ns = integer(slow_start_ns, "slow_start_ns", 0, DURATION_MAX_NS)
        if isinstance(seed, bool) or not PyIndex_Check(seed):
            raise TypeError(f"seed must be an int, not {type(seed).__name__}")
        b.pick.random = random_seeded(PyLong_AsUnsignedLongLongMask(PyNumber_Index(seed)) + b.worker)
        for i, row in enumerate(rows):
            if len(row) != 3:
                raise ValueError(f"sites[{i}] must be (weight, priority, locality), not {row}")
            integer(row[0], f"sites[{i}] weight", 1, ROUTE_WEIGHT_MAX)
            b.pick.policy.levels = max(b.pick.policy.levels, 1 + integer(row[1], f"sites[{i}] priority", 0, ROUTE_LEVELS_MAX - 1))
            b.pick.policy.localities = max(
                b.pick.policy.localities, 1 + integer(row[2], f"sites[{i}] locality", 0, ROUTE_LOCALITIES_MAX - 1)
            )
        scratch = route_scratch_words(n, b.pick.policy.levels, b.pick.policy.localities)
        self.own = calloc(n * (2 + sizeof(site) // sizeof(int64_t)) + scratch, sizeof(int64_t))
        if self.own == NULL:
            raise MemoryError
        b.pick.table = <int64_t *>self.own
        b.pick.burden = b.pick.table + n
        b.pick.sites = <site *>(b.pick.burden + n)
        b.pick.scratch = <int64_t *>(b.pick.sites + n)
        for i, row in enumerate(rows):
            b.pick.sites[i].priority, b.pick.sites[i].locality = row[1], row[2]
        self.indices = tuple(range(n))
        self.length = words_of(n, b.pick.workers)
        self.shared = THREADS or b.pick.workers > 1
        self.take(memory, rows)

    cdef int take(self, object memory, list rows) except -1:
        """Use the words of `memory`, as long as this balancer lives, or words of its own."""
        cdef balancer *b = &self.b
        cdef int64_t layout = self.mark(), i
        if memory is None:
            if posix_memalign(&self.private, 64, self.length * sizeof(int64_t)):
                raise MemoryError
            self.memory = <int64_t *>self.private
            self.memory[0] = 0
        else:
            self.mapped = map_words(memory, self.length)
            self.memory = <int64_t *>self.mapped.buf
        b.version = self.memory + 1
        b.in_flight = self.memory + BALANCER_HEADER_WORDS
        b.latency = b.in_flight + line(b.pick.endpoints * b.pick.workers)
        b.pick.in_flight, b.pick.latency, b.pick.latency_step = b.in_flight, b.latency, 1
        b.health = <health *>(b.latency + line(b.pick.endpoints))
        if word_load(self.memory) == 0:
            memset(self.memory, 0, self.length * sizeof(int64_t))
            for i in range(b.pick.endpoints):
                b.health[i].weight, b.health[i].percent, b.health[i].usable = rows[i][0], 100, 1
            word_store(self.memory, layout)
        elif word_load(self.memory) != layout:
            raise ValueError(
                f"memory holds number {word_load(self.memory)}, not {layout}: a balancer of {b.pick.endpoints} endpoints with "
                f"these priorities and localities, {b.pick.workers} workers, in version {LAYOUT}"
            )
        b.built = word_load(b.version) - 1
        return 0

    cdef int64_t mark(self) noexcept:
        """The number that says kind, version and geometry: what the workers of one host must agree on."""
        cdef uint64_t number = 0x62616C
        cdef int64_t i
        for i in (LAYOUT, HEALTH_WORDS, self.b.pick.endpoints, self.b.pick.workers):
            number = (number ^ <uint64_t>i) * MARK_PRIME
        for i in range(self.b.pick.endpoints):
            number = (number ^ <uint64_t>(self.b.pick.sites[i].priority << 8 | self.b.pick.sites[i].locality)) * MARK_PRIME
        return <int64_t>(number >> 1) | 1

    def __dealloc__(self):
        free(self.private)
        free(self.own)
        unmap_words(self.mapped)

    @staticmethod
    def words(endpoints, workers, /):
        return words_of(
            integer(endpoints, "endpoints", 1, ROUTE_SITES_MAX), integer(workers, "workers", 1, WORKERS_MAX)
        )

    def __getbuffer__(self, Py_buffer *view, int flags):
        show_words(view, self, self.b.pick.table, <Py_ssize_t *>&self.b.pick.endpoints, flags)

    cdef inline void up_to_date(self) noexcept:
        if balancer_is_due(&self.b):
            self.turn()

    cdef void turn(self) noexcept:
        with cython.critical_section(self):  # where threads run at once, one of them writes the table
            balancer_turn(&self.b, clock_now_ns())

    cdef inline object answer(self, int64_t avoid):
        cdef int64_t i
        self.up_to_date()
        i = balancer_pick(1, &self.b, avoid) if self.shared else balancer_pick(THREADS, &self.b, avoid)
        if i < 0:
            return NONE
        return <object>PyTuple_GET_ITEM(self.indices, i)

    cdef int64_t index(self, object value) except -1:
        cdef int64_t number = wide(value, "endpoint")
        if number < 0 or number >= self.b.pick.endpoints:
            raise IndexError(f"endpoint must be between 0 and {self.b.pick.endpoints - 1}, not {value}")
        return number

    def pick(self):
        return self.answer(-1)

    def pick_avoiding(self, endpoint, /):
        return self.answer(self.index(endpoint))

    cdef inline bint ended(self, int64_t i) noexcept:
        return balancer_ended(1, &self.b, i) if self.shared else balancer_ended(THREADS, &self.b, i)

    def done(self, endpoint, latency_ns, /):
        cdef int64_t i = self.index(endpoint)
        cdef int64_t latency = integer(latency_ns, "latency_ns", 0, CLOCK_MAX_NS)
        if not self.ended(i):
            return 0
        balancer_done(&self.b, i, latency)
        return 1

    def failed(self, endpoint, /):
        cdef int64_t i = self.index(endpoint)
        if not self.ended(i):
            return 0
        word_store(&self.b.health[i].passed, 0)
        return 1

    def cancelled(self, endpoint, /):
        return <int>self.ended(self.index(endpoint))

    def set_weight(self, endpoint, weight, /):
        cdef int64_t i = self.index(endpoint)
        word_store(&self.b.health[i].weight, integer(weight, "weight", 1, ROUTE_WEIGHT_MAX))
        balancer_changed(&self.b)

    def set_percent(self, endpoint, percent, /):
        cdef int64_t i = self.index(endpoint)
        word_store(&self.b.health[i].percent, integer(percent, "percent", 0, 100))
        balancer_changed(&self.b)

    def set_usable(self, endpoint, usable, /):
        cdef int64_t i = self.index(endpoint)
        word_store(&self.b.health[i].usable, switch(usable, "usable"))
        balancer_changed(&self.b)

    def eject(self, endpoint, until_ns, /):
        return balancer_eject(&self.b, self.index(endpoint), integer(until_ns, "until_ns", 0, CLOCK_MAX_NS))

    def recovered(self, endpoint, /):
        balancer_recovered(&self.b, self.index(endpoint))

    def reclaim(self, worker, /):
        cdef int64_t gone = integer(worker, "worker", 0, self.b.pick.workers - 1)
        if gone == self.b.worker and self.b.pick.workers > 1:
            raise ValueError(f"worker {gone} is this process itself, and is not gone")
        balancer_reclaim(&self.b, gone)

    @property
    def table(self):
        self.up_to_date()
        return memoryview(self)

    def endpoint(self, endpoint, /):
        cdef int64_t i = self.index(endpoint)
        self.up_to_date()
        return {
            "weight": self.b.health[i].weight,
            "percent": self.b.pick.sites[i].percent,
            "usable": <int>self.b.health[i].usable,
            "until_ns": self.b.health[i].until_ns,
            "in_flight": pick_flying(&self.b.pick, i),
            "ewma_ns": cost_ewma_ns(self.b.latency[i]),
        }

    def describe(self):
        cdef int64_t k, flying = 0
        self.up_to_date()
        for k in range(self.b.pick.endpoints):
            flying += pick_flying(&self.b.pick, k)
        return {
            "endpoints": self.b.pick.endpoints,
            "drawable": self.b.pick.route.drawable,
            "in_flight": flying,
            "load_permille": [
                (self.b.pick.route.load[k] + ROUTE_ONE // 2000) // (ROUTE_ONE // 1000) for k in range(self.b.pick.policy.levels)
            ],
            "panic": [<int>(self.b.pick.route.panic >> k & 1) for k in range(self.b.pick.policy.levels)],
            "due_ns": None if self.b.due_ns == NEVER else self.b.due_ns,
        }
