# cython: freethreading_compatible=True
"""Span batches in, edges of the call graph out; no span becomes an object. span.h says what of a span counts, pairing.h
how the two sides of a call find each other."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock, NOWAIT_LOCK,
    WAIT_LOCK
)
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "metrics.h":
    enum:
        NAME_BYTES_MAX
        SPAN_WEIGHT_MAX
    struct bytes_view "bytes":
        const uint8_t *at
        const uint8_t *end
    struct span:
        uint8_t trace[16]
        uint8_t id[8]
        uint8_t parent[8]
        int has_trace, has_id, has_parent, kind, error, http, grpc, peer_rank
        int64_t start_ns, end_ns
        double weight
        bytes_view peer
    struct edge:
        int32_t caller, callee
        double calls, failures, timed, client_ns, served, server_ns
    struct pairing:
        int64_t secret[2]
        int64_t names_max, edges_max, waiting_max, names, edges
        int64_t spans, rejected, paired, alone, evicted, unnamed, without_place
        char (*text)[128]
        int32_t *length
        edge *edge
    int pairing_begin(pairing *p, int64_t names_max, int64_t edges_max, int64_t waiting_max)
    void pairing_free(pairing *p)
    void pairing_sweep(pairing *p, int64_t before_ns) noexcept nogil
    void pairing_told(pairing *p) noexcept nogil
    void pairing_add(pairing *p, const span *s, int32_t service, int64_t now_ns) noexcept nogil
    int otlp_traces(pairing *p, bytes_view request, int64_t now_ns, int64_t spans_max, int apply) noexcept nogil
    int32_t name_number(pairing *p, bytes_view b) noexcept nogil
    void span_begin(span *s) noexcept nogil
    double span_weight(bytes_view state) noexcept nogil
    int grpc_status(bytes_view name) noexcept nogil
    int attribute_key(bytes_view key) noexcept nogil
    int peer_rank(int key) noexcept nogil
    int status_of(int64_t number) noexcept nogil
    struct point:
        int metric, temporality, failed, ended
        uint64_t sender, series
        int64_t start_ns, at_ns
        double count, sum
        bytes_view client, server
    ctypedef int (*point_taker)(void *taker, const point *p, double unit_s) noexcept
    int otlp_metrics(bytes_view request, const int64_t *secret, int64_t left, point_taker take, void *taker)
    int identity(uint8_t *out, int64_t length, bytes_view b) noexcept nogil
    int span_failed(const span *s) noexcept nogil

include "arguments.pxi"

import struct as _struct

SPANS_MAX = 1 << 20
TOLD = _struct.Struct("=ii6d")
assert TOLD.size == sizeof(edge)
POINTS_MAX = 1 << 20


cdef int64_t power_of_two(object value, str name, int64_t high) except -1:
    cdef int64_t number = integer(value, name, 16, high)
    if number & (number - 1):
        raise ValueError(f"{name} must be a power of two, not {value}")
    return number


cdef bytes_view view_of(const uint8_t[::1] data) noexcept:
    cdef bytes_view view
    view.at = &data[0] if data.shape[0] else NULL
    view.end = view.at + data.shape[0]
    return view


cdef class SpanPairs:
    cdef pairing _pairs
    # Whoever waits for it has let the interpreter go: who holds it may need that to go on.
    cdef PyThread_type_lock _lock

    def __cinit__(self, *, names_max=4096, edges_max=16384, waiting_max=65536, seed=1):
        cdef int64_t number = wide(seed, "seed")
        if not pairing_begin(
            &self._pairs,
            power_of_two(names_max, "names_max", 1 << 20),
            power_of_two(edges_max, "edges_max", 1 << 22),
            power_of_two(waiting_max, "waiting_max", 1 << 24),
        ):
            raise MemoryError("no memory for the tables of spans")
        self._lock = PyThread_allocate_lock()
        if self._lock == NULL:
            raise MemoryError("no lock for the tables of spans")
        self._pairs.secret[0] = number
        self._pairs.secret[1] = ~number

    def __dealloc__(self):
        pairing_free(&self._pairs)
        if self._lock != NULL:
            PyThread_free_lock(self._lock)

    def traces(self, const uint8_t[::1] request not None, now_ns, *, spans_max=SPANS_MAX):
        cdef int64_t now = wide(now_ns, "now_ns"), most = integer(spans_max, "spans_max", 0, SPANS_MAX)
        cdef int64_t spans = 0, rejected = 0
        cdef bytes_view view = view_of(request)
        cdef int got
        with nogil:
            got = otlp_traces(&self._pairs, view, now, most, 0)  # all of it or nothing
            if got == 0:
                PyThread_acquire_lock(self._lock, WAIT_LOCK)
                spans, rejected = self._pairs.spans, self._pairs.rejected
                got = otlp_traces(&self._pairs, view, now, most, 1)
                spans, rejected = self._pairs.spans - spans, self._pairs.rejected - rejected
                PyThread_release_lock(self._lock)
        if got == -2:
            raise OverflowError(f"more than {spans_max} spans in one request")
        if got < 0:
            raise ValueError("is not an ExportTraceServiceRequest in protobuf")
        return spans, rejected

    def span(
        self,
        const uint8_t[::1] service not None,
        const uint8_t[::1] trace not None,
        const uint8_t[::1] own not None,
        const uint8_t[::1] parent not None,
        const uint8_t[::1] state not None,
        const uint8_t[::1] peer not None,
        kind,
        start_ns,
        end_ns,
        error,
        http,
        grpc,
        now_ns,
    ):
        cdef span s
        cdef bytes_view name = view_of(service)
        span_begin(&s)
        if trace.shape[0] != 16 or own.shape[0] != 8 or parent.shape[0] not in (0, 8):
            raise ValueError("a trace id has 16 bytes, a span id 8")
        if not (identity(s.trace, 16, view_of(trace)) and identity(s.id, 8, view_of(own))):
            raise ValueError("all zeros are no id")
        s.has_trace = s.has_id = 1
        s.has_parent = identity(s.parent, 8, view_of(parent))
        s.kind = <int>integer(kind, "kind", 0, 5)
        s.start_ns, s.end_ns = wide(start_ns, "start_ns"), wide(end_ns, "end_ns")
        s.error, s.http, s.grpc = bool(error), status_of(wide(http, "http")), status_of(wide(grpc, "grpc"))
        s.weight = span_weight(view_of(state))
        if peer.shape[0]:
            s.peer, s.peer_rank = view_of(peer), 1
        cdef int64_t now = wide(now_ns, "now_ns")
        with nogil:
            PyThread_acquire_lock(self._lock, WAIT_LOCK)
            pairing_add(&self._pairs, &s, name_number(&self._pairs, name), now)
            self._pairs.spans += 1
            PyThread_release_lock(self._lock)

    def take(self, before_ns):
        edges, names = self.cut(before_ns)
        return [(names[caller], names[callee], *sums) for caller, callee, *sums in TOLD.iter_unpack(edges)]

    def cut(self, before_ns):
        cdef int64_t before = wide(before_ns, "before_ns"), number
        cdef bytes edges
        cdef list names = []
        with nogil:
            PyThread_acquire_lock(self._lock, WAIT_LOCK)
            pairing_sweep(&self._pairs, before)
        try:
            # copied as they are: whoever holds the interpreter keeps the event loop waiting, too
            edges = (<char *>self._pairs.edge)[:self._pairs.edges * sizeof(edge)]
            for number in range(self._pairs.names):
                names.append((<char *>self._pairs.text[number])[:self._pairs.length[number]].decode("utf-8", "replace"))
            pairing_told(&self._pairs)
        finally:
            PyThread_release_lock(self._lock)
        return edges, names

    def busy(self):
        if not PyThread_acquire_lock(self._lock, NOWAIT_LOCK):
            return True
        PyThread_release_lock(self._lock)
        return False

    def statistics(self):
        cdef pairing *p = &self._pairs
        return {
            "spans": p.spans, "rejected": p.rejected, "paired": p.paired, "alone": p.alone, "evicted": p.evicted, "unnamed": p.unnamed,
            "without_place": p.without_place, "names": p.names - 1, "edges": p.edges,
        }


def weight_of(const uint8_t[::1] tracestate not None):
    return span_weight(view_of(tracestate))


def grpc_code(const uint8_t[::1] name not None):
    return grpc_status(view_of(name))


def rank_of(const uint8_t[::1] key not None):
    return peer_rank(attribute_key(view_of(key)))


cdef str text_of(bytes_view b):
    return "" if b.at == NULL else (<const char *>b.at)[:b.end - b.at].decode("utf-8", "replace")


cdef int take_point(void *taker, const point *p, double unit_s) noexcept:
    try:
        (<list>taker).append((
            p.metric, text_of(p.client), text_of(p.server), <bint>p.failed, p.sender, p.series, p.temporality, <bint>p.ended,
            p.start_ns, p.at_ns, p.count, p.sum * unit_s,
        ))
    except MemoryError:
        return -3
    return 0


def read_metrics(const uint8_t[::1] request not None, secret, points_max):
    cdef int64_t key[2]
    cdef int64_t most = integer(points_max, "points_max", 0, POINTS_MAX)
    cdef list points = []
    key[0] = wide(secret, "secret")
    key[1] = ~key[0]
    cdef int got = otlp_metrics(view_of(request), key, most, take_point, <void *>points)
    if got == -3:
        raise MemoryError("no memory for the points of metrics")
    if got == -2:
        raise OverflowError(f"more than {points_max} points in one request")
    if got < 0:
        raise ValueError("is not an ExportMetricsServiceRequest in protobuf")
    return points
