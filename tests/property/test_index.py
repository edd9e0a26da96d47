"""Whatever is on record, in whatever order, the index finds what a look through everything finds."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.state import State, fold
from controlplane.model import record as on
from controlplane.model.command import Command, Eject, Isolate, Restore
from controlplane.model.incident import Phase, Stage
from controlplane.model.record import Record
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos

NAMES = [IncidentId(f"i{number}") for number in range(1, 6)]
TARGETS = [Target(service, endpoint) for service in ("a", "b", "c") for endpoint in ("", "1")]

names, targets = st.sampled_from(NAMES), st.sampled_from(TARGETS)
commands = st.builds(
    Command,
    id=st.sampled_from([CommandId(f"c{number}") for number in range(8)]),
    epoch=st.just(Epoch(1)),
    incident=names,
    target=targets,
    intent=st.sampled_from([Eject(), Isolate(), Restore()]),
    lease_until=st.just(Nanos(99)),
    enforcement=st.sampled_from(["full", "shadow"]),
)
AT = st.just(Nanos(5))
records = st.one_of(
    st.builds(on.OriginMoved, at=AT, incident=names, origin=targets, reason=st.just("")),
    st.builds(on.IncidentMerged, at=AT, incident=names, into=names, reason=st.just("")),
    st.builds(on.IncidentClosed, at=AT, incident=names, reason=st.just("")),
    st.builds(on.CommandIssued, at=AT, command=commands),
    st.builds(
        on.StageChanged,
        at=AT,
        incident=names,
        target=targets,
        stage=st.sampled_from(Stage),
        percent=st.just(0),
        penalty_ns=st.just(Nanos(1)),
        relapses=st.just(0),
        reason=st.just(""),
        command=st.sampled_from([None, CommandId("c1"), CommandId("c2")]),
    ),
    st.builds(
        on.EvidenceAdded,
        at=AT,
        incident=names,
        target=targets,
        evidence=st.just("x"),
        alert=st.sampled_from([None, *Cause]),
    ),
)


def opened(name: IncidentId, origin: Target) -> Record:
    return on.IncidentOpened(
        at=Nanos(1), incident=name, origin=origin, cause=Cause.ERRORS, signal_at=Nanos(1), shadow=False, evidence="x"
    )


@given(st.lists(targets, min_size=5, max_size=5), st.lists(records, max_size=60))
@settings(max_examples=400, deadline=None)
def test_the_index_is_what_a_look_through_everything_finds(origins: list[Target], history: list[Record]) -> None:
    """Openings, moves, merges, stages, orders and closings in any order, sensible or not."""
    state = State()
    for name, origin in zip(NAMES, origins, strict=True):
        fold(state, opened(name, origin))
    for record in history:
        fold(state, record)
        running = [one for one in state.incidents.values() if one.phase is not Phase.CLOSED]
        assert state.open_incidents() == running
        assert {one.origin.service for one in running} == set(state.index.service)
        for service, name in state.index.service.items():
            assert state.incidents[name].origin.service == service
            assert name in state.open
        for target, name in state.index.target.items():
            assert name in state.open
            assert target in state.incidents[name].containments
        held = {target for one in running for target in one.containments}
        assert held >= set(state.index.target)
        for command, name in state.index.command.items():
            assert name in state.open
            assert state.incidents[name].command(command) is not None
        assert sorted([*state.open, *state.index.closed]) == sorted(state.incidents)
        merged = [one for one in state.incidents.values() if one.merged_into]
        assert all(one.phase is Phase.CLOSED and one.merged_into != one.id for one in merged)


@given(st.lists(targets, min_size=5, max_size=5), st.lists(records, max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_state_survives_its_encoding(origins: list[Target], history: list[Record]) -> None:
    """Records that were written and read again fold to the same bytes."""
    everything = [*(opened(name, origin) for name, origin in zip(NAMES, origins, strict=True)), *history]
    one, other = State(), State()
    for record in everything:
        fold(one, record)
    for record in msgspec.json.decode(msgspec.json.encode(everything), type=list[Record]):
        fold(other, record)
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
