"""What is timed: one statement, written as a user writes it, with the names it needs."""

import asyncio
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from textwrap import indent

import msgspec

Names = Mapping[str, object]
Slice = Callable[[int], int]  # how often -> nanoseconds that all of it took

# The statement stands inline in a compiled loop: a callable around it would cost as much as what is measured.
# The names are locals: a look-up in a dictionary of globals is not the statement's cost.
SOURCE = """\
{define} make({names}):
    from time import perf_counter_ns as _clock
    {define} _run(_count):
        _many = range(_count)
        _begun = _clock()
        for _ in _many:
{statement}
        return _clock() - _begun
    return _run
"""


class NotBuilt(Exception):
    """The compiled part that an entry measures is not in this build."""


class NotInstalled(Exception):
    """A peer's distribution is not installed; the message says how to install it."""


class Subject(msgspec.Struct, frozen=True):
    """One thing to time. `calls`: how many empty Python functions the statement calls on the way, which are taken off.

    package  the distributions it needs, with blanks between; "": none but ours. native: not written in Python.
    looped   an `async` statement, run inside an asyncio loop; the loop itself never gets to run.
    """

    label: str
    statement: str
    setup: Callable[[], Names] = dict
    package: str = ""
    looped: bool = False
    native: bool = False
    calls: int = 0

    @property
    def name(self) -> str:
        """The label; with the installed version where it stands for one distribution."""
        versions = [installed(package) for package in self.package.split()]
        return f"{self.label} {versions[0]}" if len(versions) == 1 else self.label


def installed(package: str) -> str:
    """Version of a distribution. Raises NotInstalled, whose text is the command that installs it."""
    try:
        return version(package)
    except PackageNotFoundError:
        raise NotInstalled(f"not installed: pip install {package}") from None


def part(module: str, name: str) -> Callable[..., object]:
    """Class `name` of compiled module `module`. Raises NotBuilt where this build has none."""
    try:
        found: Callable[..., object] = getattr(importlib.import_module(f"controlplane._native.{module}"), name)
    except (ImportError, AttributeError):
        raise NotBuilt(f"not built: controlplane._native.{module}.{name}") from None
    return found


def compiled(subject: Subject, loop: asyncio.AbstractEventLoop) -> Slice:
    """The subject as a timed loop. Raises whatever its setup raises, and NotInstalled."""
    for package in subject.package.split():
        installed(package)
    names = loop.run_until_complete(_set_up(subject)) if subject.looped else subject.setup()
    make: dict[str, Callable[..., Callable[[int], object]]] = {}
    source = SOURCE.format(
        define="def", names=", ".join(names), statement=indent(subject.statement.strip("\n"), " " * 12)
    )
    if subject.looped:
        source = source.replace("    def _run", "    async def _run")
    exec(compile(source, f"<{subject.label}>", "exec"), make)  # noqa: S102  the statements are those of this package
    run = make["make"](**names)
    if not subject.looped:
        return run  # type: ignore[return-value]
    return lambda count: loop.run_until_complete(run(count))  # type: ignore[arg-type]


async def _set_up(subject: Subject) -> Names:
    return subject.setup()  # in the running loop: some peers ask for it when they are made


def empty() -> None:
    """The floor."""


FLOOR = Subject("an empty Python function", "empty()", lambda: {"empty": empty})
LOOP = Subject("the empty loop", "pass")
