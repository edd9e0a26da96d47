"""Blame and blast over a call graph in CSR: whole sweeps (Flows), and figures kept up to date (Spread).

The arithmetic is in C, without the interpreter's lock: csr.h puts the services in order, sweep.h goes over all of them,
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

cdef extern from "blast.h":
    struct blast_terms:
        const double *own
        const double *slow
        const double *need
        const double *calls
        const uint8_t *soft
    struct hurt:
        pass
    void reach(const graph *g, const uint8_t *is_hurt, const double *hop, const double *onset, double *out,
               double *at) nogil

cdef extern from "sweep.h":
    struct workspace:
        double *arrived
        around *around
        hurt *hurt
    int sweep(const graph *g, const blame_terms *mass, double *share, double *unexplained, const blast_terms *trouble,
              double *failure, double *latency, const workspace *work) nogil

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

cdef void free_room(workspace work) noexcept:
    free(work.arrived)
    free(work.around)
    free(work.hurt)


cdef class Flows:
    cdef graph g
    cdef workspace work  # of one sweep at a time; pages that are not used are not there
    cdef bint lent  # to a sweep under way: another thread's brings its own

    def __cinit__(self, const int64_t[::1] indptr, const int32_t[::1] indices):
        cdef int64_t n = indptr.shape[0] - 1, edges = indices.shape[0]
        if n > SERVICES_MAX or n < 0:
            raise ValueError(f"indptr: {n} services; 0 to {SERVICES_MAX} are possible")
        self.g.services, self.g.edges = n, edges
        self.g.stops = <stop *>malloc((n + 1) * sizeof(stop))
        self.g.callees = <int32_t *>malloc((edges + 1) * sizeof(int32_t))
        self.g.cycle = <int32_t *>malloc((n + 2) * sizeof(int32_t))
        self.work = self.room()
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
        free_room(self.work)

    cdef workspace room(self) except *:
        cdef workspace work
        cdef int64_t n = self.g.services + 1
        work.arrived = <double *>calloc(n, sizeof(double))
        work.around = <around *>calloc(n, sizeof(around))
        work.hurt = <hurt *>calloc(n, sizeof(hurt))
        if not (work.arrived and work.around and work.hurt):
            free_room(work)
            raise MemoryError
        return work

    cdef workspace borrow(self) except *:
        if self.lent:
            return self.room()
        self.lent = True
        return self.work

    cdef void give_back(self, workspace work) noexcept:
        if work.arrived == self.work.arrived:
            self.lent = False
        else:
            free_room(work)

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

    cdef blame_terms mass(self, tuple arrays) except *:
        cdef blame_terms t
        excess, edge_excess, local, source = arrays
        t.excess, t.edge_excess = doubles(excess, self.g.services), doubles(edge_excess, self.g.edges)
        t.local, t.source = doubles(local, self.g.services), doubles(source, self.g.services)
        return t

    cdef blast_terms trouble(self, tuple arrays) except *:
        cdef blast_terms t
        own, slow, need, calls, soft = arrays
        t.own, t.slow = doubles(own, self.g.services), doubles(slow, self.g.services)
        t.need, t.calls = doubles(need, self.g.edges), doubles(calls, self.g.edges)
        t.soft = bytes_of(soft, self.g.edges)
        return t

    def sweep(self, tuple mass, double[::1] share, tuple trouble, double[::1] failure, double[::1] latency):
        cdef blame_terms down
        cdef blast_terms up
        cdef blame_terms *with_mass = NULL
        cdef blast_terms *with_trouble = NULL
        if mass is not None:
            down = self.mass(mass)
            with_mass = &down
        if trouble is not None:
            up = self.trouble(trouble)
            with_trouble = &up
        cdef double *shares = <double *>doubles(share, self.g.services)
        cdef double *failing = <double *>doubles(failure, self.g.services)
        cdef double *slower = <double *>doubles(latency, self.g.services)
        cdef double unexplained = 0
        cdef int wrong
        cdef workspace work = self.borrow()
        with nogil:
            wrong = sweep(&self.g, with_mass, shares, &unexplained, with_trouble, failing, slower, &work)
        self.give_back(work)
        return unexplained, wrong

    def reach(self, const uint8_t[::1] is_hurt, const double[::1] hop, const double[::1] onset, double[::1] out):
        cdef int64_t n = self.g.services
        cdef const uint8_t *which = bytes_of(is_hurt, n)
        cdef const double *step = doubles(hop, self.g.edges)
        cdef const double *begin = doubles(onset, n)
        cdef double *result = <double *>doubles(out, n)
        cdef workspace work = self.borrow()
        with nogil:
            reach(&self.g, which, step, begin, result, work.arrived)
        self.give_back(work)


include "spread.pxi"
