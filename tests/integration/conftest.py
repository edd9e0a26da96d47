"""The world of an integration test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.process import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two backends and a configuration; everything that was started is gone afterwards."""
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        world.write()
        yield world
