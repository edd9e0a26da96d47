"""Timing: what is subtracted is subtracted, and no subject ends a run."""

import pytest

from controlplane.bench.measure import QUICK, measure
from controlplane.bench.subject import NotBuilt, NotInstalled, Subject, empty, installed, part


def test_an_empty_call_costs_one_floor_and_a_call_taken_off_costs_none() -> None:
    """The loop is not part of a figure, and `calls` takes off what the statement calls on the way."""
    once = Subject("once", "empty()", lambda: {"empty": empty})
    free = Subject("free", "empty()", lambda: {"empty": empty}, calls=1)
    four = Subject("four", "empty(); empty(); empty(); empty()", lambda: {"empty": empty})
    floor, readings = measure((once, free, four), QUICK)
    assert readings["once"].ns == pytest.approx(floor.ns, rel=0.5)
    assert readings["free"].ns < floor.ns / 2
    assert 2 * floor.ns < readings["four"].ns < 8 * floor.ns


def test_an_awaited_statement_is_timed_in_a_loop() -> None:
    """Its setup sees a running loop, too, and what it leaves there is cleared away."""

    def setup() -> dict[str, object]:
        import asyncio

        asyncio.get_running_loop().create_task(asyncio.Event().wait())

        async def answer() -> None:
            """Nothing."""

        return {"answer": answer}

    floor, readings = measure((Subject("awaited", "await answer()", setup, looped=True),), QUICK)
    assert readings["awaited"].why == ""
    assert readings["awaited"].ns > floor.ns


@pytest.mark.parametrize("statement", ["fail()", "calls.append(1)\nif len(calls) > 5_000:\n    fail()"])
def test_a_subject_that_breaks_is_reported_with_its_error(statement: str) -> None:
    """At once or in the middle of a run; the others are measured."""

    def fail() -> None:
        raise LookupError("no such limiter\nand more")

    subjects = (
        Subject("bad", statement, lambda: {"fail": fail, "calls": []}),
        Subject("good", "empty()", lambda: {"empty": empty}),
    )
    _, readings = measure(subjects, QUICK)
    assert readings["bad"].why == "broken: LookupError: no such limiter"
    assert readings["good"].why == ""
    assert readings["good"].ns > 0


def test_what_is_not_installed_says_how_to_install_it() -> None:
    """A distribution nobody has."""
    absent = Subject("absent", "pass", package="no-such-distribution-of-ours")
    assert measure((absent,), QUICK)[1]["absent"].why == "not installed: pip install no-such-distribution-of-ours"
    with pytest.raises(NotInstalled):
        installed("no-such-distribution-of-ours")


def test_a_part_that_is_not_built_is_named() -> None:
    """A compiled module, or a class in one, that this build lacks."""
    for module, name in (("nothing", "Nothing"), ("guard", "Nothing")):
        with pytest.raises(NotBuilt, match=rf"not built: controlplane\._native\.{module}\.Nothing"):
            part(module, name)
