"""If everything fails together, it is not the endpoints."""

import pytest

from controlplane.decide.safety import Seen
from controlplane.decide.safety.seen import TOGETHER_NS
from controlplane.model.command import Eject, Isolate
from controlplane.model.signal import Cause, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import Nanos
from tests.decide.safety.mesh import NOW, plain, refused, service

SHOP = Topology(
    services=(
        plain("web", 1, calls=("cart", "pay", "search", "news", "ads", "mail")),
        *(plain(name, 3, calls=("session",)) for name in ("cart", "pay", "search", "news", "ads", "mail")),
        plain("session", 2),
    ),
    entry="web",
)


def accused(known: Topology, *targets: str, cause: Cause = Cause.UNREACHABLE, at: int = NOW) -> Seen:
    """Endpoints that were found bad, as `service/endpoint`."""
    seen = Seen(known)
    for text in targets:
        name, _, endpoint = text.partition("/")
        seen.verdict(Target(name, endpoint), cause, Nanos(at))
    return seen


def asked(known: Topology, seen: Seen, now: int = NOW) -> tuple[str, str]:
    return refused(Target("cart", "e0"), Eject(), known, seen=seen, now=Nanos(now))


def test_checks_that_ask_what_everybody_shares_accuse_nobody() -> None:
    """Three of six services with one callee: it is the callee. Two of six are two."""
    assert asked(SHOP, accused(SHOP, "pay/e0", "search/e0", "cart/e0")) == (
        "correlated_cause",
        "endpoints of 3 of 6 services with the callee session fail together",
    )
    assert asked(SHOP, accused(SHOP, "pay/e0", "cart/e0"))[0] == ""


def test_what_failed_a_while_ago_is_another_event() -> None:
    """Ten seconds part two events."""
    seen = accused(SHOP, "pay/e0", "search/e0", at=NOW - TOGETHER_NS - 1)
    seen.verdict(Target("cart", "e0"), Cause.UNREACHABLE, NOW)
    assert asked(SHOP, seen)[0] == ""


def test_real_calls_must_show_most_of_each_service_bad() -> None:
    """One bad replica in each of three services is three bad replicas, when users' calls say so."""
    few = ("pay/e0", "search/e0", "cart/e0")
    assert asked(SHOP, accused(SHOP, *few, cause=Cause.ERRORS))[0] == ""
    most = tuple(f"{name}/e{n}" for name in ("pay", "search", "cart") for n in (0, 1))
    assert asked(SHOP, accused(SHOP, *most, cause=Cause.ERRORS))[0] == "correlated_cause"


def test_each_service_is_counted_by_what_its_own_evidence_is_worth() -> None:
    """Checks that accuse one service do not make a bad replica of another one evidence against what they share."""
    seen = accused(SHOP, "pay/e0", "search/e0", cause=Cause.ERRORS)
    seen.verdict(Target("cart", "e0"), Cause.UNREACHABLE, NOW)
    assert asked(SHOP, seen)[0] == ""
    seen.verdict(Target("pay", "e1"), Cause.ERRORS, NOW)
    seen.verdict(Target("search", "e1"), Cause.ERRORS, NOW)
    assert asked(SHOP, seen)[0] == "correlated_cause"


def test_those_that_do_not_share_it_speak_against_it() -> None:
    """As many bad outside as inside: chance, or something else."""
    known = Topology(
        services=(*SHOP.services, *(plain(name, 3, calls=("db",)) for name in ("x", "y", "z"))), entry="web"
    )
    inside = ("pay/e0", "search/e0", "cart/e0")
    assert asked(known, accused(known, "x/e0", "y/e0", *inside))[0] == "correlated_cause"
    assert asked(known, accused(known, "x/e0", "y/e0", "z/e0", *inside))[0] == ""


@pytest.mark.parametrize("kind", ["zone", "host"])
def test_a_place_that_holds_whole_services_is_a_suspect_when_all_of_them_fail(kind: str) -> None:
    """To eject there moves nothing elsewhere; a service that has endpoints elsewhere is ejected from there."""
    where = tuple(service(name, *({kind: "z"} for _ in range(3))) for name in ("cart", "pay", "ads"))
    known = Topology(services=where)
    assert asked(known, accused(known, "pay/e0", "ads/e0", "cart/e0"))[1].endswith(f"the {kind} z fail together")
    known = Topology(services=(*where, service("news", {kind: "z"})))
    assert asked(known, accused(known, "pay/e0", "ads/e0", "cart/e0"))[0] == ""
    known = Topology(services=(*where[1:], service("cart", {kind: "z"}, {kind: "y"}), service("news", {kind: "z"})))
    assert asked(known, accused(known, "pay/e0", "ads/e0", "news/e0", "cart/e0"))[0] == ""


def test_whole_services_are_not_endpoints() -> None:
    """What answers a service that fails everywhere is decided elsewhere."""
    seen = accused(SHOP, "pay/e0", "search/e0", "cart/e0")
    assert refused(Target("cart"), Isolate(), SHOP, seen=seen)[0] == ""


def test_fifty_faults_at_once_are_fifty_faults() -> None:
    """In a fleet of a thousand services that call each other at random nothing is vetoed."""
    names = [f"s{number}" for number in range(1000)]
    known = Topology(
        services=tuple(
            plain(name, 3, calls=tuple(names[(number * 7 + step * 131) % 1000] for step in range(1, 6)))
            for number, name in enumerate(names)
        )
    )
    bad = [names[number * 19 % 1000] for number in range(50)]
    seen = accused(known, *(f"{name}/e0" for name in bad), cause=Cause.ERRORS)
    for name in bad:
        assert refused(Target(name, "e0"), Eject(), known, seen=seen)[0] == ""
