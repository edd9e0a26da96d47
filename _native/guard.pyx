"""One fused guard for the calls to one service: admission, endpoint choice, evidence, reflexes.

All state of a guard is one flat buffer of int64 words (structs in state.h), in this order:

    edge       geometry and what every call changes                                        struct edge
    counters   totals, one cache line a worker                                             struct counters * workers
    in flight  calls under way: of the edge, then of every endpoint; a word a worker       int64 * workers * (1 + endpoints)
    endpoint   one record each: totals, evidence, latency                                  struct endpoint * endpoints
    counts     HDR counts of successful calls' latency, 1 us to 60 s, two digits           int64 * counters
    events     ring of EVENTS_MAX rows of EVENT_WORDS words                                int64
    standings  policy, breaker, orders, states of endpoints: two a worker, one in force    struct standing * 2 * workers

Offsets only, no pointers and no Python objects: the same words may be private, or mapped by many processes (`memory`).
state.h says how they stay right without a lock, whoever is killed when.

The parts are one header each, in the order of their use: admit.h (gcra.h, retry.h, deadline.h, limit.h, sides.h, balance.h),
settle.h (evidence.h, endpoint.h, breaker.h with window.h, probes.h, penalty.h), draft.h, orders.h, retune.h, lapse.h,
events.h. This file is their Python face and checks what comes from outside. A call costs two clock reads, admission and
settlement; `answered()` is a third, and only the admission that makes a signal effective reads once more.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.long cimport PyLong_AsUnsignedLongLongMask
from cpython.number cimport PyIndex_Check, PyNumber_Index
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_REFCNT
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset

cdef extern from "<stdlib.h>":
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from "python.h":
    ctypedef int (*sender)(PyObject *, PyObject *, PyObject **) noexcept
    void give_send(PyTypeObject *type, sender send)
    void drop_before_free(PyTypeObject *type, int (*settled)(PyObject *) noexcept, void (*drop)(PyObject *) noexcept)

include "core.pxi"
include "arguments.pxi"
include "clock.pxi"
include "words.pxi"
include "memory.pxi"
include "names.pxi"

cdef int64_t ENDPOINTS_MAX = 4096

include "policy.pxi"
include "layout.pxi"
include "permit.pxi"
include "describe.pxi"
include "draw.pxi"


@cython.final
@cython.no_gc_clear  # permits outlive what the collector would clear
cdef class Guard:
    """Admission and evidence for the calls of this process to one service."""

    cdef seat seat
    cdef int shared
    cdef Py_ssize_t length
    cdef Py_buffer *mapped  # on the heap, out of the collector's sight: it would clear a view that is in use here
    cdef Py_buffer *left  # of a memory that was left while somebody looked at its words
    cdef Py_ssize_t views
    cdef void *private
    cdef void *own  # what this process draws endpoints from
    cdef readonly str name
    cdef public object ring
    cdef Refusal refused  # the last ones, used again where nobody else holds them
    cdef Given given

    def __cinit__(
        self, *, endpoints=0, sites=None, local=None, seed=1, memory=None, worker=0, workers=1, name="guarded call", **policy_fields
    ):
        cdef int64_t[64] fields
        cdef Py_ssize_t k
        cdef int64_t count = integer(endpoints, "endpoints", 0, ENDPOINTS_MAX)
        cdef int64_t places = integer(workers, "workers", 1, WORKERS_MAX)
        cdef int64_t mine = integer(worker, "worker", 0, places - 1)
        cdef edge wanted = geometry(count, places)
        if isinstance(seed, bool) or not PyIndex_Check(seed):
            raise TypeError(f"seed must be an int, not {type(seed).__name__}")
        for k, field in enumerate(POLICY):
            fields[k] = field[1]
        policy_take(fields, policy_fields)
        if (<policy *>fields).rate_burst > retune_burst_max(<policy *>fields):
            policy_refuse(<policy *>fields)
        self.name = name
        self.given = Given.__new__(Given)
        self.length = wanted.words
        if memory is None:
            if posix_memalign(&self.private, 64, self.length * sizeof(int64_t)):
                raise MemoryError
            self.seat.g = <edge *>self.private
            self.seat.g.layout = 0
        else:
            self.map(memory)
        if word_load(&self.seat.g.layout) == 0:
            lay_out(self.seat.g, &wanted, <policy *>fields)
        elif not laid_out(self.seat.g, &wanted):
            raise ValueError(
                f"memory holds a guard of another layout than {count} endpoints and {places} workers in version {LAYOUT}"
            )
        self.shared = THREADS or places > 1
        self.seat.worker = mine
        self.seat.counters = state_counters(self.seat.g, mine)
        self.seat.random = random_seeded(PyLong_AsUnsignedLongLongMask(PyNumber_Index(seed)) + mine)
        self.seat.events_read = self.seat.events_told = word_load(&self.seat.g.events_written)
        self.own = draw_from(&self.seat, sites, local)
        if self.mapped != NULL:
            reclaim(&self.seat, mine, clock_now_ns())  # of whoever had this place before and died

    cdef int map(self, object memory) except -1:
        """Use the words of `memory`, as long as this guard lives."""
        self.mapped = map_words(memory, self.length)
        self.seat.g = <edge *>self.mapped.buf
        return 0

    def leave(self):
        cdef void *copy
        cdef Py_ssize_t k
        cdef int64_t current
        if self.mapped == NULL:
            return
        if posix_memalign(&copy, 64, self.length * sizeof(int64_t)):
            raise MemoryError
        while True:
            current = word_load(&self.seat.g.current)
            for k in range(self.length):
                (<int64_t *>copy)[k] = word_load(<int64_t *>self.seat.g + k)
            if state_still(1, self.seat.g, current):  # else a standing was rewritten under our eyes
                break
        (<edge *>copy).current = current
        self.private = copy
        self.seat.g = <edge *>copy
        self.seat.counters = state_counters(self.seat.g, self.seat.worker)
        self.seat.era += 1
        draw_by(&self.seat)
        alone(&self.seat, clock_now_ns())
        if self.views:
            self.left = self.mapped
        else:
            unmap_words(self.mapped)
        self.mapped = NULL

    @property
    def is_shared(self):
        return self.mapped != NULL

    @staticmethod
    def words(endpoints, workers, /):
        return geometry(
            integer(endpoints, "endpoints", 0, ENDPOINTS_MAX), integer(workers, "workers", 1, WORKERS_MAX)
        ).words

    def __dealloc__(self):
        free(self.private)
        free(self.own)
        unmap_words(self.mapped)
        unmap_words(self.left)

    def __getbuffer__(self, Py_buffer *view, int flags):
        show_words(view, self, <int64_t *>self.seat.g, &self.length, flags)
        self.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.views -= 1
        if not self.views:
            unmap_words(self.left)
            self.left = NULL

    @property
    def buffer(self):
        return memoryview(self)

    cdef inline object answer(self, const ask *asked):
        cdef ticket t
        cdef refusal why
        cdef Permit permit
        cdef Refusal refused
        if admit(1, &self.seat, asked, &t, &why) if self.shared else admit(THREADS, &self.seat, asked, &t, &why):
            permit = Permit.__new__(Permit)
            permit.guard = self
            permit.ticket = t
            return permit
        refused = self.refused
        if THREADS or refused is None or Py_REFCNT(refused) > 2:  # somebody looks at the last one: it stays as it is
            refused = self.refused = Refusal.__new__(Refusal)
        refused.why = why
        return refused

    def try_acquire(self):
        cdef ask asked = ask(FIRST, -1, _DEFAULT, NEVER)
        return self.answer(&asked)

    def try_acquire_for(self, priority, deadline_ns, /):
        cdef ask asked = ask(FIRST, -1, _DEFAULT, NEVER)
        asked.priority = integer(priority, "priority", _CRITICAL, _SHEDDABLE)
        if deadline_ns is not None:
            asked.deadline_ns = integer(deadline_ns, "deadline_ns", 0, CLOCK_MAX_NS)
        return self.answer(&asked)

    def try_again(self, avoid, /):
        cdef ask asked = ask(AGAIN, self.index(avoid, "avoid", -1), _DEFAULT, NEVER)
        return self.answer(&asked)

    def try_redrive(self, avoid, /):
        cdef ask asked = ask(REDRIVE, self.index(avoid, "avoid", -1), _DEFAULT, NEVER)
        return self.answer(&asked)

    def acquire(self):
        cdef ask asked = ask(FIRST, -1, _DEFAULT, NEVER)
        answer = self.answer(&asked)
        if type(answer) is Permit:
            return answer
        raise Refused(self.name, (<Refusal>answer).part, (<Refusal>answer).why.retry_after_ns / 1e9)

    def observe(self, endpoint, outcome, latency_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1 if not self.seat.g.endpoints else 0)
        cdef int64_t ended = integer(outcome, "outcome", _SUCCESS, _STALLED)
        return observe(&self.seat, i, ended, integer(latency_ns, "latency_ns", 0, DURATION_MAX_NS))

    cdef int64_t index(self, object value, str name, int64_t low) except? -1:
        """`value` as the index of an endpoint; -1, where it is allowed, means the edge or none."""
        cdef int64_t number = wide(value, name)
        if number < low or number >= self.seat.g.endpoints:
            raise IndexError(f"{name} must be between {low} and {self.seat.g.endpoints - 1}, not {value}")
        return number

    cdef int64_t up_to_date(self) noexcept:
        """Now, with everything that has lapsed by now lapsed."""
        cdef int64_t now = clock_now_ns(), current
        lapse(&self.seat, now, &current)
        return now

    def eject(self, endpoint, lease_ns, signal_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        order_eject(&self.seat, i, self.up_to_date(), a_lease(lease_ns), a_signal(signal_ns))

    def probe(self, endpoint, lease_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        cdef int64_t lease = a_lease(lease_ns)
        if i < 0:
            order_probe_edge(&self.seat, self.up_to_date(), lease)
        else:
            order_probe(&self.seat, i, self.up_to_date(), lease)

    def weigh(self, endpoint, percent, lease_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        cdef int64_t share = integer(percent, "percent", 0, 100)
        cdef int64_t lease = a_lease(lease_ns)
        if i < 0:
            order_weigh_edge(&self.seat, self.up_to_date(), share, lease)
        else:
            order_weigh(&self.seat, i, self.up_to_date(), share, lease)

    def isolate(self, lease_ns, signal_ns, /):
        order_isolate(&self.seat, self.up_to_date(), a_lease(lease_ns), a_signal(signal_ns))

    def limit(self, concurrency, lease_ns, signal_ns, /):
        cdef int64_t calls = integer(concurrency, "concurrency", 1, COUNT_MAX)
        order_limit(&self.seat, self.up_to_date(), calls, a_lease(lease_ns), a_signal(signal_ns))

    cdef int side(self, int64_t part, int64_t value, int64_t with_, object lease_ns, object signal_ns) except -1:
        order_side(&self.seat, part, value, with_, self.up_to_date(), a_lease(lease_ns), a_signal(signal_ns))
        return 0

    def fail_over(self, percent, lease_ns, signal_ns, /):
        self.side(_PART_FAIL_OVER, integer(percent, "percent", 1, 100), 0, lease_ns, signal_ns)

    def cap_retries(self, percent, lease_ns, signal_ns, /):
        self.side(_PART_CAP_RETRIES, integer(percent, "percent", 0, 100), 0, lease_ns, signal_ns)

    def shed(self, keep_priority, percent, lease_ns, signal_ns, /):
        cdef int64_t keep = integer(keep_priority, "keep_priority", _CRITICAL, _DEFAULT)
        self.side(_PART_SHED, integer(percent, "percent", 1, 100), keep, lease_ns, signal_ns)

    def tighten(self, deadline_ns, lease_ns, signal_ns, percent=100, /):
        cdef int64_t share = integer(percent, "percent", 1, 100)
        self.side(_PART_TIGHTEN, integer(deadline_ns, "deadline_ns", 1, DURATION_MAX_NS), share, lease_ns, signal_ns)

    def close(self, percent, lease_ns, signal_ns, /):
        self.side(_PART_CLOSE, integer(percent, "percent", 1, 100), 0, lease_ns, signal_ns)

    def harden(self, percent, lease_ns, signal_ns, /):
        self.side(_PART_HARDEN, integer(percent, "percent", 1, 100), 0, lease_ns, signal_ns)

    def door(self):
        return admit_door(&self.seat)

    def deadline_ns(self):
        return admit_deadline_ns(&self.seat)

    def restore_part(self, endpoint, part, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        cdef int64_t which = integer(part, "part", 1, PARTS_END - 1)
        if i >= 0:
            raise ValueError(f"side orders are about the edge (-1), not about endpoint {i}")
        self.up_to_date()
        order_restore_side(&self.seat, which)

    def restore(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        if i < 0:
            order_restore_edge(&self.seat, self.up_to_date())
        else:
            order_restore(&self.seat, i, self.up_to_date())

    def enforce(self, on, /):
        order_enforce(&self.seat, self.up_to_date(), switch(on, "on"))

    def retune(self, **changes):
        cdef int64_t[64] fields
        cdef uint64_t taken = policy_take(fields, changes)
        if not retune(&self.seat, self.up_to_date(), <policy *>fields, taken):
            policy_refuse(<policy *>fields)

    def policy(self):
        return policy_dict(&self.seat)

    def set_slow_ns(self, slow_ns, /):
        retune_slow_ns(&self.seat, integer(slow_ns, "slow_ns", 0, DURATION_MAX_NS))

    def set_failure_ppm(self, failure_ppm, /):
        retune_failure_share(&self.seat, integer(failure_ppm, "failure_ppm", 0, 1_000_000) / 1e6)

    def reclaim(self, worker, /):
        cdef int64_t gone = integer(worker, "worker", 0, self.seat.g.workers - 1)
        if gone == self.seat.worker and self.mapped != NULL:
            raise ValueError(f"worker {gone} is this process itself, and is not gone")
        reclaim(&self.seat, gone, clock_now_ns())

    def drain(self, out, /):
        cdef Py_buffer view
        PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            if view.itemsize != sizeof(int64_t) or view.format == NULL or view.format[0] not in b"ql":
                raise TypeError("out must hold int64")
            return event_drain(&self.seat, self.up_to_date(), <int64_t *>view.buf, view.len // 8 // _EVENT_WORDS)
        finally:
            PyBuffer_Release(&view)

    @property
    def events_lost(self):
        return event_lost(&self.seat)

    @property
    def in_flight(self):
        return state_flying(self.seat.g, -1)

    cdef const standing *in_force(self) noexcept:
        """The standing as of now."""
        cdef int64_t current
        return lapse(&self.seat, clock_now_ns(), &current)

    def is_open(self):
        return admit_would_refuse(self.in_force()) != 0

    def may_retry(self):
        cdef int64_t now = self.up_to_date()
        return admit_would_retry(&self.seat, self.in_force(), now) != 0

    def is_ejected(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        return state_place(self.in_force(), i).state == _EJECTED

    def is_kept(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        return spared_from(self.seat.g, self.in_force(), i, clock_now_ns()) != 0

    def endpoint(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        return endpoint_dict(self.seat.g, i, state_place(self.in_force(), i))

    def describe(self):
        return edge_dict(&self.seat)

    def refusals(self):
        return {REASONS[i]: self.seat.g.refused_by[i] for i in range(1, REASONS_END)}

    def shadow_refusals(self):
        return {REASONS[i]: self.seat.g.shadowed_by[i] for i in range(1, REASONS_END)}

    def latency_counts(self):
        cdef int64_t at = self.seat.g.counts_at
        counts = memoryview(self)[at:at + self.seat.g.hdr.counters]
        return counts, <int64_t>LATENCY_LOWEST_NS, LATENCY_HIGHEST_NS, <int64_t>LATENCY_DIGITS

    def latency_sum(self):
        return latency_totals(self.seat.g)

    def latency_quantile_ns(self, permille, /):
        return hdr_quantile(&self.seat.g.hdr, state_counts(self.seat.g), integer(permille, "permille", 0, 1000))

    def latency_reset(self):
        memset(state_counts(self.seat.g), 0, self.seat.g.hdr.counters * sizeof(int64_t))
