# What a process draws endpoints from: a table of its own, by what is said of each endpoint and by words that are shared.

cdef void *draw_from(seat *s, object sites, object local) except NULL:
    """Room for the table, and the sites: capacity, priority and locality of each endpoint. The caller frees it."""
    cdef pick *p = &s.pick
    cdef int64_t n = s.g.endpoints, i
    cdef void *own
    rows = [(1, 0, 0)] * n if sites is None else [tuple(row) for row in sites]
    if len(rows) != n or any(len(row) != 3 for row in rows):
        raise ValueError(f"sites must hold (weight, priority, locality) for each of {n} endpoints")
    p.endpoints, p.policy.levels, p.policy.localities = n, 1, 1
    for i, (weight, priority, locality) in enumerate(rows):
        integer(weight, f"sites[{i}] weight", 1, ROUTE_WEIGHT_MAX)
        p.policy.levels = max(
            p.policy.levels, 1 + integer(priority, f"sites[{i}] priority", 0, ROUTE_LEVELS_MAX - 1)
        )
        p.policy.localities = max(
            p.policy.localities, 1 + integer(locality, f"sites[{i}] locality", 0, ROUTE_LOCALITIES_MAX - 1)
        )
    p.policy.local = -1 if local is None else integer(local, "local", 0, ROUTE_LOCALITIES_MAX - 1)
    own = calloc(
        n * (3 + sizeof(site) // sizeof(int64_t)) + route_scratch_words(n, p.policy.levels, p.policy.localities),
        sizeof(int64_t),
    )
    if own == NULL:
        raise MemoryError
    p.table = <int64_t *>own
    p.burden = p.table + n
    s.trials = p.burden + n
    p.sites = <site *>(s.trials + n)
    p.scratch = <int64_t *>(p.sites + n)
    for i, (weight, priority, locality) in enumerate(rows):
        p.sites[i].weight, p.sites[i].priority, p.sites[i].locality = weight, priority, locality
    p.random = random_seeded(<uint64_t>s.random)
    draw_by(s)
    return own


cdef void draw_by(seat *s) noexcept:
    """Point the pick at the words of calls in flight and of latencies."""
    s.pick.workers = s.g.workers
    s.pick.in_flight = state_in_flight(s.g, 0)
    s.pick.latency = &state_endpoint(s.g, 0).latency
    s.pick.latency_step = sizeof(endpoint) // sizeof(int64_t)
