# The geometry of a guard's words, and their first state.

cdef int64_t LAYOUT = 6  # of the words; raise it with every change of a struct in state.h
cdef uint64_t MARK_PRIME = 0x100000001B3  # of FNV-1a


cdef int64_t line(int64_t words) noexcept:
    """`words`, rounded up to whole cache lines."""
    return (words + 7) // 8 * 8


cdef edge geometry(int64_t endpoints, int64_t workers) noexcept:
    """The geometry of a guard: offsets, length, and the number that says so."""
    cdef edge g
    cdef uint64_t mark = 1
    cdef int64_t part
    memset(&g, 0, sizeof(edge))
    g.hdr = hdr_shape(LATENCY_LOWEST_NS, LATENCY_HIGHEST_NS, LATENCY_DIGITS)
    g.endpoints, g.workers = endpoints, workers
    g.counters_at = line(sizeof(edge) // sizeof(int64_t))
    g.adaptive_at = g.counters_at + workers * <int64_t>(sizeof(counters) // sizeof(int64_t))
    g.in_flight_at = g.adaptive_at + line(ADAPTIVE_WORDS)
    g.endpoints_at = g.in_flight_at + line((1 + endpoints) * workers)
    g.counts_at = g.endpoints_at + line(endpoints * <int64_t>(sizeof(endpoint) // sizeof(int64_t)))
    g.events_at = g.counts_at + line(g.hdr.counters)
    g.standings_at = g.events_at + line(_EVENTS_MAX * _EVENT_WORDS)
    g.standing_words = line(<int64_t>(sizeof(standing) + endpoints * <int64_t>sizeof(place)) // <int64_t>sizeof(int64_t))
    g.words = g.standings_at + 2 * workers * g.standing_words
    for part in (LAYOUT, <int64_t>sizeof(edge), endpoints, workers, g.counts_at, g.events_at, g.standings_at, g.words):
        mark = (mark ^ <uint64_t>part) * MARK_PRIME
    g.layout = <int64_t>(mark >> 1)
    return g


cdef bint laid_out(const edge *g, const edge *wanted) noexcept:
    """Whether the words are of that geometry, as far as they say so: what follows goes by their own offsets."""
    cdef size_t said = <const char *>&g.current - <const char *>&g.words
    return (
        word_load(&g.layout) == wanted.layout
        and not memcmp(&g.words, &wanted.words, said)
        and word_load(&g.current) & 0xFF < 2 * wanted.workers
    )


cdef void lay_out(edge *g, const edge *wanted, const policy *p) noexcept:
    """Put everything into its first state; the layout number, last, says that it is there."""
    cdef int64_t now = clock_now_ns(), i
    cdef standing *st
    cdef adaptive_policy limits
    memset(g, 0, wanted.words * sizeof(int64_t))
    g[0] = wanted[0]
    g.layout = 0
    g.retry = retry_word(RETRY_MILLI * p.retry_floor_per_s, now)  # one second of the floor to start with
    st = state_standing(g, 0)
    st.policy = p[0]
    evidence_believe(st, rung_of(FAILURE_SHARE_LOWEST))
    limits = concurrency_policy(p)
    adaptive_begin(concurrency_adaptive(g), &limits, now)
    st.due_ns = NEVER
    st.rate_ns = p.rate_interval_ns
    st.closed_since_ns = now
    st.window_width_ns = p.window_ns // 10
    st.weight = 100
    st.routes = 1
    for i in range(g.endpoints):
        state_place(st, i).weight = state_place(st, i).ramp = 100
        state_place(st, i).healthy_since_ns = now
    word_store(&g.layout, wanted.layout)
