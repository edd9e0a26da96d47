"""The load-failure loop of a call graph, its Jacobian and its spectral radius; the arithmetic is in feedback.h.

A loop keeps its arrays in an order of its own and never changes, so its methods run without the interpreter's lock.
"""

cimport cython
from libc.math cimport INFINITY, fabs, fmax, fmin
from libc.stdint cimport int16_t, int32_t, int64_t
from libc.stdlib cimport free, malloc

import numpy as np

cdef extern from "feedback_order.h":
    void feedback_order(int64_t services, const int64_t *indptr, const int64_t *indices, int64_t *order,
                        int64_t *waits) nogil

cdef extern from "feedback_radius.h":
    struct service:
        double base, capacity, useful, queue
    struct edge:
        float calls, need
        int16_t attempts, budgeted
        int32_t callee
    struct point:
        double overflow, overflow_rise, served, served_rise
    struct loop:
        int64_t services, edges, back
        int64_t *first
        int32_t *callee
        service *at
        edge *by
        double *budget
    struct tangent:
        int64_t services, edges, back
        const int64_t *first
        const int32_t *callee
        double *slope
        double *own
        float *down
        float *up
    void feedback_loads(const loop *g, const double *failing, double *load, point *points, double *returning,
                        tangent *t) nogil
    void feedback_failures(const loop *g, const point *points, double *failing, tangent *t) nogil
    void feedback_storm(const loop *g, double *load, double *returning) nogil
    void tangent_apply(const tangent *t, const double *vector, double *out, double *work) nogil
    struct link:
        pass
    struct circuit:
        int64_t services, edges
        int64_t *first
        double *slope
        double *own
        link *down
        link *up
    struct jacobian:
        const circuit *circuit
        const tangent *tangent
    void circuit_pack(const tangent *t, circuit *c, int32_t *mark) nogil
    double jacobian_radius(jacobian j, int64_t n, double *span, double *work, int64_t *applications) nogil
    int64_t STEPS_MAX

cdef int64_t ATTEMPTS_MAX = 100
cdef double CALLS_MAX = 1e9
cdef double SETTLED = 1e-10  # the loop has settled when no failure share moves by more in a turn
cdef int64_t TURNS_MAX = 1000


cdef void *claim(int64_t count, size_t size) except NULL:
    cdef void *block = malloc((count + 1) * size)
    if block == NULL:
        raise MemoryError
    return block


cdef int64_t invalid(const double[::1] values, double low, double high, bint whole) noexcept nogil:
    """The first value out of [low, high], or not whole where it must be; -1 without. NaN is out of any bounds."""
    cdef int64_t k
    for k in range(values.shape[0]):
        if not (low <= values[k] <= high) or (whole and values[k] != <double><int64_t>values[k]):
            return k
    return -1


cdef const double[::1] checked(str name, values, int64_t size, double low, double high=1e300, bint whole=False):
    """`values` as `size` doubles between the bounds; one number stands for all."""
    cdef int64_t at
    array = np.ascontiguousarray(values, dtype=np.float64) if np.ndim(values) else np.full(size, values, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), not {array.shape}")
    cdef const double[::1] view = array
    at = invalid(view, low, high, whole)
    if at >= 0:
        raise ValueError(f"{name}[{at}] is {view[at]}; it must be a {'whole ' if whole else ''}number from {low:g} to {high:g}")
    return view


cdef const int64_t[::1] indexed(str name, values):
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind != "i":
        raise ValueError(f"{name} must be a vector of whole numbers, not {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.int64)


@cython.final
cdef class FeedbackLoop:
    """A load-failure loop; see controlplane.decide.feedback.loop.Loop for its arguments."""

    cdef loop graph
    cdef int64_t *order  # order[place] = service as the caller numbers it
    cdef _Turn idle  # memory of the last turn: fresh pages would cost a third of the next

    def __cinit__(self, indptr, indices, base, capacity, calls, attempts, budget, need, patience, queue):
        cdef const int64_t[::1] start = indexed("indptr", indptr), column = indexed("indices", indices)
        cdef int64_t n = start.shape[0] - 1, edges = column.shape[0], v, e, place, at
        cdef const double[::1] base_, capacity_, calls_, attempts_, budget_, need_, patience_, queue_
        cdef int64_t *placed
        if n < 0 or start[0] != 0 or start[n] != edges or n >= 1 << 31:
            raise ValueError(f"indptr must rise from 0 to the number of edges, {edges}")
        for v in range(n):
            if start[v] > start[v + 1]:
                raise ValueError(f"indptr must rise from 0 to the number of edges, {edges}")
        for e in range(edges):
            if not 0 <= column[e] < n:
                raise ValueError(f"indices[{e}] is {column[e]}; services are 0 to {n - 1}")
        base_ = checked("base", base, n, 0.0)
        capacity_ = checked("capacity", capacity, n, 1e-300, INFINITY)
        calls_ = checked("calls", calls, edges, 0.0, CALLS_MAX)
        attempts_ = checked("attempts", attempts, edges, 1.0, ATTEMPTS_MAX, True)
        budget_ = checked("budget", budget, edges, 0.0, INFINITY)
        need_ = checked("need", need, edges, 0.0, 1.0)
        patience_ = checked("patience", patience, n, 1.0)
        queue_ = checked("queue", queue, n, 1.0)
        self.graph.services, self.graph.edges = n, edges
        self.order = <int64_t *>claim(n, sizeof(int64_t))
        self.graph.first = <int64_t *>claim(n + 1, sizeof(int64_t))
        self.graph.callee = <int32_t *>claim(edges, sizeof(int32_t))
        self.graph.at = <service *>claim(n, sizeof(service))
        self.graph.budget = <double *>claim(edges, sizeof(double))
        self.graph.by = <edge *>claim(edges, sizeof(edge))
        placed = self.graph.first  # scratch, until it is filled below
        if edges:
            feedback_order(n, &start[0], &column[0], self.order, placed)
        else:
            for v in range(n):
                self.order[v] = v
        placed = <int64_t *>claim(n, sizeof(int64_t))
        for place in range(n):
            placed[self.order[place]] = place
        at = 0
        for place in range(n):
            v = self.order[place]
            self.graph.at[place] = service(base_[v], capacity_[v], fmin(patience_[v], queue_[v]), queue_[v])
            self.graph.first[place] = at
            for e in range(start[v], start[v + 1]):
                self.graph.by[at] = edge(
                    <float>calls_[e], <float>need_[e], <int16_t>attempts_[e] if budget_[e] > 0 else 1, budget_[e] < INFINITY,
                    <int32_t>placed[column[e]],
                )
                self.graph.budget[at] = budget_[e]
                self.graph.callee[at] = <int32_t>placed[column[e]]
                self.graph.back += placed[column[e]] <= place
                at += 1
        self.graph.first[n] = at
        free(placed)

    def __dealloc__(self):
        free(self.order)
        free(self.graph.first)
        free(self.graph.callee)
        free(self.graph.at)
        free(self.graph.by)
        free(self.graph.budget)

    cdef _Turn begin(self, failure):
        """Memory that no other thread uses, with `failure` in it."""
        cdef const double[::1] given = checked("failure", failure, self.graph.services, 0.0, 1.0)
        cdef _Turn turn = self.idle if self.idle is not None else _Turn(self.graph.services)
        cdef int64_t v
        self.idle = None
        for v in range(self.graph.services):
            turn.failing[v] = given[self.order[v]]
        return turn

    cdef object end(self, _Turn turn, const double *values):
        found = self.read(values)
        self.idle = turn
        return found

    cdef object read(self, const double *values):
        cdef int64_t v
        out = np.empty(self.graph.services)
        cdef double[::1] view = out
        for v in range(self.graph.services):
            view[self.order[v]] = values[v]
        return out

    def loads(self, failure, /):
        cdef _Turn turn = self.begin(failure)
        with nogil:
            turn.go(&self.graph, NULL)
        return self.end(turn, turn.load)

    def storm(self):
        cdef _Turn turn = self.begin(np.ones(self.graph.services))
        with nogil:
            feedback_storm(&self.graph, turn.load, turn.work)
        return self.end(turn, turn.load)

    def turn(self, failure, /):
        cdef _Turn turn = self.begin(failure)
        with nogil:
            turn.go(&self.graph, NULL)
        return self.end(turn, turn.after)

    def settle(self, failure, /):
        cdef _Turn turn = self.begin(failure)
        cdef int64_t v, turns = 0
        cdef double moved = 1.0
        with nogil:
            while moved > SETTLED and turns < TURNS_MAX:
                turn.go(&self.graph, NULL)
                turns += 1
                moved = 0.0
                for v in range(self.graph.services):
                    moved = fmax(moved, fabs(turn.after[v] - turn.failing[v]))
                    turn.failing[v] = turn.after[v]
        load = self.read(turn.load)
        return self.end(turn, turn.after), load, turns

    def derivative(self, failure, vector, /):
        cdef _Turn turn = self.begin(failure)
        cdef const double[::1] direction = checked("vector", vector, self.graph.services, -1e300)
        cdef tangent t
        cdef int64_t v
        turn.tangent(&self.graph, &t)
        with nogil:
            turn.go(&self.graph, &t)
            for v in range(self.graph.services):
                turn.failing[v] = direction[self.order[v]]
            tangent_apply(&t, turn.failing, turn.after, turn.work)
        return self.end(turn, turn.after)

    def radius(self, failure, /):
        cdef _Turn turn = self.begin(failure)
        cdef tangent t
        cdef circuit c
        cdef jacobian j
        cdef double found = 0.0
        cdef int64_t applications = 0, n = self.graph.services
        turn.tangent(&self.graph, &t)
        j.circuit, j.tangent = NULL, &t
        with nogil:
            turn.go(&self.graph, &t)
        if t.back == 0:
            turn.circuit(&self.graph, &c)
            with nogil:
                circuit_pack(&t, &c, turn.mark)
            j.circuit, n = &c, c.services
        if n:
            if turn.span == NULL:
                turn.span = <double *>claim((STEPS_MAX + 1) * self.graph.services, sizeof(double))
            with nogil:
                found = jacobian_radius(j, n, turn.span, turn.work, &applications)
        self.idle = turn
        return found, applications


@cython.final
cdef class _Turn:
    """Memory for a turn of one loop, and for its tangent when that is asked for."""

    cdef double *failing
    cdef double *load
    cdef double *after
    cdef double *work
    cdef double *factors
    cdef double *span
    cdef float *weights
    cdef point *points
    cdef int64_t *first
    cdef link *links
    cdef int32_t *mark

    def __cinit__(self, int64_t n):
        self.failing = <double *>claim(6 * n, sizeof(double))
        self.load, self.after, self.work = self.failing + n, self.failing + 2 * n, self.failing + 3 * n
        self.points = <point *>claim(n, sizeof(point))

    def __dealloc__(self):
        free(self.failing)
        free(self.points)
        free(self.factors)
        free(self.span)
        free(self.weights)
        free(self.first)
        free(self.links)
        free(self.mark)

    cdef int tangent(self, const loop *g, tangent *t) except -1:
        cdef int64_t n = g.services, edges = g.edges
        if self.factors == NULL:
            self.factors = <double *>claim(4 * n, sizeof(double))
            self.weights = <float *>claim(2 * edges, sizeof(float))
        t.services, t.edges, t.back, t.first, t.callee = n, edges, g.back, g.first, g.callee
        t.slope, t.own = self.factors, self.factors + n
        t.down, t.up = self.weights, self.weights + edges
        return 0

    cdef int circuit(self, const loop *g, circuit *c) except -1:
        cdef int64_t n = g.services, edges = g.edges
        if self.first == NULL:
            self.first = <int64_t *>claim(n + 1, sizeof(int64_t))
        if self.links == NULL:
            self.links = <link *>claim(2 * edges, sizeof(link))
        if self.mark == NULL:
            self.mark = <int32_t *>claim(n, sizeof(int32_t))
        c.first, c.down, c.up = self.first, self.links, self.links + edges
        c.slope, c.own = self.factors + 2 * n, self.factors + 3 * n
        return 0

    cdef void go(self, const loop *g, tangent *t) noexcept nogil:
        feedback_loads(g, self.failing, self.load, self.points, self.work, t)
        feedback_failures(g, self.points, self.after, t)
