"""Bad numbers are refused by name and bounds, and leave the state as it was."""

from typing import Any

import pytest

from controlplane._native import guard as native
from controlplane._native.guard import Guard, Permit, Refusal

NON_NEGATIVE = [
    "endpoints", "rate_interval_ns", "concurrency_max", "breaker_consecutive", "failure_percent", "slow_percent",
    "slow_ns", "endpoint_consecutive", "endpoint_evidence_mnat", "ejected_percent_max", "retry_percent",
    "retry_floor_per_s", "enforced",
]  # fmt: skip
POSITIVE = [
    "rate_burst", "window_ns", "window_calls_min", "open_ns", "open_max_ns", "probes_max", "probe_successes",
    "probe_timeout_ns", "eject_ns", "eject_max_ns",
]  # fmt: skip
PERCENT = ["failure_percent", "slow_percent", "ejected_percent_max", "retry_percent"]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, -1) for name in NON_NEGATIVE]
    + [(name, 0) for name in POSITIVE]
    + [(name, 101) for name in PERCENT]
    + [(name, 1 << 70) for name in NON_NEGATIVE + POSITIVE]
    + [(name, -(1 << 70)) for name in NON_NEGATIVE + POSITIVE]
    + [("probes_max", 17), ("enforced", 2), ("endpoints", 4097)],
)
def test_a_number_out_of_range_is_refused_by_name(name: str, value: int) -> None:
    """The message names the argument, its bounds and the value."""
    with pytest.raises(ValueError, match=rf"^{name} must be between \d+ and \d+, not {value}$"):
        Guard(**{name: value})


@pytest.mark.parametrize("value", [1.9, "1", None, True])
@pytest.mark.parametrize("name", ["seed", *NON_NEGATIVE[:-1], *POSITIVE])
def test_what_is_no_int_is_refused_and_not_truncated(name: str, value: Any) -> None:
    """A float, a string, None and a bool are mistakes."""
    with pytest.raises(TypeError, match=rf"^{name} must be an int, not {type(value).__name__}$"):
        Guard(**{name: value})


def test_enforcing_takes_a_bool_for_what_it_means() -> None:
    """There, and only there, True is 1."""
    guard = Guard(enforced=False)
    assert guard.describe()["enforced"] == 0
    guard.enforce(True)
    assert guard.describe()["enforced"] == 1
    with pytest.raises(TypeError):
        guard.enforce(1.0)  # type: ignore[arg-type]


def test_a_burst_beyond_the_clock_is_refused() -> None:
    """rate_burst * rate_interval_ns stays within 73 years."""
    with pytest.raises(ValueError, match="rate_burst"):
        Guard(rate_interval_ns=10**15, rate_burst=10**9)


def test_arguments_are_keywords() -> None:
    """None is positional, and an unknown one is refused."""
    with pytest.raises(TypeError):
        Guard(3)  # type: ignore[misc]
    with pytest.raises(TypeError, match="burst"):
        Guard(burst=3)  # type: ignore[call-arg]


HOSTILE: list[tuple[str, tuple[Any, ...], type[Exception]]] = [
    ("eject", (2, 1, 0), IndexError),
    ("eject", (-1, 1, 0), IndexError),
    ("eject", (0, -1, 0), ValueError),
    ("eject", (0, 1, -1), ValueError),
    ("eject", (0, 1, (1 << 62) + 1), ValueError),
    ("eject", (0.0, 1, 0), TypeError),
    ("eject", (True, 1, 0), TypeError),
    ("eject", (0, 1.5, 0), TypeError),
    ("eject", (0, 10**15 + 1, 0), ValueError),
    ("probe", (2, 1), IndexError),
    ("probe", (-2, 1), IndexError),
    ("probe", (-1, -1), ValueError),
    ("weigh", (0, 101, 1), ValueError),
    ("weigh", (-1, -1, 1), ValueError),
    ("weigh", (1 << 80, 1, 1), IndexError),
    ("isolate", (-1, 0), ValueError),
    ("isolate", (1, 1.0), TypeError),
    ("limit", (0, 1, 0), ValueError),
    ("limit", (1, -1, 0), ValueError),
    ("restore", (2,), IndexError),
    ("restore", (-2,), IndexError),
    ("enforce", (2,), ValueError),
    ("set_slow_ns", (-1,), ValueError),
    ("try_again", (2,), IndexError),
    ("try_again", (-2,), IndexError),
    ("try_redrive", (0.5,), TypeError),
    ("is_ejected", (-1,), IndexError),
    ("endpoint", (2,), IndexError),
    ("latency_quantile_ns", (1001,), ValueError),
    ("drain", (bytearray(56),), TypeError),
    ("drain", (memoryview(bytes(56)).cast("q"),), BufferError),
    ("drain", (memoryview(bytearray(56)).cast("d"),), TypeError),
    ("drain", (memoryview(bytearray(56)).cast("Q"),), TypeError),
    ("drain", (memoryview(bytearray(112)).cast("q")[::2],), BufferError),
    ("drain", (None,), TypeError),
]


@pytest.mark.parametrize(("method", "arguments", "error"), HOSTILE)
def test_hostile_arguments_change_nothing(
    clock, method: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    """The error is raised before the first word of the state is written."""
    guard = Guard(endpoints=2)
    before = bytes(guard.buffer)
    with pytest.raises(error):
        getattr(guard, method)(*arguments)
    assert bytes(guard.buffer) == before


@pytest.mark.parametrize(("kind", "error"), [(0, ValueError), (4, ValueError), (1.0, TypeError), (None, TypeError)])
def test_an_unknown_kind_of_failure_does_not_settle(clock, kind: Any, error: type[Exception]) -> None:
    """The permit can still be settled properly."""
    guard = Guard()
    permit = guard.try_acquire()
    assert isinstance(permit, Permit)
    with pytest.raises(error):
        permit.failure(kind)
    assert guard.in_flight == 1
    permit.cancel()


def test_the_test_clock_is_checked() -> None:
    """-1 or a time; the real clock goes on where it was refused."""
    for bad in (-2, (1 << 62) + 1):
        with pytest.raises(ValueError, match="now_ns"):
            native.set_test_clock(bad)
    assert native.now_ns() < native.now_ns() + 1


def test_permits_made_by_hand_are_harmless() -> None:
    """Only a guard gives permits that mean something."""
    permit = Permit()
    assert [permit.success(), permit.failure(1), permit.cancel(), permit.stalled()] == [0, 0, 0, 0]
    permit.answered()
    assert Refusal().part == ""
