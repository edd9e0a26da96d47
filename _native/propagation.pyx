"""Blame and blast over a call graph in CSR: whole sweeps (Flows), and figures kept up to date (Spread).

The arithmetic is in C, without the interpreter's lock: csr.h puts the services in order, blame.h and blast.h sweep over it,
spread.h follows a change. Here buffers become pointers. What figures mean, and which are wrong, is said in
`controlplane.decide`; these classes refuse only what would read outside of a buffer.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

cdef extern from "csr.h":
    struct stop:
        int32_t service
    struct graph:
        int64_t services, edges, cycles
        stop *stops
        int32_t *callees
        int32_t *cycle
    struct walk:
        pass
    void graph_sort(graph *g, const int64_t *indptr, const int32_t *indices, walk *w) nogil

cdef extern from "blame.h":
    struct blame_terms:
        const double *excess
        const double *edge_excess
        const double *local
        const double *source
    struct around:
        pass
    int blame(const graph *g, const blame_terms *t, double *share, double *unexplained, double *arrived,
              around *at) nogil

cdef extern from "blast.h":
    struct blast_terms:
        const double *own
        const double *slow
        const double *need
        const double *calls
        const uint8_t *soft
    struct hurt:
        pass
    int blast(const graph *g, const blast_terms *t, double *failure, double *latency, hurt *at) nogil
    void reach(const graph *g, const uint8_t *is_hurt, const double *hop, const double *onset, double *out,
               double *at) nogil

cdef extern from "spread_build.h":
    struct spread_edge:
        double need, calls, excess
        int32_t callee, into
    struct spread_into:
        int32_t caller
    struct spread_node:
        double own_failure, own_latency, failure, latency
        double excess, local, source, stays, lost
    struct spread:
        int64_t services, edges, worked, hurt_count, blamed_count
        spread_node *nodes
        spread_edge *edge
        spread_into *into
        int32_t *hurt
        int32_t *blamed
    int spread_allocate(spread *s) nogil
    void spread_build(spread *s, const graph *g) nogil
    void spread_free(spread *s) nogil
    void spread_due_blast(spread *s, int32_t service) nogil
    void spread_due_blame(spread *s, int32_t service) nogil
    void spread_sort_into(spread *s, int32_t edge) nogil

cdef extern from "spread_blast.h":
    void spread_update_blast(spread *s) nogil

cdef extern from "spread_blame.h":
    void spread_update_blame(spread *s) nogil

cdef int64_t SERVICES_MAX = (<int64_t>1 << 31) - 2

cdef const double *doubles(const double[::1] values, int64_t wanted) except? NULL:
    """Where `values` are; NULL where there are none. ValueError when there are not as many as wanted."""
    if values is None:
        return NULL
    if values.shape[0] != wanted:
        raise ValueError(f"a buffer of {values.shape[0]} where {wanted} are needed")
    return &values[0] if wanted else NULL

cdef const uint8_t *bytes_of(const uint8_t[::1] values, int64_t wanted) except? NULL:
    """The same for bytes."""
    if values is None:
        return NULL
    if values.shape[0] != wanted:
        raise ValueError(f"a buffer of {values.shape[0]} where {wanted} are needed")
    return &values[0] if wanted else NULL


cdef class Flows:
    cdef graph g
    cdef char *work  # for one sweep at a time: a number for each stop, then what cycles need; pages not used are not there
    cdef bint lent  # to a sweep under way: another thread's brings its own

    def __cinit__(self, const int64_t[::1] indptr, const int32_t[::1] indices):
        cdef int64_t n = indptr.shape[0] - 1, edges = indices.shape[0]
        if n > SERVICES_MAX or n < 0:
            raise ValueError(f"indptr: {n} services; 0 to {SERVICES_MAX} are possible")
        self.g.services, self.g.edges = n, edges
        self.g.stops = <stop *>malloc((n + 1) * sizeof(stop))
        self.g.callees = <int32_t *>malloc((edges + 1) * sizeof(int32_t))
        self.g.cycle = <int32_t *>malloc((n + 2) * sizeof(int32_t))
        self.work = self.workspace()
        cdef walk *w = <walk *>calloc(n + 1, sizeof(walk))
        try:
            if not (self.g.stops and self.g.callees and self.g.cycle and w):
                raise MemoryError
            with nogil:
                graph_sort(&self.g, &indptr[0], &indices[0] if edges else NULL, w)
        finally:
            free(w)

    def __dealloc__(self):
        free(self.g.stops)
        free(self.g.callees)
        free(self.g.cycle)
        free(self.work)

    cdef char *workspace(self) except NULL:
        cdef char *work = <char *>calloc(self.g.services + 1, sizeof(hurt) + sizeof(around))
        if work == NULL:
            raise MemoryError
        return work

    cdef char *borrow(self) except NULL:
        if self.lent:
            return self.workspace()
        self.lent = True
        return self.work

    cdef void give_back(self, char *work) noexcept:
        if work == self.work:
            self.lent = False
        else:
            free(work)

    @property
    def order(self):
        cdef int64_t i
        return [self.g.stops[i].service for i in range(self.g.services)]

    @property
    def cycles(self):
        cdef int64_t c, i
        return [
            [self.g.stops[i].service for i in range(self.g.cycle[2 * c], self.g.cycle[2 * c + 1])]
            for c in range(self.g.cycles)
        ]

    def blame(self, const double[::1] excess, const double[::1] edge_excess, const double[::1] local,
              const double[::1] source, double[::1] share):
        cdef int64_t n = self.g.services
        cdef blame_terms terms
        terms.excess, terms.edge_excess = doubles(excess, n), doubles(edge_excess, self.g.edges)
        terms.local, terms.source = doubles(local, n), doubles(source, n)
        cdef double *out = <double *>doubles(share, n)
        cdef double unexplained = 0
        cdef int wrong
        cdef char *work = self.borrow()
        with nogil:
            wrong = blame(&self.g, &terms, out, &unexplained, <double *>work, <around *>(work + n * sizeof(hurt)))
        self.give_back(work)
        return unexplained, wrong

    def blast(self, const double[::1] own, const double[::1] slow, const double[::1] need, const double[::1] calls,
              const uint8_t[::1] soft, double[::1] failure, double[::1] latency):
        cdef int64_t n = self.g.services, edges = self.g.edges
        cdef blast_terms terms
        terms.own, terms.slow = doubles(own, n), doubles(slow, n)
        terms.need, terms.calls, terms.soft = doubles(need, edges), doubles(calls, edges), bytes_of(soft, edges)
        cdef double *failing = <double *>doubles(failure, n)
        cdef double *slower = <double *>doubles(latency, n)
        cdef int wrong
        cdef char *work = self.borrow()
        with nogil:
            wrong = blast(&self.g, &terms, failing, slower, <hurt *>work)
        self.give_back(work)
        return wrong

    def reach(self, const uint8_t[::1] is_hurt, const double[::1] hop, const double[::1] onset, double[::1] out):
        cdef int64_t n = self.g.services
        cdef const uint8_t *which = bytes_of(is_hurt, n)
        cdef const double *step = doubles(hop, self.g.edges)
        cdef const double *begin = doubles(onset, n)
        cdef double *result = <double *>doubles(out, n)
        cdef char *work = self.borrow()
        with nogil:
            reach(&self.g, which, step, begin, result, <double *>work)
        self.give_back(work)


include "spread.pxi"
