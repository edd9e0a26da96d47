"""Nothing acts on invalid data: targets, figures, times, limits."""

import math

import msgspec
import pytest

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.config import parse_config
from controlplane.decide.engine import Engine
from controlplane.decide.safety import wrong_signal
from controlplane.model import signal as sig
from controlplane.model.command import (
    CapRetries,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ConfigError
from controlplane.model.policy import GuardPolicy, ResponsePolicy
from controlplane.model.signal import EDGE_COUNT_MAX, EDGE_SUM_NS_MAX, Cause, EdgeSampled, Signal, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from tests.decide.safety.mesh import NOW, plain, refused, service
from tests.taped import MESH, POLICY

KNOWN = Topology(services=(service("s", {}, {}, {}, {"priority": 1}), plain("web", 0)), entry="web")
ONE, ALL = Target("s", "e0"), Target("s")


@pytest.mark.parametrize(
    ("target", "intent", "reason"),
    [
        (Target("x"), Isolate(), "x is not in the topology"),
        (Target("s", "x"), Eject(), "s/x is not in the topology"),
        (ALL, Eject(), "s is a service: one endpoint is ejected, a service is isolated"),
        (ONE, Isolate(), "s/e0 is an endpoint: isolate is about a whole service"),
        (ONE, FailOver(10), "s/e0 is an endpoint: failover is about a whole service"),
        (ONE, Weigh(101), "a weight of 101 %: it must be from 0 to 100"),
        (ONE, Weigh(-1), "a weight of -1 %: it must be from 0 to 100"),
        (ONE, Weigh(math.nan), "a weight of nan %: it must be from 0 to 100"),
        (ONE, Weigh(None), "a weight of None %: it must be from 0 to 100"),
        (ALL, FailOver(0), "0 % of the calls: it must be from 1 to 100"),
        (ALL, Shed("critical", 101), "101 % of the calls: it must be from 1 to 100"),
        (ALL, CapRetries(101), "retries of 101 %: it must be from 0 to 100"),
        (ALL, Limit(0), "a limit of 0 calls in flight: it must be 1 or more"),
        (ALL, Tighten(0), "a deadline of 0 ms: it must be 1 or more"),
        (ALL, RollBack(""), "a roll-back of no version"),
    ],
)
def test_what_cannot_be_is_not_ordered(target: Target, intent: Intent, reason: str) -> None:
    """The target or the figure is named, with what would be right."""
    assert refused(target, intent, KNOWN) == ("invalid_data", reason)


@pytest.mark.parametrize(
    ("target", "intent"),
    [
        (ONE, Eject()),
        (ONE, Weigh(0)),
        (ONE, Weigh(100)),
        (ALL, Isolate()),
        (ALL, FailOver(1)),
        (ALL, Shed("critical", 100)),
        (ALL, CapRetries(0)),
        (ALL, Limit(1)),
        (ALL, Tighten(1)),
        (ALL, RollBack("v2")),
    ],
)
def test_what_can_be_is(target: Target, intent: Intent) -> None:
    """The bounds themselves are allowed."""
    assert refused(target, intent, KNOWN)[0] == ""


def tripped(*, at: int = NOW, calls: int = 5, failures: int = 5) -> Signal:
    return sig.Tripped(at=Nanos(at), target=ONE, cause=Cause.ERRORS, calls=calls, failures=failures)


def edge(**fields: object) -> Signal:
    return sig.EdgeSampled(
        **{"at": NOW, "caller": "web", "callee": "s", "window_ns": 1, "calls": 5, "failures": 0, **fields}
    )


@pytest.mark.parametrize(
    ("signal", "wrong"),
    [
        (tripped(at=NOW - 60 * SECOND), ""),
        (tripped(at=NOW - 60 * SECOND - 1), "it is 60 s old; what is older than 60 s is not now"),
        (tripped(at=NOW + SECOND), ""),
        (tripped(at=NOW + 2 * SECOND), "it is 2 s in the future: another clock stamped it"),
        (tripped(calls=5, failures=6), "6 failures of 5 calls"),
        (tripped(calls=-1, failures=0), "calls: -1 is no count"),
        (sig.Drifted(at=NOW, target=ONE, factor=math.nan, calls=9, alone=True), "a factor of nan"),
        (sig.Drifted(at=NOW, target=ONE, factor=math.inf, calls=9, alone=True), "a factor of inf"),
        (sig.CallsFinished(at=NOW, target=ONE, calls=3, slow=4), "4 slow of 3 calls"),
        (sig.CallsFinished(at=NOW, target=ONE, calls=math.nan), "calls: nan is no count"),
        (sig.Sampled(at=NOW, target=ONE, calls=3, failures=-1, slow=0), "failures: -1 is no count"),
        (sig.Sampled(at=NOW, target=ONE, calls=3, failures=4, slow=0), ""),
        (sig.EntrySampled(at=NOW, requests=-3, failed=0, slow=0), "requests: -3 is no count"),
        (sig.FellBack(at=NOW, service="s", count=-3), "count: -3 is no count"),
        (edge(failures=6), ""),  # more may fail in a window than begin in it
        (edge(failures=-6), "failures: -6 is no count"),
        (edge(window_ns=0), "a window of 0 ns"),
        (sig.Ordered(at=Nanos(0), order="freeze", by="ana"), ""),
    ],
)
def test_a_signal_that_cannot_be_true_is_named(signal: Signal, wrong: str) -> None:
    """Old, from the future, more failures than calls, not a number; a counter that runs ahead by one is none of it."""
    assert wrong_signal(signal, NOW) == wrong


def test_nothing_acts_on_an_invalid_signal_and_people_are_told_once_a_minute() -> None:
    """A verdict from another boot's clock opens nothing; a source that tells nonsense does so all the time."""
    engine = Engine(KNOWN, ResponsePolicy())
    engine.start(NOW, boot="b", wall_ns=0)
    told = []
    for second in range(0, 120, 20):
        now = Nanos(NOW + second * SECOND)
        outcome = engine.step(tripped(at=now + 3600 * SECOND), now)
        assert not outcome.commands
        assert not [record for record in outcome.records if hasattr(record, "incident") and record.incident]
        told += [notice.text for notice in outcome.notices]
    assert told == ["a signal (tripped) is not believed: it is 3600 s in the future: another clock stamped it"] * 2
    assert not engine.state.incidents


def blank(**fields: object) -> ResponsePolicy:
    return msgspec.structs.replace(ResponsePolicy(), **fields)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (blank(healthy_floor_percent=None), "response.healthy_floor_percent: is blank"),
        (blank(blast_budget_percent=0), "response.blast_budget_percent: is 0"),
        (blank(lease_s=math.nan), "response.lease_s: is nan"),
        (blank(commands_per_minute_max=""), "response.commands_per_minute_max: is blank"),
        (blank(ramp_percent=()), "response.ramp_percent: is blank"),
        (blank(enforcement={"eject": 101}), "response.enforcement: is {'eject': 101}"),
        (blank(enforcement={"limit": 30}), "response.enforcement.limit: is 30"),
    ],
)
def test_an_engine_is_not_run_with_a_blank_policy(policy: ResponsePolicy, said: str) -> None:
    """None, zero and empty where a limit must be: the field is named, and nothing runs on a guess."""
    with pytest.raises(ConfigError) as refusal:
        Engine(KNOWN, policy)
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    "line",
    [
        'healthy_floor_percent = ""',
        "healthy_floor_percent = 0",
        "blast_budget_percent = 0",
        "lease_s = nan",
        "ramp_percent = []",
        "enforcement = { limit = 30 }",
    ],
)
def test_a_blank_limit_in_a_file_is_refused_by_name(line: str) -> None:
    """A template that was filled with nothing, a zero, a NaN."""
    with pytest.raises(ConfigError, match=line.partition(" ")[0]):
        parse_config(f"[response]\n{line}\n")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("window_s", None, "policies.strict.window_s: is blank"),
        ("retry_percent", 101, "policies.strict.retry_percent: is 101"),
        ("concurrency_max", 0, "policy of s: concurrency_max: 0 would switch off what is 80 now"),
        ("failure_percent", 0, "policy of s: failure_percent: 0 would switch off what is 50 now"),
    ],
)
def test_a_blank_policy_is_refused_not_replicated(field: str, value: object, said: str) -> None:
    """Of a policy for all processes either all is put in force or nothing: the guards keep what they had."""
    declared = tuple(msgspec.structs.replace(one, policy="strict") for one in KNOWN.services)
    strict = GuardPolicy(concurrency_max=80)
    guards = GuardSet(Topology(services=declared, entry="web"), {"strict": strict})
    with pytest.raises(ConfigError) as refusal:
        guards.retune({"strict": msgspec.structs.replace(strict, rate_burst=7, **{field: value})})
    assert str(refusal.value).startswith(said)
    assert guards.guard("s").policy()["rate_burst"] == 1
    guards.retune({"strict": msgspec.structs.replace(strict, rate_burst=7, concurrency_max=1)})
    assert (guards.guard("s").policy()["rate_burst"], guards.guard("s").policy()["concurrency_max"]) == (7, 1)


@pytest.mark.parametrize(
    "beyond",
    [
        {"calls": 2**63 - 1},
        {"calls": 2**70},
        {"attempts": EDGE_COUNT_MAX + 1},
        {"timed": EDGE_COUNT_MAX + 1},
        {"in_flight": 2**64},
        {"client_latency_ns": EDGE_SUM_NS_MAX + 1},
        {"server_latency_ns": 2**63},
        {"window_ns": 2**63},
        {"window_ns": 0},
        {"failures": -1},
    ],
)
def test_a_sample_beyond_what_can_be_summed_is_not_believed(beyond: dict[str, int]) -> None:
    """It has lost its unit, and no sum may leave 64 bits over it."""
    usual = EdgeSampled(at=Nanos(5), caller="web", callee="cart", window_ns=10**9, calls=3, failures=1)
    assert wrong_signal(usual, Nanos(5)) == ""
    assert wrong_signal(msgspec.structs.replace(usual, **beyond), Nanos(5))


def test_a_flood_of_the_largest_samples_breaks_no_step() -> None:
    """Each by itself is within its bounds; what would leave 64 bits in sum is dropped, and counted."""
    engine = Engine(MESH, POLICY)
    now = Nanos(10**12)
    engine.start(now, boot="boot", wall_ns=1)
    huge = EdgeSampled(
        at=now,
        caller="web",
        callee="cart",
        window_ns=10**9,
        calls=EDGE_COUNT_MAX,
        failures=EDGE_COUNT_MAX,
        client_latency_ns=EDGE_SUM_NS_MAX,
        server_latency_ns=EDGE_SUM_NS_MAX,
        source="gateway",
    )
    for second in range(200):
        at = Nanos(now + second * 10**9)
        for _ in range(10):
            engine.step(msgspec.structs.replace(huge, at=at), at)
    engine.tick(at)
    (edge,) = [one for one in engine.graph.edges(at) if (one.caller, one.callee) == ("web", "cart")]
    assert edge.client_latency_ns is not None
    assert edge.client_latency_ns > 0
    assert not any((rows < 0).any() for rows in engine.graph.window(at).edge.values())
    assert engine.graph.statistics().late > 0
