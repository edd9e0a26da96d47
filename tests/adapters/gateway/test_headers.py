"""Header fields are words of strangers: nothing they say may raise, grow or overflow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.gateway.headers import (
    Priority,
    grpc_timeout_s,
    milliseconds_s,
    priority,
    retry_after_s,
    service_name,
)

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("99999999999999999999", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(field: str, seconds: float) -> None:
    """Both forms are read, dates in the past mean now, and no wait is longer than a day."""
    assert retry_after_s(field, NOW_S) == seconds


@pytest.mark.parametrize(
    "field",
    [None, "", "-1", "1.5", "1e9", "soon", "٣", "Tue, 99 Nov 2023 22:13:50 GMT", "Nov", "9" * 65, "\x00", "inf", "nan"],
)
def test_a_retry_after_that_says_nothing_is_ignored(field: str | None) -> None:
    """Neither negative nor fractional, nor digits of other scripts, nor endless ones."""
    assert retry_after_s(field, NOW_S) is None


@pytest.mark.parametrize(("field", "seconds"), [("0", 0.0), ("1500", 1.5), ("999999999", 999_999.999)])
def test_milliseconds_are_whole_numbers(field: str, seconds: float) -> None:
    """Deadlines of Envoy and our own."""
    assert milliseconds_s(field) == seconds


@pytest.mark.parametrize(
    ("field", "seconds"), [("1S", 1.0), ("250m", 0.25), ("2H", 7200.0), ("3M", 180.0), ("5u", 5e-6), ("99999999n", 0.1)]
)
def test_grpc_timeouts_have_a_unit(field: str, seconds: float) -> None:
    """At most eight digits and one of six units."""
    assert grpc_timeout_s(field) == pytest.approx(seconds)


@pytest.mark.parametrize("field", ["", "-1", "+5", "1.5", "1_000", "0x10", " 5", "5 ", "9" * 20, "NaN", "١"])
def test_a_deadline_that_does_not_parse_is_none(field: str) -> None:
    """int() would have taken some of these."""
    assert milliseconds_s(field) is None
    assert grpc_timeout_s(field) is None
    assert grpc_timeout_s(f"{field}S") is None or field == ""


@pytest.mark.parametrize("field", ["critical", " Critical ", "SHEDDABLE", "default"])
def test_priorities_are_three_words(field: str) -> None:
    """Case and blanks do not matter."""
    assert priority(field).name == field.strip().upper()


@given(st.text(max_size=300))
def test_no_field_can_raise(field: str) -> None:
    """Whatever comes: a value of the right kind, or nothing."""
    wait_s = retry_after_s(field, NOW_S)
    assert wait_s is None or 0 <= wait_s <= 86_400
    assert milliseconds_s(field) is None or field.isdigit()
    assert grpc_timeout_s(field) is None or field[:-1].isdigit()
    assert priority(field) in Priority
    assert service_name(field) in (None, field)


@pytest.mark.parametrize("name", ["orders", "a", "payments-v2.eu_west", "9lives"])
def test_service_names_are_plain(name: str) -> None:
    """Letters, digits, dot, dash and underscore."""
    assert service_name(name) == name


@pytest.mark.parametrize("name", [None, "", "-a", "a b", "a\r\nb", "a\n", "ö", "x" * 129, "a/b", "<script>"])
def test_what_is_no_service_name_is_not_taken_for_one(name: str | None) -> None:
    """A name goes into logs, labels and headers; only what is safe in all of them passes."""
    assert service_name(name) is None
