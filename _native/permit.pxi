# What a guard answers: a falsy Refusal or a truthy Permit, and how a permit is the body of `with` and `async with`.

class ByGuard:
    """Marks exceptions that guards raise: they say nothing about the service, and are no evidence."""


class Refused(ByGuard, Exception):
    """A guarded call was not made. `part` refused it; trying again makes sense after `retry_after_s` (0: unknown)."""

    def __init__(self, service, part, retry_after_s=0.0):
        self.service, self.part, self.retry_after_s = service, part, retry_after_s
        super().__init__(f"call to {service} refused: {part}")


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
@cython.no_gc
@cython.freelist(16)
cdef class Given:
    """An awaitable that is done: what `async with` awaits costs no coroutine."""

    cdef object value

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration(self.value)


cdef int given_send(PyObject *self, PyObject *value, PyObject **result) noexcept:
    """The am_send slot: CPython takes the value without an exception. It is given once, so that none is kept alive."""
    cdef object taken = (<Given>self).value
    (<Given>self).value = None
    Py_INCREF(taken)
    result[0] = <PyObject *>taken
    return 0  # PYGEN_RETURN


give_send(<PyTypeObject *>Given, given_send)
cdef Given NOTHING = Given.__new__(Given)


@cython.final
@cython.no_gc  # a permit knows its guard, a guard knows no permit: there is no cycle to collect
@cython.freelist(64)
cdef class Permit:
    """A truthy answer of `try_acquire`: the right to make one call. Settle it exactly once."""

    cdef Guard guard
    cdef ticket ticket

    @property
    def endpoint(self):
        return self.ticket.endpoint

    @property
    def start_ns(self):
        return self.ticket.start_ns

    @property
    def latency_ns(self):
        return (self.ticket.answered_ns or clock_now_ns()) - self.ticket.start_ns

    @property
    def probe(self):
        return self.ticket.flags & (EDGE_PROBE | ENDPOINT_PROBE) != 0

    def answered(self):
        if self.guard is not None and not self.ticket.answered_ns:
            self.ticket.answered_ns = clock_now_ns()

    cdef inline int end(self, int64_t outcome) noexcept:
        if self.guard is None:
            return 0
        if self.guard.shared:
            return settle(1, &self.guard.seat, &self.ticket, outcome)
        return settle(THREADS, &self.guard.seat, &self.ticket, outcome)

    def success(self):
        return self.end(_SUCCESS)

    def failure(self, kind, /):
        return self.end(integer(kind, "kind", _ERROR, _OVERLOAD))

    def cancel(self):
        if self.guard is None:
            return 0
        settle_cancel(&self.guard.seat, &self.ticket)
        return event_tell(&self.guard.seat)

    def relayed(self):
        return settle_relayed(&self.guard.seat, &self.ticket) if self.guard is not None else 0

    def stalled(self):
        return settle_overdue(&self.guard.seat, &self.ticket) if self.guard is not None else 0

    cdef int leave(self, object error) except -1:
        """The body of `with` is over: what came out of it is the result of the call."""
        cdef int told
        if error is None:
            told = self.end(_SUCCESS)
        elif isinstance(error, ByGuard) or not isinstance(error, Exception):
            told = self.cancel()
        else:
            told = self.end(_TIMEOUT if isinstance(error, TimeoutError) else _ERROR)
        if told and self.guard.ring is not None:
            self.guard.ring()
        return 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace, /):
        self.leave(error)

    def __aenter__(self):
        cdef Given given
        if self.guard is None:
            raise RuntimeError("a permit comes from a guard; this one was made by hand")
        given = self.guard.given
        if THREADS or Py_REFCNT(given) > 2:  # somebody is about to await the last one
            given = self.guard.given = Given.__new__(Given)
        given.value = self
        return given

    def __aexit__(self, kind, error, trace, /):
        self.leave(error)
        return NOTHING

    def __bool__(self):
        return True

    def __repr__(self):
        return f"Permit(endpoint={self.ticket.endpoint}, start_ns={self.ticket.start_ns}, probe={self.probe})"


cdef void permit_drop(PyObject *self) noexcept:
    """What a permit that nobody holds any more does first: it is cancelled, unless it was settled. No reference to it may be
    taken here: it is being freed."""
    cdef Guard guard = (<Permit>self).guard
    if guard is not None:
        settle_cancel(&guard.seat, &(<Permit>self).ticket)


cdef int permit_is_settled(PyObject *self) noexcept:
    return (<Permit>self).ticket.flags & SETTLED != 0


drop_before_free(<PyTypeObject *>Permit, permit_is_settled, permit_drop)
