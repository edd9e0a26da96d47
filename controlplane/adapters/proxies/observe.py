"""What a proxy says of a call, as what the guards are told of it: the same classes of failure as in process.

Proxies name failures in words of their own; here they become one `Told`. What the control plane caused is told as such,
and is evidence against nobody.
"""

from enum import Enum
from typing import Final, NamedTuple

from controlplane._native.guard import STALLED, SUCCESS
from controlplane.adapters.failure import failure_kind
from controlplane.model.signal import Target
from controlplane.ports import CallJudge

HALF_MS: Final = 500_000  # of a clock that counts whole milliseconds


class Whose(Enum):
    """Whose word the answer was."""

    ENDPOINT = "endpoint"  # that of the endpoint: an answer, a failure, silence
    RELAYED = "relayed"  # the endpoint's, about somebody further down
    REFUSED = "refused"  # a guard of ours over there, or this proxy by order of ours
    PROXY = "proxy"  # the proxy's own: nobody to send it to, a queue, a resource, a person
    CLIENT = "client"  # nobody's: the client left before there was one


class Told(NamedTuple):
    """One call. `outcome` is a native one (SUCCESS to STALLED) where it is the endpoint's; `latency_ns` from when the
    endpoint was asked to the head of its answer, or until it was given up; `cause` where it was relayed."""

    service: str
    endpoint: str
    whose: Whose
    outcome: int
    latency_ns: int
    status: int
    cause: str = ""


def outcome_of(status: int) -> int:
    """How a call ended that was answered with `status`."""
    return failure_kind(status) or SUCCESS


def fold(told: Told, judge: CallJudge, *, entry: bool) -> None:
    """Tell `judge` of one call; `entry`: it was a user's request, too."""
    failed = told.status >= 500 or told.status <= 0
    match told.whose:
        case Whose.ENDPOINT:
            judge.ended(Target(told.service, told.endpoint), told.outcome, told.latency_ns)
        case Whose.RELAYED:
            judge.relayed(told.service, told.cause)
        case Whose.CLIENT:
            if told.endpoint and told.latency_ns >= judge.stall_ns(told.service):
                judge.ended(Target(told.service, told.endpoint), STALLED, told.latency_ns)
            return  # nobody saw an answer
        case Whose.REFUSED:
            if entry:
                judge.shed()
            return
        case Whose.PROXY:
            pass
    if entry:
        judge.asked(failed=failed, latency_ns=told.latency_ns)
