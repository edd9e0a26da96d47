"""Arenas of a test: each in a folder of its own, left when the test ends."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.arena import Arena

REGIONS = {"guard cart": 100, "guard db": 7}
WORKERS = 4

Attach = Callable[..., Arena]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where nothing is yet."""
    return tmp_path / "arena"


@pytest.fixture
def attach(path: Path) -> Iterator[Attach]:
    """`Arena.attach` at `path`, with two regions and four places unless told otherwise."""
    attached: list[Arena] = []

    def attach(regions: dict[str, int] = REGIONS, *, workers: int = WORKERS, **options: Any) -> Arena:
        attached.append(Arena.attach(str(path), regions, workers=workers, **options))
        return attached[-1]

    yield attach
    for arena in attached:
        arena.close()
