"""The kernel's world once more, slowly: dictionaries, closures, Python's own heap. No code is shared."""

import heapq
import math
from collections import deque
from collections.abc import Callable
from typing import Any

WORD = (1 << 64) - 1
ERROR, TIMEOUT, OVERLOAD, RELAYED = 1, 2, 3, 4
SECOND = 1_000_000_000


def mix(a: int, b: int) -> int:
    z = (a * 0x9E3779B97F4A7C15 + b + 0x7F4A7C15) & WORD
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & WORD
    return z ^ z >> 31


def unit(bits: int) -> float:
    return ((bits >> 11) + 0.5) * 2.0**-53


def lognormal(key: int, sigma: float) -> float:
    normal = math.sqrt(-2 * math.log(unit(mix(key, 101)))) * math.cos(6.283185307179586 * unit(mix(key, 102)))
    return math.exp(sigma * normal - sigma * sigma / 2)


class Replica:
    def __init__(self, service: "Service", workers: int, queue_max: int) -> None:
        self.service, self.workers, self.queue_max = service, workers, queue_max
        self.busy, self.waiting = 0, deque[Request]()
        self.slow, self.errors, self.down, self.hangs, self.paused_until = 1.0, 0.0, False, False, 0
        self.stuck: list[Request] = []


class Service:
    def __init__(self, number: int, row: tuple[Any, ...]) -> None:
        self.number = number
        self.name, self.work_ns, self.sigma, self.errors, replicas = row
        self.replicas = [Replica(self, *one) for one in replicas]
        self.edges: list[int] = []
        self.turn = 0
        self.counts: dict[int, list[int]] = {}


class Request:
    def __init__(self, key: int, root: int, priority: int, deadline: int, reply: Callable[[int, int], None]) -> None:
        self.key, self.root, self.priority, self.deadline, self.reply = key, root, priority, deadline, reply
        self.replica: Replica
        self.step = 0


class Oracle:
    """As `World`, with the same arguments; `trace` has what befell each attempt and user."""

    def __init__(self, services: Any, edges: Any, **fields: Any) -> None:
        self.__dict__.update(fields)
        self.services = [Service(at, row) for at, row in enumerate(services)]
        self.replicas = [replica for service in self.services for replica in service.replicas]
        self.lines = edges
        for at, line in enumerate(edges):
            self.services[line[0]].edges.append(at)
        self.now, self.load = fields["begin_ns"], 1.0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.pushed = self.events = self.users = self.failed = self.slow = self.attempts = self.calls = 0
        self.open_users: set[int] = set()

    def at(self, when: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (when, self.pushed, what))
        self.pushed += 1

    def fault(self, when: int, what: str, replica: int, value: float) -> None:
        self.at(when, lambda: self.change(what, replica, value))

    def run(self, policies: list[Any], until: int) -> None:
        self.policies = policies
        self.next_user()
        while self.heap and self.heap[0][0] <= until:
            self.now, _, what = heapq.heappop(self.heap)
            self.events += 1
            what()

    def change(self, what: str, at: int, value: float) -> None:
        replica = self.replicas[at]
        if what == "load":
            self.load = value
        elif what == "workers":
            replica.workers = int(value)
            self.serve(replica)
        elif what == "pause":
            replica.paused_until = self.now + int(value)
        elif what in ("slow", "errors"):
            setattr(replica, what, value)
        elif what == "down":
            replica.down = value > 0
        else:
            replica.hangs = value > 0
            stuck, replica.stuck = replica.stuck, []
            for request in stuck:
                self.finish(request, ERROR, -1)

    # users

    def next_user(self) -> None:
        turn = (self.now - self.begin_ns) / (self.period_s * 1e9)
        rate = self.rate_per_s * self.load * (1 + self.amplitude * math.sin(6.283185307179586 * turn))
        gap = -math.log(unit(mix(self.seed, 7 + 2 * self.users))) / rate * 1e9
        self.at(self.now + int(gap) + 1, self.user)

    def user(self) -> None:
        number, began = self.users, self.now
        service = self.services[self.entry]
        key = mix(self.seed, 8 + 2 * number)
        kind = unit(mix(key, 1))
        self.users += 1
        self.open_users.add(number)
        self.next_user()

        def ended(how: int, _cause: int) -> None:
            if number not in self.open_users:
                return
            self.open_users.discard(number)
            self.count(service, began, how)
            self.failed += how != 0
            self.slow += how == 0 and self.now - began >= self.slow_ns

        self.at(self.now + self.patience_ns, lambda: ended(TIMEOUT, -1))
        for _ in service.replicas:
            service.turn = (service.turn + 1) % len(service.replicas)
            if not service.replicas[service.turn].down:
                break
        priority = 0 if kind < 0.2 else 2 if kind > 0.8 else 1
        request = Request(key, key, priority, self.now + self.patience_ns, ended)
        self.admit(request, service.replicas[service.turn])

    def count(self, service: Service, when: int, how: int) -> None:
        pair = service.counts.setdefault((when - self.begin_ns) // SECOND, [0, 0])
        pair[0] += 1
        pair[1] += how != 0

    # requests

    def admit(self, request: Request, replica: Replica) -> None:
        request.replica = replica
        if replica.down:
            request.reply(ERROR, -1)
        elif replica.busy < replica.workers:
            self.start(request)
        elif len(replica.waiting) < replica.queue_max:
            replica.waiting.append(request)
        else:
            request.reply(OVERLOAD, -1)

    def start(self, request: Request) -> None:
        replica = request.replica
        replica.busy += 1
        if replica.hangs:
            replica.stuck.append(request)
            return
        took = replica.service.work_ns * replica.slow * lognormal(mix(request.key, 11), replica.service.sigma)
        self.at(max(self.now, replica.paused_until) + int(took), lambda: self.worked(request))

    def worked(self, request: Request) -> None:
        replica = request.replica
        errors = 1 - (1 - replica.errors) * (1 - replica.service.errors)
        if replica.down or unit(mix(request.key, 12)) < errors:
            self.finish(request, ERROR, -1)
        else:
            self.go_on(request)

    def go_on(self, request: Request) -> None:
        route = unit(mix(request.key, 13))
        service = request.replica.service
        while request.step < len(service.edges):
            edge = service.edges[request.step]
            _, callee, soft, _, low, high = self.lines[edge]
            if low <= route < high:
                self.calls += 1
                token = self.policies[edge].begin(request.priority, request.deadline)
                if token:
                    Call(self, request, edge).send(token)
                    return
                if token is None:
                    self.count(self.services[callee], self.now, ERROR)
                if not soft:
                    self.finish(request, RELAYED, callee)
                    return
            request.step += 1
        self.finish(request, 0, -1)

    def finish(self, request: Request, how: int, cause: int) -> None:
        request.reply(how, cause)
        request.replica.busy -= 1
        self.serve(request.replica)

    def serve(self, replica: Replica) -> None:
        while replica.waiting and replica.busy < replica.workers:
            self.start(replica.waiting.popleft())


class Call:
    """What a request waits for; `attempt` counts its attempts, so that late news is known."""

    def __init__(self, world: Oracle, request: Request, edge: int) -> None:
        self.world, self.request, self.edge, self.attempt = world, request, edge, 0
        self.key = mix(request.key, 100 + request.step)
        self.token: Any = None

    def send(self, token: Any) -> None:
        world = self.world
        self.token, self.attempt = token, self.attempt + 1
        made = self.attempt
        world.attempts += 1
        callee = world.services[world.lines[self.edge][1]]
        replica = callee.replicas[token.endpoint]

        def reply(how: int, cause: int) -> None:
            world.at(world.now + world.net_ns, lambda: self.ended(made, how, cause))

        until = world.now + world.lines[self.edge][3]
        if getattr(world.policies[self.edge], "keeps_deadlines", False):
            until = max(world.now, min(until, self.request.deadline))

        def arrive() -> None:
            assert self.attempt == made, "worlds of this oracle wait longer than a message travels"
            mine = self.request
            key = mix(self.key, made)
            world.admit(Request(key, mine.root, mine.priority, until + world.net_ns, reply), replica)

        world.at(world.now + world.net_ns, arrive)
        world.at(until, lambda: self.ended(made, TIMEOUT, -1))

    def ended(self, made: int, how: int, cause: int) -> None:
        if self.attempt != made:
            return
        world, policy = self.world, self.world.policies[self.edge]
        _, callee, soft, *_ = world.lines[self.edge]
        self.attempt = made  # still the same until it is sent again
        if how == 0:
            policy.succeed(self.token)
        elif how == RELAYED:
            policy.relay(self.token)
        else:
            policy.fail(self.token, how)
        if how:
            token = policy.again(self.token, self.token.endpoint)
            if token is not None:
                self.send(token)
                return
        self.attempt = -1
        world.count(world.services[callee], world.now, how)
        if how and not soft:
            world.finish(self.request, RELAYED, callee if cause < 0 else cause)
            return
        self.request.step += 1
        world.go_on(self.request)
