"""Fixtures of every test: async tests run on trio, on asyncio and on asyncio+uvloop."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from controlplane._native.guard import set_test_clock

# A slow machine is no defect of what is tested: no example has to be quick, and none has to be drawn quickly.
settings.register_profile("controlplane", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("controlplane")

# asyncio names its loop outright: anyio would otherwise leave the choice to whichever policy is installed
BACKENDS = [
    pytest.param(("trio", {}), id="trio"),
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The backend and its options. A module that needs virtual time overrides this with trio and a MockClock."""
    return request.param


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite-scenarios`: write what the engine does into the scenario files, to be read and committed as a diff.

    `--group`: `alone` is the tests so marked, which measure real time; `together` is the rest, which may run side by
    side. Without it every test runs.
    """
    parser.addoption("--rewrite-scenarios", action="store_true", default=False)
    parser.addoption("--group", choices=["together", "alone"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is of the other group."""
    group = config.getoption("--group")
    if group is None:
        return
    left_out = [item for item in items if (item.get_closest_marker("alone") is not None) != (group == "alone")]
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


@pytest.fixture(autouse=True)
def guards_read_the_real_clock() -> Iterator[None]:
    """Whatever a test does to the guards' clock, the next one finds it running: a clock that stands waits for ever."""
    yield
    set_test_clock(-1)
