"""How fast and how far: acts in a minute, and the share of everything that is held."""

import msgspec
import pytest

from controlplane.decide.safety import charge
from controlplane.decide.state import State
from controlplane.model.command import CapRetries, Eject, FailOver, Intent, Isolate, Limit, Probe, Restore, Shed, Weigh
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from tests.decide.safety.mesh import LOOSE, NOW, holding, out, plain, refused

KNOWN = Topology(services=(plain("s", 3), plain("t", 3), plain("u", 4)))
BUDGET = msgspec.structs.replace(LOOSE, blast_budget_percent=30)
MINUTE = 60 * SECOND


def test_the_velocity_limit_counts_the_last_minute() -> None:
    """The second act within a minute is one too many; what is a minute old does not count."""
    policy = msgspec.structs.replace(LOOSE, commands_per_minute_max=2)
    at = [Nanos(NOW - MINUTE), Nanos(NOW - 1)]
    assert refused(Target("s"), Isolate(), KNOWN, policy, state=State(issued_at=at))[0] == ""
    at = [Nanos(NOW - MINUTE + 1), Nanos(NOW - 1)]
    assert refused(Target("s"), Isolate(), KNOWN, policy, state=State(issued_at=at)) == (
        "velocity_limit",
        "2 commands in the last minute, 2 allowed",
    )


def test_the_velocity_limit_counts_each_service_apart() -> None:
    """One service that goes mad must not be followed at every turn, and stops no other."""
    policy = msgspec.structs.replace(LOOSE, service_commands_per_minute_max=2)
    state = State()
    state.standing.acts["s"] = [Nanos(NOW - 2), Nanos(NOW - 1)]
    assert refused(Target("s", "e0"), Eject(), KNOWN, policy, state=state) == (
        "velocity_limit",
        "2 commands about s in the last minute, 2 allowed",
    )
    assert refused(Target("t", "e0"), Eject(), KNOWN, policy, state=state)[0] == ""
    state.standing.acts["s"].pop()
    assert refused(Target("s", "e0"), Eject(), KNOWN, policy, state=state)[0] == ""


@pytest.mark.parametrize("intent", [Restore(), Probe(), Weigh(10)])
def test_giving_back_is_not_rationed(intent: Intent) -> None:
    """A storm of ejections must not block the way back."""
    policy = msgspec.structs.replace(LOOSE, commands_per_minute_max=1, service_commands_per_minute_max=1)
    state = holding(KNOWN, *out("e0"), issued_at=[NOW, NOW])
    assert refused(Target("s", "e0"), intent, KNOWN, policy, state=state)[0] == ""


def test_the_blast_budget_counts_all_services() -> None:
    """Three of ten endpoints may be out, wherever they are; the fourth may not."""
    state = holding(KNOWN, *out("e0", "e1"))
    assert refused(Target("t", "e0"), Eject(), KNOWN, BUDGET, state=state)[0] == ""
    state = holding(KNOWN, *out("e0", "e1"), *out("e0", of="t"))
    assert refused(Target("u", "e0"), Eject(), KNOWN, BUDGET, state=state) == (
        "blast_budget",
        "40% of all endpoints would be held, 30 % allowed",
    )


def test_an_isolation_is_charged_all_of_its_service() -> None:
    """One whole service may always be isolated, however large; a second one only within the budget."""
    assert refused(Target("u"), Isolate(), KNOWN, BUDGET)[0] == ""
    state = holding(KNOWN, (Target("s"), Isolate()))
    assert refused(Target("t"), Isolate(), KNOWN, BUDGET, state=state) == (
        "blast_budget",
        "60% of all endpoints would be held, 30 % allowed",
    )
    wide = msgspec.structs.replace(BUDGET, blast_budget_percent=60)
    assert refused(Target("t"), Isolate(), KNOWN, wide, state=state)[0] == ""


def test_a_reroute_is_charged_what_it_moves() -> None:
    """Half of an endpoint's traffic is half an endpoint."""
    policy = msgspec.structs.replace(LOOSE, blast_budget_percent=15)
    state = holding(KNOWN, *out("e0"))
    assert refused(Target("t", "e0"), Weigh(50), KNOWN, policy, state=state, kind="reroute")[0] == ""
    assert refused(Target("t", "e0"), Weigh(49), KNOWN, policy, state=state, kind="reroute")[0] == "blast_budget"


def test_probation_is_held_until_traffic_is_back() -> None:
    """Three endpoints of ten that get probes are three that are held; at half of its share one counts half."""
    probed = [(target, Probe()) for target, _ in (*out("e0", "e1"), *out("e0", of="t"))]
    assert refused(Target("u", "e0"), Eject(), KNOWN, BUDGET, state=holding(KNOWN, *probed))[0] == "blast_budget"
    ramping = [(target, Weigh(50)) for target, _ in probed]
    assert refused(Target("u", "e0"), Eject(), KNOWN, BUDGET, state=holding(KNOWN, *ramping))[0] == ""
    tried = holding(KNOWN, (Target("s"), Probe()))
    assert refused(Target("t"), Isolate(), KNOWN, BUDGET, state=tried)[1].startswith(
        "60% of all endpoints would be held"
    )


def test_what_an_order_replaces_is_not_charged_beside_it() -> None:
    """A relapse holds who is held."""
    policy = msgspec.structs.replace(LOOSE, blast_budget_percent=10)
    assert refused(Target("s", "e0"), Eject(), KNOWN, policy, state=holding(KNOWN, *out("e0")))[0] == ""


@pytest.mark.parametrize(
    ("intent", "percent", "endpoints"),
    [
        (Eject(), 100, 1.0),
        (Eject(), 25, 0.25),
        (Isolate(), 100, 4.0),
        (FailOver(50), 100, 2.0),
        (Shed("critical", 25), 100, 1.0),
        (Limit(1), 100, 0.0),
        (CapRetries(), 100, 0.0),
        (Probe(), 100, 0.0),
        (Restore(), 100, 0.0),
    ],
)
def test_what_an_act_is_charged(intent: Intent, percent: int, endpoints: float) -> None:
    """Endpoints that it takes out of normal service, as a share of all ten."""
    target = Target("u", "e0" if isinstance(intent, Eject) else "")
    assert charge(intent, KNOWN, target=target, percent=percent) == pytest.approx(endpoints / 10)


def test_a_third_party_without_endpoints_is_charged_as_one() -> None:
    """And nothing is charged where nothing is declared."""
    known = Topology(services=(plain("s", 9), plain("mail", 0)))
    assert charge(Isolate(), known, target=Target("mail")) == pytest.approx(1 / 9)
    assert charge(Eject(), Topology()) == 0
