"""Lines of HAProxy's log: whose word each answer was, and how the call ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane._native.guard import ERROR, OVERLOAD, STALLED, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.haproxy.logline import read_line
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.observe import Told, Whose, fold
from controlplane.model.unit import MILLISECOND, SECOND
from tests.adapters.proxies.judge import RecordingJudge

NAMING = Naming({"orders": ("o1",), "cart": ("c1",)}, {"orders": "be_orders"}, {"orders/o1": "web1"})
HALF = MILLISECOND // 2


def line(text: str) -> bytes:
    return f"controlplane/1 {text}".encode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("be_orders web1 200 -- 1 40 41 0 0 -", Told("orders", "o1", Whose.ENDPOINT, SUCCESS, 41, 200)),
        ("be_orders web1 404 -- 0 2 2 0 - -", Told("orders", "o1", Whose.ENDPOINT, SUCCESS, 2, 404)),
        ("be_orders web1 500 -- 0 3 3 0 0 -", Told("orders", "o1", Whose.ENDPOINT, ERROR, 3, 500)),
        ("be_orders web1 503 -- 0 3 3 0 0 -", Told("orders", "o1", Whose.ENDPOINT, OVERLOAD, 3, 503)),
        ("be_orders web1 429 -- 0 3 +3 +1 0 -", Told("orders", "o1", Whose.ENDPOINT, OVERLOAD, 3, 429)),
        ("be_orders web1 504 sH 0 -1 3001 0 - -", Told("orders", "o1", Whose.ENDPOINT, TIMEOUT, 3001, 504)),
        ("be_orders web1 503 sC -1 -1 3000 3 - -", Told("orders", "o1", Whose.ENDPOINT, TIMEOUT, 3000, 503)),
        ("be_orders web1 503 SC -1 -1 9 3 - -", Told("orders", "o1", Whose.ENDPOINT, ERROR, 9, 503)),
        ("be_orders web1 502 SH 0 -1 9 0 - -", Told("orders", "o1", Whose.ENDPOINT, ERROR, 9, 502)),
        ("be_orders web1 502 PH 0 -1 9 0 - -", Told("orders", "o1", Whose.ENDPOINT, ERROR, 9, 502)),
        ("be_orders web1 200 SD 0 9 20 0 0 -", Told("orders", "o1", Whose.ENDPOINT, ERROR, 9, 200)),
        ("be_orders web1 200 CD 0 9 20 0 0 -", Told("orders", "o1", Whose.ENDPOINT, SUCCESS, 9, 200)),
        ("be_orders web1 -1 CH 0 -1 20 0 - -", Told("orders", "o1", Whose.CLIENT, SUCCESS, 20, -1)),
        ("be_orders web1 503 sQ -1 -1 99 0 - -", Told("orders", "o1", Whose.PROXY, SUCCESS, 99, 503)),
        ("be_orders web1 503 DH 0 -1 99 0 - -", Told("orders", "o1", Whose.PROXY, SUCCESS, 99, 503)),
        ("be_orders web1 503 -- 0 3 3 0 1 -", Told("orders", "o1", Whose.REFUSED, OVERLOAD, 3, 503)),
        ("be_orders web1 500 -- 0 3 3 0 0 cart", Told("orders", "o1", Whose.RELAYED, ERROR, 3, 500, "cart")),
        ("be_orders web1 500 -- 0 3 3 0 0 orders", Told("orders", "o1", Whose.ENDPOINT, ERROR, 3, 500, "orders")),
        ("be_orders web1 200 -- 0 3 3 0 0 cart", Told("orders", "o1", Whose.ENDPOINT, SUCCESS, 3, 200, "cart")),
        ("cart c1 200 -- 0 0 0 0 0 -", Told("cart", "c1", Whose.ENDPOINT, SUCCESS, 0, 200)),
        ("be_orders <NOSRV> 503 PR -1 -1 0 0 - -", Told("orders", "", Whose.REFUSED, SUCCESS, 0, 503)),
        ("be_orders <NOSRV> 503 SC -1 -1 0 0 - -", Told("orders", "", Whose.PROXY, SUCCESS, 0, 503)),
        ("be_orders <NOSRV> 403 PR -1 -1 0 0 - -", Told("orders", "", Whose.PROXY, SUCCESS, 0, 403)),
        ("be_orders <NOSRV> 400 CR -1 -1 7 0 - -", Told("orders", "", Whose.CLIENT, SUCCESS, 7, 400)),
    ],
)
def test_a_line_says_whose_word_it_was(text: str, told: Told) -> None:
    """By status and by how HAProxy says that the session ended; times are whole milliseconds, and half of one."""
    assert read_line(line(text), NAMING) == told._replace(latency_ns=told.latency_ns * MILLISECOND + HALF)


def test_ours_may_be_the_end_of_anybodys_line() -> None:
    """A syslog header and a format of somebody's own may come first."""
    before = b"<134>Nov 27 03:13:05 lb haproxy[7]: 10.0.0.1:5 [27/Nov] www be_orders/web1 0/0/1/2/3 "
    assert read_line(before + line("be_orders web1 200 -- 1 2 3 0 0 -") + b"\n", NAMING) is not None
    forged = b"GET /controlplane/1 be_orders web1 500 -- 1 2 3 0 0 - "
    told = read_line(forged + line("be_orders web1 200 -- 1 2 3 0 0 -"), NAMING)
    assert told is not None
    assert told.status == 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "be_orders web1 200",
        "orders web1 200 -- 1 2 3 0 0 -",
        "be_orders web9 200 -- 1 2 3 0 0 -",
        "be_orders web1 200 -- 1 2 3 0 0 - more",
        "be_orders web1 2000 -- 1 2 3 0 0 -",
        "be_orders web1 200 - 1 2 3 0 0 -",
        "be_orders web1 200 -- 99999999999 2 3 0 0 -",
        "be_orders web1 200 -- 1 2 3 0 0 -x",
        "be_orders/web1 200 -- 1 2 3 0 0 -",
        "\0" * 50,
    ],
)
def test_what_is_not_in_the_format_says_nothing(text: str) -> None:
    """Too little, too much, somebody else's servers."""
    assert read_line(line(text), NAMING) is None


@given(st.binary(max_size=300))
def test_no_line_breaks_the_reader(text: bytes) -> None:
    """Whatever comes, with or without our mark."""
    read_line(text, NAMING)
    read_line(b"controlplane/1 " + text, NAMING)


WORD = st.sampled_from(
    ["be_orders", "web1", "<NOSRV>", "200", "-1", "--", "sH", "PR", "+3", "-", "9" * 12, "\u00e9", ""]
)


@given(st.lists(WORD, min_size=8, max_size=12))
def test_no_words_break_the_reader(words: list[str]) -> None:
    """The right words in any order; what is read names an endpoint of ours and an outcome that is one."""
    told = read_line(line(" ".join(words)), NAMING)
    if told is not None:
        assert (told.service, told.endpoint) in (("orders", "o1"), ("orders", ""))
        assert SUCCESS <= told.outcome <= OVERLOAD
        assert told.latency_ns > 0


def heard(told: Told, *, entry: bool = True) -> RecordingJudge:
    judge = RecordingJudge()
    fold(told, judge, entry=entry)
    return judge


def test_an_endpoints_word_is_evidence_and_a_users_request() -> None:
    """Once about the endpoint, once about what users see; of a proxy between services only the former."""
    told = Told("orders", "o1", Whose.ENDPOINT, ERROR, 7, 500)
    judge = heard(told)
    assert (judge.calls, judge.requests) == ([("orders/o1", ERROR, 7)], [(True, 7)])
    assert heard(told, entry=False).requests == []


@pytest.mark.parametrize("whose", [Whose.PROXY, Whose.REFUSED, Whose.RELAYED])
def test_what_is_nobodys_fault_is_no_evidence(whose: Whose) -> None:
    """The proxy's own 503, what we had refused, what was somebody else's: the endpoint is not blamed."""
    judge = heard(Told("orders", "o1", whose, OVERLOAD, 7, 503, "cart"))
    assert judge.calls == []
    assert judge.relays == ([("orders", "cart")] if whose is Whose.RELAYED else [])
    assert judge.refused == (whose is Whose.REFUSED)
    assert judge.requests == ([] if whose is Whose.REFUSED else [(True, 7)])


def test_a_client_that_left_says_something_only_if_it_waited_long() -> None:
    """Who gives up at once says nothing; who waited beyond a stall has found one."""
    assert heard(Told("orders", "o1", Whose.CLIENT, SUCCESS, SECOND - 1, -1)).calls == []
    judge = heard(Told("orders", "o1", Whose.CLIENT, SUCCESS, SECOND, -1))
    assert (judge.calls, judge.requests) == ([("orders/o1", STALLED, SECOND)], [])
