"""One fused guard for the calls to one service: admission, endpoint choice, evidence, reflexes.

All state of a guard is one flat buffer of int64 words (structs in state.h), in this order:

    edge      header, policy, breaker, window buckets, rate, retry budget, orders, totals   struct edge
    endpoint  one record each: state, evidence, penalties, probe slots, latency             struct endpoint * endpoints
    counts    HDR counts of successful calls' latency, 1 us to 60 s, two digits             int64 * counters
    events    ring of EVENTS_MAX rows of EVENT_WORDS words                                  int64

Offsets only, no pointers and no Python objects: the same words can be mapped by another process. In this first form the
interpreter's lock makes every method atomic: none calls Python between its first read and its last write of the state.

The parts are one header each, in the order of their use: admit.h (rate.h, retry.h, balance.h), settle.h (evidence.h,
endpoint.h, breaker.h with window.h, probes.h, penalty.h), orders.h, lapse.h, events.h. This file is their Python face
and checks what comes from outside. A call costs two clock reads, admission and settlement; `answered()` is a third, and
only the admission that makes a signal effective reads once more.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.long cimport PyLong_AsUnsignedLongLongMask
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

include "core.pxi"
include "arguments.pxi"
include "words.pxi"

RATE, CONCURRENCY, OPEN, PROBING = _RATE, _CONCURRENCY, _OPEN, _PROBING
RETRY_BUDGET, NO_ENDPOINT, WEIGHT = _RETRY_BUDGET, _NO_ENDPOINT, _WEIGHT
REASONS = ("", "rate", "concurrency", "open", "probing", "retry_budget", "no_endpoint", "weight")
ERROR, TIMEOUT, OVERLOAD = _ERROR, _TIMEOUT, _OVERLOAD
ENDPOINT_TRIPPED, ENDPOINT_CAPPED = _ENDPOINT_TRIPPED, _ENDPOINT_CAPPED
ENDPOINT_PROBE_PASSED, ENDPOINT_PROBE_FAILED = _ENDPOINT_PROBE_PASSED, _ENDPOINT_PROBE_FAILED
EDGE_OPENED, EDGE_PROBE_PASSED, EDGE_PROBE_FAILED = _EDGE_OPENED, _EDGE_PROBE_PASSED, _EDGE_PROBE_FAILED
EFFECTIVE, LEASE_LAPSED = _EFFECTIVE, _LEASE_LAPSED
BY_CONSECUTIVE, BY_ERRORS, BY_SLOW = _BY_CONSECUTIVE, _BY_ERRORS, _BY_SLOW
BY_STALLED, BY_OVERLOAD = _BY_STALLED, _BY_OVERLOAD
EVENT_WORDS, EVENTS_MAX = _EVENT_WORDS, _EVENTS_MAX
HEALTHY, EJECTED, PROBATION = _HEALTHY, _EJECTED, _PROBATION

# Bounds: with times up to 2^62 ns no sum or product below leaves 63 bits.
cdef int64_t DURATION_MAX_NS = 1_000_000_000_000_000  # 11.5 days
cdef int64_t COUNT_MAX = 1_000_000_000
cdef int64_t ENDPOINTS_MAX = 4096
cdef int64_t BURST_SPAN_MAX_NS = <int64_t>1 << 61  # rate_burst * rate_interval_ns


def now_ns():
    return clock_now_ns()


def set_test_clock(now_ns, /):
    global clock_test_ns
    clock_test_ns = integer(now_ns, "now_ns", -1, CLOCK_MAX_NS)


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Refusal:
    """A falsy answer of `try_acquire`: which part refused, and when trying again makes sense."""

    cdef refusal why

    @property
    def reason(self):
        return self.why.reason

    @property
    def part(self):
        return REASONS[self.why.reason]

    @property
    def retry_after_ns(self):
        return self.why.retry_after_ns

    def __bool__(self):
        return False

    def __repr__(self):
        return f"Refusal({self.part}, retry_after_ns={self.why.retry_after_ns})"


@cython.final
@cython.no_gc  # a permit knows its guard, a guard knows no permit: there is no cycle to collect
@cython.freelist(64)
cdef class Permit:
    """A truthy answer of `try_acquire`: the right to make one call. Settle it exactly once."""

    cdef Guard guard
    cdef ticket ticket

    def __dealloc__(self):
        if self.guard is not None:
            settle_cancel(self.guard.edge, &self.ticket)

    @property
    def endpoint(self):
        return self.ticket.endpoint

    @property
    def start_ns(self):
        return self.ticket.start_ns

    @property
    def probe(self):
        return self.ticket.flags & (EDGE_PROBE | ENDPOINT_PROBE) != 0

    def answered(self):
        if self.guard is not None and not self.ticket.answered_ns:
            self.ticket.answered_ns = clock_now_ns()

    def success(self):
        return settle(self.guard.edge, &self.ticket, _SUCCESS) if self.guard is not None else 0

    def failure(self, kind, /):
        cdef int64_t outcome = integer(kind, "kind", _ERROR, _OVERLOAD)
        return settle(self.guard.edge, &self.ticket, outcome) if self.guard is not None else 0

    def cancel(self):
        if self.guard is None:
            return 0
        settle_cancel(self.guard.edge, &self.ticket)
        return event_tell(self.guard.edge)

    def stalled(self):
        return settle_overdue(self.guard.edge, &self.ticket) if self.guard is not None else 0

    def __bool__(self):
        return True

    def __repr__(self):
        return f"Permit(endpoint={self.ticket.endpoint}, start_ns={self.ticket.start_ns}, probe={self.probe})"


@cython.final
@cython.no_gc
cdef class Guard:
    """Admission and evidence for the calls of this process to one service."""

    cdef edge *edge
    cdef Py_ssize_t length

    def __cinit__(
        self, *, endpoints=0, seed=1, rate_interval_ns=0, rate_burst=1, concurrency_max=0, breaker_consecutive=0,
        window_ns=10_000_000_000, window_calls_min=20, failure_percent=50, slow_percent=0, slow_ns=0,
        open_ns=5_000_000_000, open_max_ns=300_000_000_000, probes_max=1, probe_successes=3,
        probe_timeout_ns=10_000_000_000, endpoint_consecutive=5, endpoint_evidence_mnat=13_800, eject_ns=5_000_000_000,
        eject_max_ns=300_000_000_000, ejected_percent_max=10, retry_percent=20, retry_floor_per_s=3, enforced=1,
    ):
        cdef policy p
        cdef int64_t count = integer(endpoints, "endpoints", 0, ENDPOINTS_MAX)
        if isinstance(seed, bool) or not PyIndex_Check(seed):
            raise TypeError(f"seed must be an int, not {type(seed).__name__}")
        p.rate_interval_ns = integer(rate_interval_ns, "rate_interval_ns", 0, DURATION_MAX_NS)
        p.rate_burst = integer(rate_burst, "rate_burst", 1, COUNT_MAX)
        if p.rate_interval_ns and p.rate_burst > BURST_SPAN_MAX_NS // p.rate_interval_ns:
            raise ValueError(
                f"rate_burst must be between 1 and {BURST_SPAN_MAX_NS // p.rate_interval_ns} "
                f"for this rate_interval_ns, not {p.rate_burst}"
            )
        p.concurrency_max = integer(concurrency_max, "concurrency_max", 0, COUNT_MAX)
        p.breaker_consecutive = integer(breaker_consecutive, "breaker_consecutive", 0, COUNT_MAX)
        p.window_ns = integer(window_ns, "window_ns", 10, DURATION_MAX_NS)
        p.window_calls_min = integer(window_calls_min, "window_calls_min", 1, COUNT_MAX)
        p.failure_percent = integer(failure_percent, "failure_percent", 0, 100)
        p.slow_percent = integer(slow_percent, "slow_percent", 0, 100)
        p.slow_ns = integer(slow_ns, "slow_ns", 0, DURATION_MAX_NS)
        p.open_ns = integer(open_ns, "open_ns", 1, DURATION_MAX_NS)
        p.open_max_ns = integer(open_max_ns, "open_max_ns", 1, DURATION_MAX_NS)
        p.probes_max = integer(probes_max, "probes_max", 1, PROBE_SLOTS)
        p.probe_successes = integer(probe_successes, "probe_successes", 1, COUNT_MAX)
        p.probe_timeout_ns = integer(probe_timeout_ns, "probe_timeout_ns", 1, DURATION_MAX_NS)
        p.endpoint_consecutive = integer(endpoint_consecutive, "endpoint_consecutive", 0, COUNT_MAX)
        p.endpoint_evidence_mnat = integer(endpoint_evidence_mnat, "endpoint_evidence_mnat", 0, COUNT_MAX)
        p.eject_ns = integer(eject_ns, "eject_ns", 1, DURATION_MAX_NS)
        p.eject_max_ns = integer(eject_max_ns, "eject_max_ns", 1, DURATION_MAX_NS)
        p.ejected_percent_max = integer(ejected_percent_max, "ejected_percent_max", 0, 100)
        p.retry_percent = integer(retry_percent, "retry_percent", 0, 100)
        p.retry_floor_per_s = integer(retry_floor_per_s, "retry_floor_per_s", 0, COUNT_MAX)
        p.enforced = switch(enforced, "enforced")
        self.lay_out(&p, count, PyLong_AsUnsignedLongLongMask(PyNumber_Index(seed)))

    cdef int lay_out(self, const policy *p, int64_t endpoints, uint64_t seed) except -1:
        """Reserve the buffer and put everything into its first state."""
        cdef hdr shape = hdr_shape(LATENCY_LOWEST_NS, LATENCY_HIGHEST_NS, LATENCY_DIGITS)
        cdef int64_t endpoints_at = sizeof(edge) // sizeof(int64_t)
        cdef int64_t counts_at = endpoints_at + endpoints * <int64_t>(sizeof(endpoint) // sizeof(int64_t))
        cdef int64_t events_at = counts_at + shape.counters
        cdef int64_t now = clock_now_ns(), i
        cdef edge *g
        self.length = events_at + _EVENTS_MAX * _EVENT_WORDS
        g = <edge *>calloc(self.length, sizeof(int64_t))
        if g == NULL:
            raise MemoryError
        self.edge = g
        g.words, g.endpoints = self.length, endpoints
        g.endpoints_at, g.counts_at, g.events_at = endpoints_at, counts_at, events_at
        g.hdr = shape
        g.policy = p[0]
        g.random = random_seeded(seed)
        g.due_ns = NEVER
        g.closed_since_ns = now
        g.window_width_ns = p.window_ns // 10
        g.weight = 100
        g.retry_capacity_milli = 10_000 * max(p.retry_floor_per_s, 1)
        g.retry_milli = 1000 * p.retry_floor_per_s  # one second of the floor to start with
        g.retry_at_ns = now
        for i in range(endpoints):
            state_endpoint(g, i).weight = 100
            state_endpoint(g, i).healthy_since_ns = now
        return 0

    def __dealloc__(self):
        free(self.edge)

    def __getbuffer__(self, Py_buffer *view, int flags):
        show_words(view, self, <int64_t *>self.edge, &self.length, flags)

    @property
    def buffer(self):
        return memoryview(self)

    cdef inline object answer(self, int64_t kind, int64_t avoid):
        cdef ticket t
        cdef refusal why
        cdef Permit permit
        cdef Refusal refused
        if admit(self.edge, kind, avoid, &t, &why):
            permit = Permit.__new__(Permit)
            permit.guard = self
            permit.ticket = t
            return permit
        refused = Refusal.__new__(Refusal)
        refused.why = why
        return refused

    def try_acquire(self):
        return self.answer(FIRST, -1)

    def try_again(self, avoid, /):
        return self.answer(AGAIN, self.index(avoid, "avoid", -1))

    def try_redrive(self, avoid, /):
        return self.answer(REDRIVE, self.index(avoid, "avoid", -1))

    cdef int64_t index(self, object value, str name, int64_t low) except? -1:
        """`value` as the index of an endpoint; -1, where it is allowed, means the edge or none."""
        cdef int64_t number = wide(value, name)
        if number < low or number >= self.edge.endpoints:
            raise IndexError(f"{name} must be between {low} and {self.edge.endpoints - 1}, not {value}")
        return number

    cdef int64_t up_to_date(self) noexcept:
        """Now, with everything that has lapsed by now lapsed."""
        cdef int64_t now = clock_now_ns()
        lapse(self.edge, now)
        return now

    def eject(self, endpoint, lease_ns, signal_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        cdef int64_t lease = integer(lease_ns, "lease_ns", 0, DURATION_MAX_NS)
        cdef int64_t signal = integer(signal_ns, "signal_ns", 0, CLOCK_MAX_NS)
        order_eject(self.edge, i, self.up_to_date(), lease, signal)

    def probe(self, endpoint, lease_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        cdef int64_t lease = integer(lease_ns, "lease_ns", 0, DURATION_MAX_NS)
        if i < 0:
            order_probe_edge(self.edge, self.up_to_date(), lease)
        else:
            order_probe(self.edge, i, self.up_to_date(), lease)

    def weigh(self, endpoint, percent, lease_ns, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        cdef int64_t share = integer(percent, "percent", 0, 100)
        cdef int64_t lease = integer(lease_ns, "lease_ns", 0, DURATION_MAX_NS)
        if i < 0:
            order_weigh_edge(self.edge, self.up_to_date(), share, lease)
        else:
            order_weigh(self.edge, i, self.up_to_date(), share, lease)

    def isolate(self, lease_ns, signal_ns, /):
        cdef int64_t lease = integer(lease_ns, "lease_ns", 0, DURATION_MAX_NS)
        cdef int64_t signal = integer(signal_ns, "signal_ns", 0, CLOCK_MAX_NS)
        order_isolate(self.edge, self.up_to_date(), lease, signal)

    def limit(self, concurrency, lease_ns, signal_ns, /):
        cdef int64_t calls = integer(concurrency, "concurrency", 1, COUNT_MAX)
        cdef int64_t lease = integer(lease_ns, "lease_ns", 0, DURATION_MAX_NS)
        cdef int64_t signal = integer(signal_ns, "signal_ns", 0, CLOCK_MAX_NS)
        order_limit(self.edge, self.up_to_date(), calls, lease, signal)

    def restore(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", -1)
        if i < 0:
            order_restore_edge(self.edge, self.up_to_date())
        else:
            order_restore(self.edge, i, self.up_to_date())

    def enforce(self, on, /):
        cdef int64_t enforced = switch(on, "on")
        order_enforce(self.edge, self.up_to_date(), enforced)

    def set_slow_ns(self, slow_ns, /):
        self.edge.policy.slow_ns = integer(slow_ns, "slow_ns", 0, DURATION_MAX_NS)

    def drain(self, out, /):
        cdef Py_buffer view
        cdef int64_t rows
        PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        try:
            if view.itemsize != sizeof(int64_t) or view.format == NULL or view.format[0] not in b"ql":
                raise TypeError("out must hold int64")
            self.up_to_date()
            rows = event_drain(self.edge, <int64_t *>view.buf, view.len // (_EVENT_WORDS * sizeof(int64_t)))
        finally:
            PyBuffer_Release(&view)
        return rows

    @property
    def events_lost(self):
        return self.edge.events_lost

    @property
    def in_flight(self):
        return self.edge.in_flight

    def is_open(self):
        self.up_to_date()
        return admit_would_refuse(self.edge) != 0

    def is_ejected(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        self.up_to_date()
        return state_endpoint(self.edge, i).state == _EJECTED

    def endpoint(self, endpoint, /):
        cdef int64_t i = self.index(endpoint, "endpoint", 0)
        self.up_to_date()
        return endpoint_dict(state_endpoint(self.edge, i))

    def describe(self):
        cdef edge *g = self.edge
        window_turn(g, self.up_to_date())
        return {
            "calls": g.calls,
            "failures": g.failures,
            "slow": g.slow,
            "refused": g.refused,
            "cancelled": g.cancelled,
            "retries": g.retries,
            "in_flight": g.in_flight,
            "open": <int>(g.state == EDGE_OPEN),
            "probing": <int>(g.state == EDGE_HALF_OPEN),
            "window_calls": g.window.calls,
            "window_failures": g.window.failures,
            "window_slow": g.window.slow,
            "weight": g.weight,
            "limit": g.limit_milli // 1000,
            "enforced": g.policy.enforced,
            "slow_ns": g.policy.slow_ns,
        }

    def latency_counts(self):
        cdef int64_t at = self.edge.counts_at
        counts = memoryview(self)[at:at + self.edge.hdr.counters]
        return counts, <int64_t>LATENCY_LOWEST_NS, LATENCY_HIGHEST_NS, <int64_t>LATENCY_DIGITS

    def latency_quantile_ns(self, permille, /):
        return hdr_quantile(&self.edge.hdr, state_counts(self.edge), integer(permille, "permille", 0, 1000))

    def latency_reset(self):
        memset(state_counts(self.edge), 0, self.edge.hdr.counters * sizeof(int64_t))


cdef dict endpoint_dict(const endpoint *e):
    return {
        "state": e.state,
        "weight": e.weight,
        "in_flight": e.in_flight,
        "calls": e.calls,
        "failures": e.failures,
        "slow": e.slow,
        "consecutive": e.consecutive,
        "evidence_mnat": e.evidence_mnat,
        "slow_evidence_mnat": e.slow_evidence_mnat,
        "ejections": e.ejections,
        "until_ns": e.until_ns,
        "ewma_ns": e.ewma_ns,
    }
