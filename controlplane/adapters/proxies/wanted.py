"""What a proxy is to do: the state that commands add up to, whatever the proxy.

A target, a service or one endpoint of it, has one order about its traffic; a service has one of each side order beside
it. Each lapses by itself. Enforced for a part of the calls, an order becomes one of the same kind that is so much
weaker, as in process (`adapters.gateway.actuate`). Pure: time is an argument, and no proxy is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from controlplane.adapters.fence import Fence
from controlplane.adapters.share import part_of, share_of
from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    Eject,
    FailOver,
    Harden,
    Intent,
    Isolate,
    Limit,
    Probe,
    Restore,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError, LeaseLapsed, NotHere
from controlplane.model.signal import Target
from controlplane.model.unit import Epoch, Nanos

Part = Literal["", "fail_over", "cap_retries", "shed", "tighten", "close", "harden"]

PARTS: Final[Mapping[type[Intent], Part]] = {
    FailOver: "fail_over",
    CapRetries: "cap_retries",
    Shed: "shed",
    Tighten: "tighten",
    Close: "close",
}
_OF_A_SERVICE: Final = (Isolate, Limit, *PARTS)


class Order(msgspec.Struct, frozen=True):
    """A command in force, and for which share of the calls (percent)."""

    command: Command
    share: int

    @property
    def intent(self) -> Intent:
        """What is ordered, before `share` weakens it."""
        return self.command.intent


class EndpointWanted(msgspec.Struct, frozen=True):
    """What an endpoint is to get: `percent` of its normal share. `ejected`: nothing at all, and what is in flight there
    may be sent again elsewhere. `probed`: a few requests at a time, to find out."""

    percent: int = 100
    ejected: bool = False
    probed: bool = False


class ServiceWanted(msgspec.Struct, frozen=True):
    """What the calls to a service are to meet.

    `percent` of them are let through; none where it is `isolated`, a few at a time where it is `probed`. At most
    `concurrency` in flight (0: any number), and no retry then. `fail_over` percent go to those that stand by (0: none).
    `retries` percent of `retries_share` percent of the calls may be sent again (None: as many as ever). Of those less
    important than `keep`, `shed` percent are refused (0: none). `deadline_ms` bounds `deadline_share` percent of them
    (0: nothing does).
    """

    percent: int = 100
    isolated: bool = False
    probed: bool = False
    concurrency: int = 0
    fail_over: int = 0
    retries: int | None = None
    retries_share: int = 100
    keep: Literal["critical", "default"] = "critical"
    shed: int = 0
    deadline_ms: int = 0
    deadline_share: int = 100


class Wanted:
    """The orders in force at one proxy, which carries `endpoints`: the names of those of each service, in order.

    `usable` says whether the proxy itself would send calls to an endpoint (its health checks, a person's hand): the
    last endpoint that gets any is never taken out. `would` counts, by intent, the orders that were only reported.
    """

    def __init__(
        self, endpoints: Mapping[str, tuple[str, ...]], *, usable: Callable[[Target], bool] = lambda _: True
    ) -> None:
        self.endpoints = dict(endpoints)
        self.would: Counter[str] = Counter()
        self.sized: dict[str, int] = {}  # what a limit has become since it was ordered, by service: `pace`
        self._usable = usable
        self._fence = Fence()
        self._orders: dict[tuple[Target, Part], Order] = {}

    @property
    def epoch(self) -> Epoch:
        """The newest one that was obeyed."""
        return self._fence.epoch

    def check(self, command: Command, now: Nanos) -> None:
        """Whether `apply` would take `command`; it changes nothing but the epoch that is obeyed.

        Raises  NotHere where no traffic of the target passes; StaleEpoch, StaleCommand, LeaseLapsed: it comes too late;
                ActuationError where intent and target do not go together, or the last endpoint would be taken out.
        """
        self._fence.check(command)
        target, intent = command.target, command.intent
        if isinstance(intent, RollBack):
            return  # a deployer's
        if isinstance(intent, Harden):
            raise NotHere("sensitive routes are those of the process that serves them, and of no proxy")
        if target.service not in self.endpoints:
            raise NotHere(f"no calls to {target.service!r} pass here; those that do: {_listed(self.endpoints)}")
        known = self.endpoints[target.service]
        if target.endpoint and target.endpoint not in known:
            raise NotHere(f"no endpoint {target} here; known: {_listed(known)}")
        if isinstance(intent, Restore):
            return  # taking back is never too late
        if isinstance(intent, Eject) and not target.endpoint:
            raise ActuationError(f"Eject is about an endpoint; its target is {target}", retryable=False)
        if isinstance(intent, _OF_A_SERVICE) and target.endpoint:
            name = type(intent).__name__
            reason = f"{name} is about a service, not one endpoint of it; its target is {target}"
            raise ActuationError(reason, retryable=False)
        if isinstance(intent, Weigh | FailOver | CapRetries | Shed) and not 0 <= intent.percent <= 100:
            raise ActuationError(f"{intent.percent} % is no share of calls: 0 to 100 is", retryable=False)
        if isinstance(intent, Limit) and intent.concurrency < 1:
            reason = f"a limit of {intent.concurrency} calls in flight lets nobody in; Isolate says so, or 1 and more"
            raise ActuationError(reason, retryable=False)
        if isinstance(intent, Tighten) and intent.deadline_ms < 1:
            raise ActuationError(
                f"a deadline of {intent.deadline_ms} ms ends every call; 1 is the least", retryable=False
            )
        if command.lease_until <= now:
            raise LeaseLapsed(command.id, now - command.lease_until)
        if command.enforcement == "shadow":
            return
        share = share_of(command)
        if isinstance(intent, Limit) and share < 100:
            reason = f"Limit holds all calls in flight to {target}: it is not to be had for {share} % of them"
            raise ActuationError(reason, retryable=False)
        if isinstance(intent, Eject) and not self._others(target, now):
            reason = f"{target} is the last usable endpoint here and stays"
            raise ActuationError(reason, retryable=False, rule="healthy_floor")

    def apply(self, command: Command, now: Nanos) -> bool:
        """Put `command` in force; whether what is wanted has changed, and not its lease alone. Raises as `check`."""
        self.check(command, now)
        self._fence.note(command)
        target, intent = command.target, command.intent
        if isinstance(intent, RollBack):
            return False
        if isinstance(intent, Restore):
            return self._restore(target, intent.what)
        if command.enforcement == "shadow":
            self.would[type(intent).__name__] += 1
            return False
        before = self.about(target.service)
        self._orders[target, PARTS.get(type(intent), "")] = Order(command, share_of(command))
        return self.about(target.service) != before

    def _restore(self, target: Target, what: Part) -> bool:
        """Take back `what` is ordered about `target`; "": everything, of a service its side orders, too."""
        parts: tuple[Part, ...] = (what,) if what else ("", *PARTS.values())
        gone = [self._orders.pop((target, part), None) for part in parts]
        return any(gone)

    def expire(self, now: Nanos) -> tuple[Order, ...]:
        """Drop the orders whose lease is over, and return them."""
        over = [key for key, order in self._orders.items() if order.command.lease_until <= now]
        return tuple(self._orders.pop(key) for key in over)

    def expires_at(self) -> Nanos | None:
        """When the next lease ends; None: nothing is in force."""
        return min((order.command.lease_until for order in self._orders.values()), default=None)

    def orders(self) -> Iterator[Order]:
        """Every order in force, also one whose lease is over and that nobody has expired yet."""
        yield from self._orders.values()

    def order(self, target: Target, part: Part = "") -> Order | None:
        """The order in force about `target`: that about its traffic, or a side order."""
        return self._orders.get((target, part))

    def limits(self) -> dict[str, int]:
        """The services whose calls in flight are limited, and where the limit of each was to begin."""
        return {
            order.command.target.service: max(1, order.intent.concurrency)
            for order in self._orders.values()
            if isinstance(order.intent, Limit)
        }

    def lease_until(self, service: str) -> Nanos | None:
        """When the last order about `service` or an endpoint of it ends; None: there is none."""
        ends = [order.command.lease_until for (target, _), order in self._orders.items() if target.service == service]
        return max(ends, default=None)

    def endpoint(self, target: Target) -> EndpointWanted:
        """What the endpoint `target` is to get."""
        order = self._orders.get((target, ""))
        if order is None:
            return EndpointWanted()
        match order.intent:
            case Eject() if order.share == 100:
                return EndpointWanted(percent=0, ejected=True)
            case Eject():
                return EndpointWanted(percent=100 - order.share)
            case Probe():
                return EndpointWanted(probed=True)
            case Weigh(percent=percent):
                return EndpointWanted(percent=100 - part_of(100 - percent, order.share))
            case _:  # refused by `check`
                return EndpointWanted()

    def service(self, name: str) -> ServiceWanted:
        """What the calls to service `name` are to meet."""
        target, wanted = Target(name), ServiceWanted()
        if (order := self._orders.get((target, ""))) is not None:
            match order.intent:
                case Isolate() if order.share == 100:
                    wanted = ServiceWanted(percent=0, isolated=True)
                case Isolate():
                    wanted = ServiceWanted(percent=100 - order.share)
                case Probe():
                    wanted = ServiceWanted(probed=True)
                case Weigh(percent=percent):
                    wanted = ServiceWanted(percent=100 - part_of(100 - percent, order.share))
                case Limit(concurrency=concurrency):
                    wanted = ServiceWanted(concurrency=self.sized.get(name, max(1, concurrency)))
                case _:  # side orders have a place of their own
                    pass
        for part in PARTS.values():
            if (order := self._orders.get((target, part))) is not None:
                wanted = msgspec.structs.replace(wanted, **_side(order))
        door = self._orders.get((target, "close"))
        return wanted if door is None else _closed(wanted, door.share)

    def about(self, name: str) -> tuple[ServiceWanted, tuple[EndpointWanted, ...]]:
        """Everything that is wanted of service `name` and of its endpoints, in their order."""
        return self.service(name), tuple(self.endpoint(Target(name, one)) for one in self.endpoints[name])

    def _others(self, target: Target, now: Nanos) -> bool:
        """Whether a sibling of `target` gets calls."""
        for name in self.endpoints[target.service]:
            sibling = Target(target.service, name)
            order = self._orders.get((sibling, ""))
            held = order is not None and order.command.lease_until > now and not self.endpoint(sibling).percent
            if sibling != target and not held and not self.endpoint(sibling).probed and self._usable(sibling):
                return True
        return False


def _closed(wanted: ServiceWanted, share: int) -> ServiceWanted:
    """Behind a closed door nothing else matters; of one that is closed for a part, the rest goes on as ordered."""
    if share == 100:
        return msgspec.structs.replace(wanted, percent=0, isolated=True, probed=False, concurrency=0)
    return msgspec.structs.replace(wanted, percent=min(wanted.percent, 100 - share))


def _side(order: Order) -> dict[str, object]:
    """The fields of `ServiceWanted` that a side order sets."""
    match order.intent:
        case FailOver(percent=percent):
            return {"fail_over": part_of(percent, order.share)}
        case CapRetries(percent=percent):
            return {"retries": percent, "retries_share": order.share}
        case Shed(keep=keep, percent=percent):
            return {"keep": keep, "shed": part_of(percent, order.share)}
        case Tighten(deadline_ms=deadline_ms):
            return {"deadline_ms": deadline_ms, "deadline_share": order.share}
        case _:
            return {}


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
