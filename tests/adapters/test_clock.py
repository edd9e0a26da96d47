"""The system's clocks."""

import time
from pathlib import Path

import pytest

from controlplane.adapters import clock
from controlplane.adapters.clock import SystemClock


def test_now_is_the_clock_of_the_native_guards() -> None:
    """CLOCK_MONOTONIC in whole nanoseconds, between two readings of it."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    now = SystemClock().now()
    assert before <= now <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_wall_time_is_unix_time() -> None:
    """Within a second of the standard library's."""
    assert abs(SystemClock().wall_ns() - time.time_ns()) < 1_000_000_000


def test_the_kernel_names_the_boot(tmp_path: Path) -> None:
    """Where the kernel gives its boot id, that is the answer."""
    source = tmp_path / "boot_id"
    source.write_text("2c5a-77\n")
    assert clock._boot(source) == "2c5a-77"
    assert SystemClock().boot() == SystemClock().boot() != ""


def test_without_the_kernels_word_a_restart_is_still_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The boot is named by its minute: the same a little later, another one after a reboot."""
    boot_minutes, up_s = 28_000_000, 100.0
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock_id: int(up_s * 1e9))
    monkeypatch.setattr(time, "time_ns", lambda: int((boot_minutes * 60 + up_s) * 1e9))
    first = clock._boot(tmp_path / "absent")
    up_s = 5000.0
    assert clock._boot(tmp_path / "absent") == first == "booted-minute-28000000"
    boot_minutes, up_s = 28_000_090, 1.0
    assert clock._boot(tmp_path / "absent") != first
