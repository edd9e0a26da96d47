"""Which incidents a playbook fits, and on which endpoints it rests."""

import msgspec
import pytest

from controlplane.decide.playbook.fingerprint import playbook_print, topology_print
from controlplane.decide.playbook.fit import fits, severity
from controlplane.decide.playbook.reliable import relied_on
from controlplane.model.incident import Incident, Phase
from controlplane.model.playbook import Match, Playbook, Precondition, Step
from controlplane.model.signal import Cause, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import IncidentId, Nanos

ORDERS = Service(
    name="orders",
    endpoints=tuple(
        Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}", zone=zone, version=version, priority=priority)
        for n, zone, version, priority in (
            (1, "a", "v1", 0),
            (2, "b", "v1", 0),
            (3, "b", "v2", 0),
            (4, "b", "v1", 1),
            (5, "c", "v1", 1),
        )
    ),
)
TOPOLOGY = Topology(services=(Service(name="web", calls=("orders",)), ORDERS), entry="web")


def incident(*bad: str, cause: Cause = Cause.ERRORS, version: str = "", failed: int = 0) -> Incident:
    touched = [Target("orders", name) for name in bad] or [Target("orders")]
    return Incident(
        id=IncidentId("i1"),
        origin=touched[0] if len(bad) == 1 else Target("orders"),
        cause=cause,
        phase=Phase.CONTAINMENT,
        opened_at=Nanos(0),
        signal_at=Nanos(0),
        shadow=False,
        touched=touched,
        version=version,
        user_failed=failed,
    )


@pytest.mark.parametrize(
    ("match", "seen", "fit"),
    [
        (Match(service="orders"), incident("o1"), True),
        (Match(service="web"), incident("o1"), False),
        (Match(service="orders", cause=(Cause.SLOW,)), incident("o1"), False),
        (Match(service="orders", cause=(Cause.SLOW, Cause.ERRORS)), incident("o1"), True),
        (Match(service="orders"), incident("o1", cause=Cause.ALERT), False),
        (Match(service="orders", cause=(Cause.ALERT,)), incident("o1", cause=Cause.ALERT), True),
        (Match(service="orders", endpoint="o2"), incident("o1"), False),
        (Match(service="orders", endpoint="o2"), incident("o1", "o2"), True),
        (Match(service="orders", zone="b"), incident("o2"), False),
        (Match(service="orders", zone="b"), incident("o2", "o3"), True),  # o4 stands by, and shows nothing
        (Match(service="orders", zone="b"), incident("o2", "o3", "o4"), True),
        (Match(service="orders", zone="b"), incident("o1", "o2", "o3"), False),
        (Match(service="orders", zone="c"), incident("o5"), True),
        (Match(service="orders", version="v2"), incident("o3"), True),
        (Match(service="orders", version="v1"), incident("o1", "o2"), True),
        (Match(service="orders", version="v1"), incident("o1", "o2", "o3"), False),
        (Match(service="orders", version="*"), incident("o3"), False),
        (Match(service="orders", version="*"), incident("o3", version="v2"), True),
        (Match(service="orders", severity="critical"), incident("o1"), False),
        (Match(service="orders", severity="critical"), incident("o1", failed=3), True),
        (Match(service="orders", severity="critical"), incident(), True),
    ],
)
def test_every_field_that_is_given_must_fit(match: Match, seen: Incident, fit: bool) -> None:
    """Service, cause, endpoint, zone, version, severity."""
    assert fits(match, seen, ORDERS) is fit


def test_a_whole_service_is_critical() -> None:
    """And so are users whose requests fail."""
    assert [severity(one) for one in (incident("o1"), incident("o1", failed=1), incident())] == [
        "warning",
        "critical",
        "critical",
    ]


@pytest.mark.parametrize(
    ("steps", "needs", "names"),
    [
        ((Step(do="fail_over", percent=20),), (), "o4 o5"),
        ((Step(do="eject", zone="b"),), (), "o1 o5"),
        ((Step(do="isolate"),), (), ""),
        ((Step(do="tell", text="x"),), (Precondition(need="floor", endpoints=1, zone="a"),), "o1"),
        ((Step(do="tell", text="x"),), (Precondition(need="fallback"),), "o4 o5"),
        ((Step(do="tell", text="x"),), (Precondition(need="healthy"),), ""),
    ],
)
def test_a_playbook_rests_on_those_that_take_over(
    steps: tuple[Step, ...], needs: tuple[Precondition, ...], names: str
) -> None:
    """And on those that its preconditions count: where one of them has drifted it is unreliable."""
    one = Playbook(name="p", match=Match(service="orders"), steps=steps, preconditions=needs)
    assert " ".join(sorted(target.endpoint for target in relied_on(one, TOPOLOGY))) == names


def test_a_fingerprint_is_of_what_a_rehearsal_depends_on() -> None:
    """Addresses, order and owners are not; endpoints, zones, calls and steps are."""

    def other(**change: object) -> Topology:
        endpoints = (msgspec.structs.replace(ORDERS.endpoints[0], **change), *ORDERS.endpoints[1:])
        changed = msgspec.structs.replace(ORDERS, endpoints=endpoints)
        return Topology(services=(changed, TOPOLOGY.services[0]), entry="web")

    assert topology_print(other()) == topology_print(TOPOLOGY) == topology_print(other(url="http://127.0.0.1:77"))
    assert (
        len(
            {
                topology_print(other(**{key: value}))
                for key, value in (
                    ("zone", "z"),
                    ("version", "v9"),
                    ("priority", 1),
                    ("capacity_per_s", 9.0),
                    ("name", "o9"),
                )
            }
        )
        == 5
    )
    one = Playbook(name="p", match=Match(service="orders"), steps=(Step(do="isolate"),))
    assert playbook_print(one) == playbook_print(msgspec.structs.replace(one, owner="x", enforce=True, text="y"))
    assert playbook_print(one) != playbook_print(msgspec.structs.replace(one, match=Match(service="web")))
