"""The first real failure must not wait for code that has never run: decide about made-up ones, and forget them."""

import logging
from functools import cache

import msgspec

from controlplane.decide.engine import Engine
from controlplane.model.playbook import Match, Playbook, Precondition, Step
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Cause, EdgeSampled, Sampled, Signal, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

logger = logging.getLogger("controlplane")

ROUNDS = 10  # an interpreter that adapts to what it runs has done so by then
_ENDPOINTS = tuple(Endpoint(name=f"e{number}", url=f"http://127.0.0.1:{number}") for number in (1, 2, 3))
_FAILURES = (
    (Target("one", "e1"), Cause.ERRORS),
    (Target("all", ""), Cause.ERRORS),
    (Target("late", ""), Cause.OVERLOAD),
)
_PLAYBOOKS = tuple(
    Playbook(
        name=f"made-up-{name}",
        match=Match(service=name),
        preconditions=(Precondition(need="floor", endpoints=1),),
        steps=(Step(do="cap_retries"), Step(do="tell", text="made up")),
        enforce=True,
    )
    for name in ("one", "all")
)


@cache
def warm_up() -> None:
    """Once in a process; a few tens of milliseconds. A mistake of ours there costs the warmth and nothing else."""
    try:
        _make_up()
    except Exception:
        logger.exception("made-up failures broke the engine")


def _make_up() -> None:
    names = [target.service for target, _ in _FAILURES]
    services = [Service(name=name, endpoints=_ENDPOINTS) for name in names]
    topology = Topology(services=(Service(name="us", calls=tuple(names)), *services), entry="us")
    for _ in range(ROUNDS):
        engine, now = Engine(topology, ResponsePolicy(), playbooks=_PLAYBOOKS), Nanos(1_000 * SECOND)
        engine.start(now, boot="made up", wall_ns=now)
        for target, cause in _FAILURES:
            now = Nanos(now + MILLISECOND)
            _told(
                engine, EdgeSampled(at=now, caller="us", callee=target.service, window_ns=SECOND, calls=9, failures=3)
            )
            reflex = bool(target.endpoint)
            _told(engine, Tripped(at=now, target=target, cause=cause, calls=9, failures=9, contained=reflex))
            _told(engine, Sampled(at=now, target=target, calls=1, failures=0, slow=0))
        engine.tick(Nanos(now + SECOND))


def _told(engine: Engine, signal: Signal) -> None:
    outcome = engine.step(signal, signal.at)
    for record in outcome.records:
        msgspec.json.encode(record)
    for command in outcome.commands:
        engine.step(Acted(at=signal.at, command=command.id, ok=True), signal.at)
