# Figures that are kept up to date: part of propagation.pyx.

from libc.math cimport NAN, copysign, signbit


cdef class Spread:
    cdef spread s
    cdef bint busy  # an update is under way without the interpreter's lock

    def __cinit__(self, Flows flows, const double[::1] need, const double[::1] calls, const uint8_t[::1] soft,
                  const double[::1] edge_excess):
        cdef int64_t n = flows.g.services, edges = flows.g.edges, i
        if edges >= INT32_MAX:
            raise ValueError(f"indices: {edges} edges; fewer than {INT32_MAX} are possible")
        cdef const double *needs = doubles(need, edges)
        cdef const double *amounts = doubles(calls, edges)
        cdef const double *masses = doubles(edge_excess, edges)
        cdef const uint8_t *falls_back = bytes_of(soft, edges)
        self.s.services, self.s.edges = n, edges
        if not spread_allocate(&self.s):
            raise MemoryError
        with nogil:
            for i in range(edges):
                self.s.edge[i].need = -needs[i] if falls_back != NULL and falls_back[i] else needs[i]
                self.s.edge[i].calls = amounts[i]
                self.s.edge[i].excess = masses[i]
            for i in range(n):
                self.s.nodes[i].local = NAN
            spread_build(&self.s, &flows.g)

    def __dealloc__(self):
        spread_free(&self.s)

    cdef int free_to_use(self) except -1:
        if self.busy:
            raise RuntimeError("an update is under way in another thread; a Propagation belongs to one at a time")
        return 0

    cdef spread_node *node(self, int64_t service) except NULL:
        if not 0 <= service < self.s.services:
            raise IndexError(f"service: {service}; it takes 0 to {self.s.services - 1}")
        return &self.s.nodes[service]

    cdef spread_edge *edge(self, int64_t edge) except NULL:
        if not 0 <= edge < self.s.edges:
            raise IndexError(f"edge: {edge}; it takes 0 to {self.s.edges - 1}")
        return &self.s.edge[edge]

    def set_trouble(self, int64_t service, double failure, double latency):
        self.free_to_use()
        cdef spread_node *v = self.node(service)
        v.own_failure, v.own_latency = failure, latency
        spread_due_blast(&self.s, <int32_t>service)

    def set_mass(self, int64_t service, double excess, double local, double source):
        self.free_to_use()
        cdef spread_node *v = self.node(service)
        v.excess, v.local, v.source = excess, local, source
        spread_due_blame(&self.s, <int32_t>service)

    def set_need(self, int64_t edge, double fraction, double calls, bint soft):
        self.free_to_use()
        cdef spread_edge *e = self.edge(edge)
        e.need, e.calls = copysign(fraction, -1.0 if soft else 1.0), calls
        spread_due_blast(&self.s, self.s.into[e.into].caller)

    def set_flow(self, int64_t edge, double excess):
        self.free_to_use()
        cdef spread_edge *e = self.edge(edge)
        e.excess = excess
        spread_sort_into(&self.s, <int32_t>edge)
        spread_due_blame(&self.s, self.s.into[e.into].caller)
        spread_due_blame(&self.s, e.callee)

    def trouble(self, int64_t service):
        cdef spread_node *v = self.node(service)
        return v.own_failure, v.own_latency

    def mass(self, int64_t service):
        cdef spread_node *v = self.node(service)
        return v.excess, v.local, v.source

    def need(self, int64_t edge):
        cdef spread_edge *e = self.edge(edge)
        return abs(e.need), e.calls, bool(signbit(e.need))

    def update(self):
        self.free_to_use()
        self.busy = True
        with nogil:
            self.s.worked = 0
            spread_update_blast(&self.s)
            spread_update_blame(&self.s)
        self.busy = False
        return self.s.worked

    @property
    def hurt_count(self):
        return self.s.hurt_count

    @property
    def blamed_count(self):
        return self.s.blamed_count

    def hurt(self, int32_t[::1] services, double[::1] failure, double[::1] latency):
        self.free_to_use()
        cdef int64_t i
        cdef spread_node *v
        for i in range(min(self.s.hurt_count, services.shape[0], failure.shape[0], latency.shape[0])):
            v = &self.s.nodes[self.s.hurt[i]]
            services[i], failure[i], latency[i] = self.s.hurt[i], v.failure, v.latency

    def blamed(self, int32_t[::1] services, double[::1] share):
        self.free_to_use()
        cdef double seen = 0, lost = 0
        cdef int64_t i
        cdef spread_node *v
        for i in range(self.s.blamed_count):
            v = &self.s.nodes[self.s.blamed[i]]
            seen += v.source if v.source > 0 else 0
            lost += v.lost
        cdef double scale = 1 / seen if seen > 1e-300 else 0
        for i in range(min(self.s.blamed_count, services.shape[0], share.shape[0])):
            services[i], share[i] = self.s.blamed[i], self.s.nodes[self.s.blamed[i]].stays * scale
        return lost * scale

    @property
    def nbytes(self):
        return sizeof(spread_node) + 3 * sizeof(int32_t) + 2 * sizeof(int64_t) + 4 * sizeof(double), sizeof(spread_edge) + 8
