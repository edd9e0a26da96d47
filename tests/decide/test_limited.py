"""A service that is limited still gets calls, so it is seen who in it is sick alone, and who is well again."""

import msgspec

from controlplane.decide.engine import Engine
from controlplane.model.command import Command, Eject, Isolate, Limit, Restore, Weigh
from controlplane.model.incident import Stage
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Cause, Probed, Sampled, Signal, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

ENDPOINTS = tuple(Endpoint(name=f"a{n}", url="http://h:1") for n in range(4))
TOPOLOGY = Topology(services=(Service(name="web", calls=("a",)), Service(name="a", endpoints=ENDPOINTS)), entry="web")
A, A0, A1, A2, A3 = Target("a"), *(Target("a", f"a{n}") for n in range(4))


def relaying() -> Topology:
    """The same, and `a` calls another service."""
    relay = msgspec.structs.replace(TOPOLOGY.services[1], calls=("b",))
    return Topology(services=(TOPOLOGY.services[0], relay, Service(name="b")), entry="web")


class Plane:
    """An engine whose data plane obeys."""

    def __init__(self, topology: Topology = TOPOLOGY) -> None:
        self.engine, self.now = Engine(topology, ResponsePolicy()), Nanos(1000 * SECOND)
        self.commands: list[Command] = []
        self._carry_out(self.engine.start(self.now, boot="b", wall_ns=0))

    def tell(self, signal: Signal) -> None:
        """One fact."""
        self._carry_out(self.engine.step(signal, self.now))

    def tripped(self, target: Target, cause: Cause, *, capped: bool = False, contained: bool = False) -> None:
        """A verdict."""
        kind = {"capped": capped, "contained": contained}
        self.tell(Tripped(at=self.now, target=target, cause=cause, calls=5, failures=5, **kind))

    def well(self, target: Target, calls: int = 20) -> None:
        """Calls that all went well."""
        self.tell(Sampled(at=self.now, target=target, calls=calls, failures=0, slow=0))

    def later(self, seconds: float) -> None:
        """Time passes, with a tick."""
        self.now = Nanos(self.now + round(seconds * SECOND))
        self._carry_out(self.engine.tick(self.now))

    def _carry_out(self, outcome: Outcome) -> None:
        self.commands += outcome.commands
        for command in outcome.commands:
            self._carry_out(self.engine.step(Acted(at=self.now, command=command.id, ok=True), self.now))

    def limited(self) -> None:
        """All four stall together."""
        for target in (A0, A1, A2, A3):
            self.tripped(target, Cause.OVERLOAD, capped=True)
        assert isinstance(self.commands[-1].intent, Limit)


def test_who_is_sick_alone_under_a_limit_is_ejected() -> None:
    """The guard took it out by reflex, as its siblings are clean: that goes on record and recovers by stages."""
    plane = Plane()
    plane.limited()
    plane.later(1)
    for target in (A1, A2, A3):
        plane.well(target)
    plane.tripped(A0, Cause.STALLED, contained=True)
    assert (plane.commands[-1].target, plane.commands[-1].intent) == (A0, Eject())


def test_while_all_are_sick_under_a_limit_nobody_is_ejected() -> None:
    """A second round of the same verdicts adds nothing."""
    plane = Plane()
    plane.limited()
    before = len(plane.commands)
    plane.later(1)
    for target in (A0, A1, A2, A3):
        plane.tripped(target, Cause.OVERLOAD, capped=True)
    assert not any(isinstance(command.intent, Eject) for command in plane.commands[before:])


def test_who_is_well_again_is_not_among_those_that_fail_together() -> None:
    """Two of four bad, one of them well by now: the third verdict is not that of all. Four good calls are too few."""
    for calls, together in ((20, False), (4, True)):
        plane = Plane()
        for target in (A1, A2, A3):
            plane.tripped(target, Cause.SLOW)
        plane.well(A1, calls)
        plane.tripped(A0, Cause.SLOW)
        refused = [text for incident in plane.engine.state.incidents.values() for text in incident.refused]
        assert any("fail together" in text for text in refused) is together


def test_bad_on_its_way_back_under_a_limit_earns_no_step() -> None:
    """The service is limited as a whole meanwhile, so its part gets no order; it gets no step up either."""
    plane = Plane()
    plane.tripped(A0, Cause.ERRORS)
    plane.later(5.5)  # the hold, and its jitter
    plane.tell(Probed(at=plane.now, target=A0, passed=True))
    plane.now = Nanos(plane.now + 3 * SECOND)
    plane.tripped(A, Cause.OVERLOAD)
    assert isinstance(plane.commands[-1].intent, Limit)
    plane.now = Nanos(plane.now + 1 * SECOND)
    plane.tripped(A0, Cause.ERRORS)
    plane.later(1.5)
    held = plane.engine.state.containment(A0)
    assert held is not None
    assert (held[1].stage, held[1].percent, held[1].relapses) == (Stage.RAMP, 10, 1)


def test_bad_on_its_way_back_together_with_all_others_earns_no_step() -> None:
    """A verdict that is vetoed, as all fail together, begins the stage of the one in the ramp again."""
    plane = Plane()
    plane.tripped(A0, Cause.ERRORS)
    plane.later(5.5)  # the hold, and its jitter
    plane.tell(Probed(at=plane.now, target=A0, passed=True))
    assert plane.commands[-1].intent == Weigh(10)
    plane.now = Nanos(plane.now + 4 * SECOND)
    plane.well(A0)
    for target in (A1, A2, A3):
        plane.engine.step(Tripped(at=plane.now, target=target, cause=Cause.SLOW, calls=5, failures=5), plane.now)
    plane.tripped(A0, Cause.SLOW)
    plane.later(1.5)
    held = plane.engine.state.containment(A0)
    assert held is not None
    assert (held[1].stage, held[1].percent, held[1].relapses) == (Stage.RAMP, 10, 1)


def test_who_calls_others_is_limited_only_if_it_does_not_help_itself() -> None:
    """Its calls may wait for one that its own plane holds back within a moment; after two seconds it is limited."""
    plane = Plane(relaying())
    for target in (A0, A1, A2, A3):
        plane.tripped(target, Cause.OVERLOAD, capped=True)
    plane.later(1.9)
    plane.tripped(A0, Cause.OVERLOAD, capped=True)
    assert not any(isinstance(command.intent, Limit) for command in plane.commands)
    plane.later(0.1)
    plane.tripped(A0, Cause.OVERLOAD, capped=True)
    assert (plane.commands[-1].target, isinstance(plane.commands[-1].intent, Limit)) == (A, True)


def test_who_calls_others_and_answers_in_time_is_not_limited() -> None:
    """Late and in time is what users would rather have than a refusal; once calls end in vain, it is limited."""
    plane = Plane(relaying())
    for target in (A0, A1, A2, A3):
        plane.tripped(target, Cause.OVERLOAD, capped=True)
    plane.well(A)
    plane.later(2)
    plane.tripped(A0, Cause.OVERLOAD, capped=True)
    assert not any(isinstance(command.intent, Limit) for command in plane.commands)
    plane.tell(Sampled(at=plane.now, target=A, calls=20, failures=20, slow=0))
    plane.tripped(A0, Cause.OVERLOAD, capped=True)
    assert isinstance(plane.commands[-1].intent, Limit)


def test_late_endpoints_of_who_calls_others_are_not_taken_out_by_turns() -> None:
    """Several late at once may wait for the same callee; who still hangs after two seconds is out."""
    plane = Plane(relaying())
    for target in (A0, A1):
        plane.tripped(target, Cause.STALLED, capped=True)
    assert plane.commands == []
    plane.later(1)
    plane.tripped(A1, Cause.STALLED, capped=True)
    assert plane.commands == []
    plane.later(1)
    plane.tripped(A1, Cause.STALLED, capped=True)
    assert [(one.target, one.intent) for one in plane.commands] == [(A1, Eject())]


def test_who_was_slow_first_is_put_back_when_all_are_slow() -> None:
    """What they share is the cause, and the load that it bore is what the others cannot bear on top."""
    plane = Plane()
    plane.tripped(A0, Cause.SLOW, contained=True)
    assert plane.commands[-1].intent == Eject()
    for target in (A1, A2, A3):
        plane.tripped(target, Cause.SLOW, capped=True)
    assert (plane.commands[-1].target, plane.commands[-1].intent) == (A0, Restore())


def test_who_failed_first_stays_out_when_all_are_slow() -> None:
    """It was taken out for errors: that the others cannot bear its load does not make it well."""
    plane = Plane()
    plane.tripped(A0, Cause.ERRORS, contained=True)
    for target in (A1, A2, A3, A0):
        plane.tripped(target, Cause.SLOW, capped=True)
    assert not any(isinstance(command.intent, Restore) for command in plane.commands)


def test_a_reflex_that_the_engine_does_not_hold_is_left_to_its_guard() -> None:
    """Its guard gives it back by probes: that one sibling is slow, too, is no evidence that this one is well."""
    plane = Plane()
    plane.tripped(A0, Cause.SLOW, capped=True)
    plane.tripped(A1, Cause.SLOW, contained=True)
    assert plane.commands == []


def test_a_reflex_is_taken_back_when_all_siblings_are_slow() -> None:
    """Found slow while its siblings looked well for a moment: then its share of the load is more than they can bear."""
    plane = Plane(relaying())
    for target in (A0, A1, A2):
        plane.tripped(target, Cause.SLOW, capped=True)
    plane.tripped(A2, Cause.SLOW, contained=True)
    assert plane.commands == []
    plane.tripped(A3, Cause.SLOW, capped=True)
    assert [(one.target, one.intent) for one in plane.commands] == [(A2, Restore())]
    plane.tripped(A3, Cause.SLOW, capped=True)
    assert len(plane.commands) == 1, "once for each time that it is taken out"


def test_a_reflex_against_who_hangs_or_was_tried_since_stays_with_its_guard() -> None:
    """From who hangs nothing is to be had, and who is on its way back by probes does not begin anew."""
    for cause, passed in ((Cause.STALLED, False), (Cause.SLOW, True)):
        plane = Plane(relaying())
        for target in (A0, A1, A2):
            plane.tripped(target, Cause.SLOW, capped=True)
        plane.tripped(A2, cause, contained=True)
        if passed:
            plane.tell(Probed(at=plane.now, target=A2, passed=True))
        plane.tripped(A3, Cause.SLOW, capped=True)
        assert not any(isinstance(command.intent, Restore) for command in plane.commands)


def test_a_service_of_which_some_are_late_is_not_isolated_for_the_errors_of_one() -> None:
    """Who is late answers: that is overload, and is limited. Where the others are merely slow, the one that fails is
    taken out."""
    plane, slow = Plane(), Plane()
    for target in (A0, A1, A2):
        plane.tripped(target, Cause.STALLED, capped=True)
        slow.tripped(target, Cause.SLOW, capped=True)
    plane.tripped(A3, Cause.ERRORS, capped=True)
    assert (plane.commands[-1].target, isinstance(plane.commands[-1].intent, Limit)) == (A, True)
    slow.tripped(A3, Cause.ERRORS, capped=True)
    assert (slow.commands[-1].target, slow.commands[-1].intent) == (A3, Eject())


def test_an_open_breaker_of_who_calls_others_is_answered_at_once() -> None:
    """It refuses all calls already: a limit gives some back."""
    plane = Plane(relaying())
    plane.tripped(A, Cause.OVERLOAD)
    assert isinstance(plane.commands[-1].intent, Limit)


def test_a_limit_that_does_not_help_stays_and_people_are_called() -> None:
    """Nobody can do without the service: isolated it would come back by steps, limited it opens by itself."""
    plane = Plane()
    plane.limited()
    for _ in range(20):
        plane.tell(Sampled(at=plane.now, target=A, calls=10, failures=10, slow=0))
        plane.later(1)
    held = plane.engine.state.containment(A)
    assert held is not None
    assert held[0].escalated
    assert all(isinstance(command.intent, Limit) for command in plane.commands if not command.target.endpoint)


def test_a_service_that_relapses_is_limited_where_nobody_can_do_without_it() -> None:
    """One shard of it may be out: probes in a row never pass, and what it still answers would be lost all the while."""
    for fallback, intent in ((False, Limit), (True, Isolate)):
        bare = msgspec.structs.replace(TOPOLOGY.services[1], fallback=fallback)
        plane = Plane(Topology(services=(TOPOLOGY.services[0], bare), entry="web"))
        plane.tripped(A, Cause.ERRORS)
        assert isinstance(plane.commands[-1].intent, Isolate)
        plane.later(2.5)
        plane.tell(Probed(at=plane.now, target=A, passed=False))
        assert isinstance(plane.commands[-1].intent, intent)
