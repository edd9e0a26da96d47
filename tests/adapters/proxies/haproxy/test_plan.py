"""What is wanted, in HAProxy's terms, and what HAProxy says of itself."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.proxies.haproxy.plan import (
    RULES,
    Naming,
    Setting,
    command_of,
    refuse_impossible,
    settings_of,
)
from controlplane.adapters.proxies.haproxy.state import Entry, read_info, read_list, read_servers
from controlplane.adapters.proxies.wanted import Wanted
from controlplane.config.check_proxies import RESERVED
from controlplane.model.command import (
    CapRetries,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    Probe,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND, Nanos
from tests.adapters.proxies.test_wanted import NOW, O1, ORDERS, order

SERVICES = {"orders": ("o1", "o2")}
NAMING = Naming(SERVICES, {"orders": "be"}, {"orders/o1": "web1"})
UNTIL = Nanos(NOW + 30 * SECOND)


@pytest.mark.parametrize(
    ("target", "intent", "percent", "settings"),
    [
        (O1, Eject(), 100, {"be/web1": ("hold", 0)}),
        (O1, Eject(), 30, {"be/web1": ("hold", 70)}),
        (O1, Probe(), 100, {"be/web1": ("hold", 5)}),
        (O1, Weigh(40), 100, {"be/web1": ("hold", 40)}),
        (O1, Weigh(100), 100, {}),
        (ORDERS, Isolate(), 100, {f"be/{name}": ("rule", 0) for name in ("critical", "default", "sheddable")}),
        (ORDERS, Weigh(25), 100, {f"be/{name}": ("rule", 25) for name in ("critical", "default", "sheddable")}),
        (ORDERS, Probe(), 100, {f"be/{name}": ("rule", 5) for name in ("critical", "default", "sheddable")}),
        (ORDERS, Shed("critical"), 100, {"be/default": ("rule", 0), "be/sheddable": ("rule", 0)}),
        (ORDERS, Shed("default", 30), 100, {"be/sheddable": ("rule", 70)}),
        (ORDERS, Limit(8), 100, {"be/limit": ("rule", 8), "be/retries": ("rule", 0)}),
        (ORDERS, CapRetries(10), 100, {"be/retries": ("rule", 10)}),
        (ORDERS, CapRetries(10), 50, {"be/retries": ("rule", 55)}),
        (ORDERS, Tighten(250), 100, {"be/deadline": ("rule", 250)}),
    ],
)
def test_an_order_is_holds_and_rules(
    target: Target, intent: Intent, percent: int, settings: dict[str, tuple[str, int]]
) -> None:
    """Each with the lease of its order; what is not named is to be as configured."""
    wanted = Wanted(SERVICES)
    wanted.apply(order(1, target, intent, percent=percent), NOW)
    assert settings_of(wanted, NAMING, "orders") == {
        name: Setting(kind, value, UNTIL) for name, (kind, value) in settings.items()
    }


def test_orders_that_add_up_end_with_the_first_of_them() -> None:
    """Half of the calls, and of those not the sheddable ones: when one lease ends, so does the sum."""
    wanted = Wanted(SERVICES)
    wanted.apply(order(1, ORDERS, Weigh(50), lease_s=60), NOW)
    wanted.apply(order(2, ORDERS, Shed("default", 50)), NOW)
    settings = settings_of(wanted, NAMING, "orders")
    assert {name: setting.value for name, setting in settings.items()} == {
        "be/critical": 50,
        "be/default": 50,
        "be/sheddable": 25,
    }
    assert {setting.until for setting in settings.values()} == {UNTIL}


def test_a_setting_is_one_command() -> None:
    """With what is left of its lease; nothing at all is a release."""
    assert command_of("be/web1", Setting("hold", 0, UNTIL), NOW) == "controlplane hold be/web1 30000 0"
    assert command_of("be/limit", Setting("rule", 8, NOW), NOW) == "controlplane rule be/limit 1 8"
    assert command_of("be/web1", None, NOW) == "controlplane release be/web1"


def test_names_go_both_ways() -> None:
    """Of servers, of rules, and of what is not ours."""
    assert NAMING.server(O1) == "be/web1"
    assert (NAMING.target("be", "web1"), NAMING.target("be", "o1"), NAMING.target("x", "y")) == (O1, None, None)
    assert [NAMING.owner(name) for name in ("be/web1", "be/limit", "be/other", "x/limit", "x")] == [
        O1,
        ORDERS,
        None,
        None,
        None,
    ]


def test_what_haproxy_has_no_means_for_is_refused() -> None:
    """In words, and for good."""
    with pytest.raises(ActuationError, match="a share of the calls cannot fail over"):
        refuse_impossible(order(1, ORDERS, FailOver(50)))
    with pytest.raises(ActuationError, match="bounds all answers of orders or none, not those of 30 %"):
        refuse_impossible(order(1, ORDERS, Tighten(100), percent=30))
    refuse_impossible(order(1, ORDERS, Tighten(100)))


def test_haproxys_answers_are_read() -> None:
    """Its worker, its servers, what is in force."""
    info = read_info("Name: HAProxy\nPid: 7\nStart_time_sec: 99\nStopping: 1\nDroppedLogs: 4\nnode: a: b\n")
    assert info == ("pid 7 since 99", True, 4)
    header = "# pxname,svname,qcur,scur,stot,wretr,wredis,status,weight,check_status,-"
    rows = ["be,web1,0,3,17,2,1,UP 1/3,40,L4OK,-", "be,web2,0,0,1,0,0,MAINT (via x),0,,-", "short,row"]
    one, two = read_servers("\n".join([header, *rows]))
    assert (one.in_flight, one.started, one.retried, one.usable, one.by_hand, one.checked) == (3, 17, 3, True, "", True)
    assert (two.usable, two.by_hand, two.checked) == (False, "MAINT", False)
    assert read_list("hold be/web1 1500 0\nrule be/limit -3 8") == [
        Entry("hold", "be/web1", 1500, 0),
        Entry("rule", "be/limit", -3, 8),
    ]
    assert (read_list(""), read_list("Unknown command, but maybe")) == ([], None)


@pytest.mark.parametrize("text", ["", "# pxname,svname", "garbage\n\n"])
def test_what_is_no_answer_is_said_to_be_none(text: str) -> None:
    """Another program, another version."""
    with pytest.raises(ValueError, match="not HAProxy's answer to `show stat"):
        list(read_servers(text))
    with pytest.raises(ValueError, match="not HAProxy's answer to `show info`"):
        read_info(text)


def test_the_configuration_reserves_what_rules_are_called() -> None:
    """A server of such a name would be taken for the rule."""
    assert set(RESERVED) == set(RULES)


@given(st.text(max_size=200))
def test_no_answer_breaks_the_readers(text: str) -> None:
    """Whatever a runtime API says, it is read or said to be none."""
    for read in (read_info, lambda text: list(read_servers(text))):
        with suppress(ValueError):
            read(text)
        with suppress(ValueError):
            read(f"# pxname,svname,scur,stot,wretr,wredis,status,weight,check_status\n{text}")
    read_list(text)
    read_list(f"hold {text} 1 2")
