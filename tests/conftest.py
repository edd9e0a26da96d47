"""Fixtures of every test: async tests run on trio, on asyncio and on asyncio+uvloop."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from controlplane._native.guard import set_test_clock

# `make sanitize` makes everything several times slower: how long an example takes says nothing there
settings.register_profile("slow", deadline=None, suppress_health_check=[HealthCheck.too_slow])

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
    """`--rewrite-scenarios`: write what the engine does into the scenario files, to be read and committed as a diff."""
    parser.addoption("--rewrite-scenarios", action="store_true", default=False)


@pytest.fixture(autouse=True)
def guards_read_the_real_clock() -> Iterator[None]:
    """Whatever a test does to the guards' clock, the next one finds it running: a clock that stands waits for ever."""
    yield
    set_test_clock(-1)
