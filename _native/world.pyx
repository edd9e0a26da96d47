"""A world of services in virtual time, in which policies are met by the same users and the same faults. See world.h.

Policies are Python objects, asked at every attempt; controlplane/sim/run.py says what they must answer.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.math cimport log, sin
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from controlplane._native.guard import test_clock

cdef extern from "world.h":
    enum:
        STEPS_MAX
        LANES_MAX
        NONE
        EV_USER
        EV_ARRIVE
        EV_WORKED
        EV_ANSWER
        EV_TIMEOUT
        EV_FAULT
        EV_WAKE
        EV_PATIENCE
        WELL
        BY_ERROR
        BY_TIMEOUT
        BY_OVERLOAD
        BY_RELAY
    struct event:
        int64_t at
        int32_t kind, index, how, cause
        int64_t generation
    struct heap:
        pass
    struct replica:
        int32_t service, workers, busy, queue_max, queue_head, queue_count, down, hangs, hung
        double slow, errors
        int64_t paused_until
        int32_t *queue
    struct service:
        int32_t first, replicas, steps, turn
        int32_t edges[STEPS_MAX]
        double work_ns, sigma, errors, shard
    struct edge:
        int32_t caller, callee, soft, lane
        int64_t timeout_ns
        double low, high
    struct request:
        int32_t service, replica, step, call, user, priority, hung, next
        int64_t generation, began, deadline
        uint64_t key, root
    struct call:
        int32_t edge, request, made, open, next
        int64_t generation, until
        uint64_t key
    struct user:
        int64_t began
        int32_t ended
    int heap_push(heap *h, int32_t lane, int64_t at, int32_t kind, int32_t index, int64_t generation, int32_t how, int32_t cause) noexcept
    int32_t heap_next(heap *h) noexcept
    int64_t heap_next_at(heap *h, int32_t where) noexcept
    event heap_pop(heap *h, int32_t where) noexcept
    void heap_free(heap *h) noexcept
    uint64_t mix(uint64_t a, uint64_t b) noexcept
    double unit(uint64_t bits) noexcept
    double lognormal(uint64_t key, double sigma) noexcept

include "arguments.pxi"

cdef enum:
    LANE_NET, LANE_PATIENCE, LANE_TIMEOUT  # and from there on one for each time-out

cdef double SECOND = 1e9
cdef double TWO_PI = 6.283185307179586

# what a fault changes, of a replica (or, for LOAD, of all users)
SLOW, ERRORS, DOWN, HANGS, WORKERS, LOAD, PAUSE, SHARD = range(8)

cdef int32_t PRIORITIES[3]
PRIORITIES[0], PRIORITIES[1], PRIORITIES[2] = 0, 1, 2  # critical, default, sheddable, as the guard has them


cdef class World:
    cdef heap _heap
    cdef service *_services
    cdef replica *_replicas
    cdef edge *_edges
    cdef request *_requests
    cdef call *_calls
    cdef user *_users
    cdef int64_t *_counts
    cdef int32_t _services_count, _replicas_count, _edges_count, _entry
    cdef int32_t _requests_room, _free_request, _calls_room, _free_call, _users_room, _users_count
    cdef int64_t _net_ns, _patience_ns, _slow_ns, _react_ns, _seconds, _waking, _begin
    cdef double _rate, _amplitude, _period_ns, _load
    cdef uint64_t _seed
    cdef list _tokens, _policies, _names, _ended, _faults, _names_causes, _keeps_deadlines
    cdef object _fleet
    cdef bint _ringing
    cdef readonly int64_t now
    cdef readonly int64_t attempts, logical_calls, users_failed, users_slow, events, fallbacks
    cdef int64_t *_clock  # of the guards

    def __cinit__(
        self, services, edges, *, seed, entry, seconds, rate_per_s, amplitude, period_s, net_ns, patience_ns, slow_ns,
        react_ns, begin_ns,
    ):
        cdef int32_t at, k, replicas = 0, lanes = LANE_TIMEOUT
        self._seed = <uint64_t>integer(seed, "seed", 0, INT64_HIGHEST)
        self._seconds = integer(seconds, "seconds", 1, 1_000_000)
        self._begin = self.now = integer(begin_ns, "begin_ns", 0, INT64_HIGHEST >> 2)
        self._rate, self._amplitude, self._period_ns, self._load = rate_per_s, amplitude, period_s * SECOND, 1.0
        self._net_ns, self._patience_ns, self._slow_ns, self._react_ns = net_ns, patience_ns, slow_ns, react_ns
        self._waking = -1
        self._clock = <int64_t *>PyCapsule_GetPointer(test_clock(), b"controlplane.clock")
        self._names = [one[0] for one in services]
        self._tokens, self._policies, self._faults = [], [None] * len(edges), []
        self._ended = [None] * len(services)
        self._services_count, self._edges_count = len(services), len(edges)
        self._entry = integer(entry, "entry", 0, self._services_count - 1)
        self._services = <service *>calloc(self._services_count, sizeof(service))
        self._edges = <edge *>calloc(self._edges_count + 1, sizeof(edge))
        self._counts = <int64_t *>calloc(self._services_count * (self._seconds + 60) * 2, sizeof(int64_t))
        self._free_request = self._free_call = NONE
        for _, _, _, _, each in services:
            replicas += len(each)
        self._replicas_count = replicas
        self._replicas = <replica *>calloc(replicas, sizeof(replica))
        if not (self._services and self._edges and self._counts and self._replicas):
            raise MemoryError
        replicas = 0
        for at in range(self._services_count):
            _, work_ns, sigma, errors, each = services[at]
            self._services[at].work_ns, self._services[at].sigma, self._services[at].errors = work_ns, sigma, errors
            self._services[at].first, self._services[at].replicas = replicas, len(each)
            for workers, queue_max in each:
                self._replicas[replicas].service = at
                self._replicas[replicas].workers = workers
                self._replicas[replicas].queue_max = queue_max
                self._replicas[replicas].slow = 1.0
                self._replicas[replicas].queue = <int32_t *>calloc(queue_max + 1, sizeof(int32_t))
                if not self._replicas[replicas].queue:
                    raise MemoryError
                replicas += 1
        for at in range(self._edges_count):
            caller, callee, soft, timeout_ns, low, high = edges[at]
            self._edges[at].low, self._edges[at].high = low, high
            self._edges[at].caller, self._edges[at].callee, self._edges[at].soft = caller, callee, soft
            self._edges[at].timeout_ns = timeout_ns
            self._edges[at].lane = NONE
            for k in range(at):
                if self._edges[k].timeout_ns == self._edges[at].timeout_ns:
                    self._edges[at].lane = self._edges[k].lane
                    break
            else:
                if lanes < LANES_MAX:
                    self._edges[at].lane = lanes
                    lanes += 1
            k = self._services[<int32_t>caller].steps
            if k == STEPS_MAX:
                raise ValueError(f"{self._names[caller]} calls more than {STEPS_MAX} others")
            self._services[<int32_t>caller].edges[k] = at
            self._services[<int32_t>caller].steps = k + 1

    def __dealloc__(self):
        cdef int32_t at
        if self._replicas:
            for at in range(self._replicas_count):
                free(self._replicas[at].queue)
        free(self._services)
        free(self._replicas)
        free(self._edges)
        free(self._requests)
        free(self._calls)
        free(self._users)
        free(self._counts)
        heap_free(&self._heap)

    # before it runs

    def set_fleet(self, fleet, policies, ended):
        self._fleet, self._policies, self._ended = fleet, list(policies), list(ended)
        self._names_causes = [bool(getattr(policy, "names_causes", False)) for policy in self._policies]
        self._keeps_deadlines = [bool(getattr(policy, "keeps_deadlines", False)) for policy in self._policies]
        if len(self._policies) != self._edges_count or len(self._ended) != self._services_count:
            raise ValueError("a policy for each edge, and somebody told of each service's requests (or None)")

    def fault(self, at_ns, what, replica, value):
        self._faults.append((what, integer(replica, "replica", -1, self._replicas_count - 1), float(value)))
        self._push(NONE, wide(at_ns, "at_ns"), EV_FAULT, len(self._faults) - 1, 0, 0, 0)

    # while it runs

    def run(self, until_ns):
        cdef int64_t until = wide(until_ns, "until_ns")
        cdef event e
        cdef int32_t where
        if self._users_room == 0:
            self._next_user()
            self._wake_later()
        while True:
            where = heap_next(&self._heap)
            if where < NONE or heap_next_at(&self._heap, where) > until:
                break
            e = heap_pop(&self._heap, where)
            self.now = e.at
            self.events += 1
            if e.kind == EV_ANSWER:
                if self._calls[e.index].open and self._calls[e.index].generation == e.generation:
                    self._ended_attempt(e.index, e.how, e.cause)
            elif e.kind == EV_ARRIVE:
                self._arrive(e.index, e.generation, e.how, e.cause)
            elif e.kind == EV_WORKED:
                self._worked(e.index)
            elif e.kind == EV_TIMEOUT:
                if self._calls[e.index].open and self._calls[e.index].generation == e.generation:
                    self._ended_attempt(e.index, BY_TIMEOUT, NONE)
            elif e.kind == EV_USER:
                self._user()
            elif e.kind == EV_PATIENCE:
                self._user_ended(e.index, BY_TIMEOUT)
            elif e.kind == EV_WAKE:
                if e.generation == self._waking:
                    self._wake()
            else:
                self._fault(e.index)
        self.now = until

    def move(self, token, other):
        """Take an attempt back and send it again with `other`; False: it has ended."""
        cdef int32_t at = token.attempt
        if at < 0 or not self._calls[at].open or self._tokens[at] is not token:
            return False
        self._tokens[at] = other
        self._send(at)
        return True

    cdef int _push(
        self, int32_t lane, int64_t at, int32_t kind, int32_t index, int64_t generation, int32_t how, int32_t cause
    ) except -1:
        if heap_push(&self._heap, lane, at, kind, index, generation, how, cause) < 0:
            raise MemoryError
        return 0

    cdef inline void _tell_time(self) noexcept:
        self._clock[0] = self.now

    cdef _rang(self):
        """Somebody has to think: not at once, as deciding and writing down take their time."""
        if not self._ringing and self._fleet.rung:
            self._ringing = True
            self._waking += 1
            self._push(NONE, self.now + self._react_ns, EV_WAKE, 0, self._waking, 0, 0)

    cdef _wake(self):
        self._ringing = False
        self._tell_time()
        self._fleet.wake(self.now)
        self._wake_later()

    cdef _wake_later(self):
        cdef int64_t at
        if self._fleet.rung:
            self._rang()
            return
        wanted = self._fleet.wake_at()
        if wanted is not None:
            at = wanted
            self._waking += 1
            self._push(NONE, max(at, self.now + 1), EV_WAKE, 0, self._waking, 0, 0)

    cdef _fault(self, int32_t index):
        what, at, value = self._faults[index]
        cdef replica *r
        cdef int32_t k
        if what == LOAD:
            self._load = value
            return
        r = &self._replicas[<int32_t>at]
        if what == SLOW:
            r.slow = value
        elif what == ERRORS:
            r.errors = value
        elif what == SHARD:
            self._services[r.service].shard = value
        elif what == DOWN:
            r.down = value > 0
        elif what == WORKERS:
            r.workers = <int32_t>value
            self._serve_waiting(at)
        elif what == PAUSE:
            r.paused_until = self.now + <int64_t>value
        elif what == HANGS:
            r.hangs = value > 0
            if not r.hangs and r.hung:  # who waits there is cut off
                for k in range(self._requests_room):
                    if self._requests[k].next == -2 and self._requests[k].hung and self._requests[k].replica == <int32_t>at:
                        self._requests[k].hung = 0
                        r.hung -= 1
                        self._finish(k, BY_ERROR, NONE)

    # users

    cdef _next_user(self):
        cdef double turn = (<double>(self.now - self._begin)) / self._period_ns
        cdef double rate = self._rate * self._load * (1 + self._amplitude * sin(TWO_PI * turn))
        cdef double gap = -log(unit(mix(self._seed, 7 + 2 * <uint64_t>self._users_count))) / rate * SECOND
        cdef user *grown
        cdef int32_t room
        if self._users_count == self._users_room:
            room = 2 * self._users_room if self._users_room else 1024
            grown = <user *>realloc(self._users, room * sizeof(user))
            if not grown:
                raise MemoryError
            self._users, self._users_room = grown, room
        self._push(NONE, self.now + <int64_t>gap + 1, EV_USER, 0, 0, 0, 0)

    cdef _user(self):
        cdef int32_t number = self._users_count, k, at
        cdef service *s = &self._services[self._entry]
        cdef uint64_t key = mix(self._seed, 8 + 2 * <uint64_t>number)
        cdef double kind = unit(mix(key, 1))
        self._users_count += 1
        self._users[number].began, self._users[number].ended = self.now, 0
        self._next_user()
        self._push(LANE_PATIENCE, self.now + self._patience_ns, EV_PATIENCE, number, 0, 0, 0)
        for k in range(s.replicas):  # whoever balances users knows which entry is down, and no more
            s.turn = (s.turn + 1) % s.replicas
            if not self._replicas[s.first + s.turn].down:
                break
        at = self._new_request()
        self._requests[at].user, self._requests[at].call, self._requests[at].key = number, NONE, key
        self._requests[at].root, self._requests[at].deadline = key, self.now + self._patience_ns
        self._requests[at].priority = PRIORITIES[0 if kind < 0.2 else 2 if kind > 0.8 else 1]
        self._admit(at, s.first + s.turn)

    cdef _user_ended(self, int32_t number, int32_t how):
        cdef int64_t took = self.now - self._users[number].began
        if self._users[number].ended:
            return
        self._users[number].ended = 1
        self._count(self._entry, self._users[number].began, how != WELL)
        if how != WELL:
            self.users_failed += 1
        elif took >= self._slow_ns:
            self.users_slow += 1

    cdef _count(self, int32_t service_index, int64_t at, bint failed):
        cdef int64_t second = (at - self._begin) // 1_000_000_000
        cdef int64_t *pair
        if 0 <= second < self._seconds + 60:
            pair = &self._counts[(service_index * (self._seconds + 60) + second) * 2]
            pair[0] += 1
            pair[1] += failed

    # requests at replicas

    cdef int32_t _new_request(self) except -1:
        cdef int32_t at = self._free_request, room, k
        cdef request *grown
        if at == NONE:
            room = 2 * self._requests_room if self._requests_room else 256
            grown = <request *>realloc(self._requests, room * sizeof(request))
            if not grown:
                raise MemoryError
            self._requests = grown
            for k in range(self._requests_room, room):
                grown[k].next = k + 1 if k + 1 < room else NONE
            at, self._requests_room = self._requests_room, room
        self._free_request = self._requests[at].next
        self._requests[at].next = -2  # in use
        self._requests[at].user, self._requests[at].hung, self._requests[at].step = NONE, 0, 0
        self._requests[at].began = self.now
        return at

    cdef _arrive(self, int32_t call_index, int64_t generation, int32_t endpoint, int32_t made):
        """An attempt reaches its replica, whether or not anybody still waits for it."""
        cdef call *c = &self._calls[call_index]
        cdef int32_t at, callee
        # a call that is over may be another one by now: what it asked for is in the event
        callee = self._replicas[endpoint].service
        at = self._new_request()
        c = &self._calls[call_index]
        self._requests[at].call, self._requests[at].generation = call_index, generation
        self._requests[at].key = mix(mix(self._seed, <uint64_t>generation), <uint64_t>made + 3)
        self._requests[at].priority, self._requests[at].root = 1, self._requests[at].key
        self._requests[at].deadline = self.now + self._patience_ns
        if c.open and c.generation == generation:
            self._requests[at].key = mix(c.key, <uint64_t>made)
            self._requests[at].priority = self._requests[c.request].priority
            self._requests[at].root = self._requests[c.request].root
            self._requests[at].deadline = c.until + self._net_ns  # a message says how long, and not until when
        self._requests[at].service = callee
        self._admit(at, endpoint)

    cdef _admit(self, int32_t at, int32_t replica_index):
        cdef replica *r = &self._replicas[replica_index]
        self._requests[at].replica, self._requests[at].service = replica_index, r.service
        if r.down:
            self._answer(at, BY_ERROR, NONE)
            self._release(at)
        elif r.busy < r.workers:
            self._start(at)
        elif r.queue_count < r.queue_max:
            r.queue[(r.queue_head + r.queue_count) % r.queue_max] = at
            r.queue_count += 1
        else:
            self._answer(at, BY_OVERLOAD, NONE)
            self._release(at)

    cdef _start(self, int32_t at):
        cdef replica *r = &self._replicas[self._requests[at].replica]
        cdef service *s = &self._services[r.service]
        cdef double took
        r.busy += 1
        if r.hangs:
            self._requests[at].hung = 1
            r.hung += 1
            return
        took = s.work_ns * r.slow * lognormal(mix(self._requests[at].key, 11), s.sigma)
        self._push(NONE, max(self.now, r.paused_until) + <int64_t>took, EV_WORKED, at, 0, 0, 0)

    cdef _worked(self, int32_t at):
        cdef replica *r = &self._replicas[self._requests[at].replica]
        cdef double errors = 1 - (1 - r.errors) * (1 - self._services[r.service].errors)
        cdef bint lost = unit(mix(self._requests[at].root, 1000 + <uint64_t>r.service)) < self._services[r.service].shard
        if r.down or lost or unit(mix(self._requests[at].key, 12)) < errors:
            self._finish(at, BY_ERROR, NONE)
        else:
            self._next_step(at)

    cdef _next_step(self, int32_t at):
        """Go on with the next callee; a worker stays taken for as long as that takes."""
        cdef service *s = &self._services[self._requests[at].service]
        cdef int32_t edge_index
        cdef double route = unit(mix(self._requests[at].key, 13))
        while self._requests[at].step < s.steps:
            edge_index = s.edges[self._requests[at].step]
            if route < self._edges[edge_index].low or route >= self._edges[edge_index].high:
                self._requests[at].step += 1
                continue
            if self._begin_call(at, edge_index):
                return
            if not self._edges[edge_index].soft:
                self._finish(at, BY_RELAY, self._edges[edge_index].callee)
                return
            self._without(edge_index)
            self._requests[at].step += 1
        self._finish(at, WELL, NONE)

    cdef _without(self, int32_t edge_index):
        self.fallbacks += 1
        told = getattr(self._policies[edge_index], "fell_back", None)
        if told is not None:
            self._tell_time()
            told()
            self._rang()

    cdef _finish(self, int32_t at, int32_t how, int32_t cause):
        """The worker is free again, and whoever asked gets an answer."""
        cdef int32_t replica_index = self._requests[at].replica
        told = self._ended[self._requests[at].service]
        if told is not None:
            self._tell_time()
            told(how != WELL, self.now - self._requests[at].began >= self._slow_ns)
        self._answer(at, how, cause)
        self._release(at)
        self._replicas[replica_index].busy -= 1
        self._serve_waiting(replica_index)

    cdef _serve_waiting(self, int32_t replica_index):
        cdef replica *r = &self._replicas[replica_index]
        cdef int32_t at
        while r.queue_count and r.busy < r.workers:
            at = r.queue[r.queue_head]
            r.queue_head = (r.queue_head + 1) % r.queue_max
            r.queue_count -= 1
            self._start(at)

    cdef _answer(self, int32_t at, int32_t how, int32_t cause):
        if self._requests[at].user != NONE:
            self._user_ended(self._requests[at].user, how)
        else:
            self._push(
                LANE_NET, self.now + self._net_ns, EV_ANSWER,
                self._requests[at].call, self._requests[at].generation, how, cause,
            )

    cdef _release(self, int32_t at):
        self._requests[at].next = self._free_request
        self._free_request = at

    # calls

    cdef bint _begin_call(self, int32_t request_index, int32_t edge_index) except -1:
        """Whether the call was let through."""
        cdef int32_t at, room, k
        cdef call *grown
        self.logical_calls += 1
        self._tell_time()
        token = self._policies[edge_index].begin(
            self._requests[request_index].priority, self._requests[request_index].deadline
        )
        self._rang()
        if token is None or token is False:
            if token is None:
                self._count(self._edges[edge_index].callee, self.now, True)
            return False
        at = self._free_call
        if at == NONE:
            room = 2 * self._calls_room if self._calls_room else 256
            grown = <call *>realloc(self._calls, room * sizeof(call))
            if not grown:
                raise MemoryError
            self._calls = grown
            for k in range(self._calls_room, room):
                grown[k].next = k + 1 if k + 1 < room else NONE
                grown[k].open = 0
                grown[k].generation = 0
                self._tokens.append(None)
            at, self._calls_room = self._calls_room, room
        self._free_call = self._calls[at].next
        self._calls[at].edge, self._calls[at].request, self._calls[at].made = edge_index, request_index, 0
        self._calls[at].key = mix(self._requests[request_index].key, 100 + <uint64_t>self._requests[request_index].step)
        self._tokens[at] = token
        self._send(at)
        return True

    cdef _send(self, int32_t at):
        cdef call *c = &self._calls[at]
        cdef edge *e = &self._edges[c.edge]
        token = self._tokens[at]
        token.attempt = at
        cdef int32_t endpoint = self._services[e.callee].first + <int32_t>token.endpoint
        c.open, c.made = 1, c.made + 1
        c.generation += 1
        c.until = self.now + e.timeout_ns
        if self._keeps_deadlines[c.edge] and self._requests[c.request].deadline < c.until:
            c.until = max(self._requests[c.request].deadline, self.now)
        self.attempts += 1
        self._push(LANE_NET, self.now + self._net_ns, EV_ARRIVE, at, c.generation, endpoint, c.made)
        self._push(e.lane, c.until, EV_TIMEOUT, at, c.generation, 0, 0)

    cdef _ended_attempt(self, int32_t at, int32_t how, int32_t cause):
        cdef int32_t edge_index = self._calls[at].edge
        policy, token = self._policies[edge_index], self._tokens[at]
        self._calls[at].open = 0
        self._calls[at].generation += 1
        self._tell_time()
        if how == WELL:
            policy.succeed(token)
        elif how == BY_RELAY:
            if self._names_causes[edge_index]:
                policy.relay(token, self._names[cause])
            else:
                policy.relay(token)
        else:
            policy.fail(token, how)
        if how != WELL:
            following = policy.again(token, token.endpoint)
            if following is not None:
                self._tokens[at] = following
                self._send(at)
                self._rang()
                return
        self._rang()
        self._call_ended(at, how, self._edges[edge_index].callee if cause == NONE else cause)

    cdef _call_ended(self, int32_t at, int32_t how, int32_t cause):
        cdef int32_t request_index = self._calls[at].request, edge_index = self._calls[at].edge
        self._tokens[at] = None
        self._calls[at].next = self._free_call
        self._free_call = at
        self._count(self._edges[edge_index].callee, self.now, how != WELL)
        if how != WELL and not self._edges[edge_index].soft:
            self._finish(request_index, BY_RELAY, cause)
            return
        if how != WELL:
            self._without(edge_index)
        self._requests[request_index].step += 1
        self._next_step(request_index)

    # afterwards, and in between

    @property
    def users(self):
        return self._users_count

    def users_open(self):
        """How many have not been answered yet."""
        cdef int32_t at
        cdef int64_t still = 0
        for at in range(self._users_count):
            still += not self._users[at].ended
        return still

    def counts(self, service_index):
        """[calls, failed] of each second, calls to that service (of the entry: users' requests)."""
        cdef int64_t at = integer(service_index, "service", 0, self._services_count - 1), k
        cdef int64_t *row = &self._counts[at * (self._seconds + 60) * 2]
        return [(row[2 * k], row[2 * k + 1]) for k in range(self._seconds + 60)]

    def replica(self, index):
        """What a replica does now: busy, queued, workers, down, hangs."""
        cdef replica *r = &self._replicas[integer(index, "replica", 0, self._replicas_count - 1)]
        return {"busy": r.busy, "queued": r.queue_count, "workers": r.workers, "down": r.down, "hangs": r.hangs}
