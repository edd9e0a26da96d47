"""What a running plane would do if something failed: asked of a copy of its state, in a thread, one question at a time.

The copy is taken on the loop, as bytes, so that it is of one moment; everything else happens beside the loop. It shares
the interpreter with it: an answer takes some tens of milliseconds, in which the loop waits for its turn, 5 ms at most.
"""

from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
import msgspec

from controlplane.assembly.plane import Plane
from controlplane.decide.playbook.fingerprint import playbook_print, topology_print
from controlplane.decide.state import State
from controlplane.decide.whatif import traffic
from controlplane.decide.whatif.foresee import foresee
from controlplane.decide.whatif.grammar import of_match, suppose
from controlplane.model.drill import Drill, Line
from controlplane.model.foretold import Foretold, Supposed
from controlplane.model.playbook import Playbook

_turns: "WeakKeyDictionary[Plane, anyio.Lock]" = WeakKeyDictionary()


async def what_if(plane: Plane, text: str) -> Foretold:
    """What `plane` would do about what `text` supposes. Raises ValueError, saying what would be right."""
    return await _ask(plane, suppose(text, plane.topology), plane.config.playbooks)


async def rehearse(plane: Plane, name: str) -> Drill:
    """Whether the playbook `name` would do its work in `plane` as it is now; nothing is done. Raises KeyError."""
    from controlplane import __version__
    from controlplane.decide.review.wall import utc

    playbook = next((one for one in plane.config.playbooks if one.name == name), None)
    if playbook is None:
        raise KeyError(name)
    failed: tuple[str, ...]
    if plane.topology.service(playbook.match.service) is None:
        told, failed = None, (f"{playbook.match.service} is not a declared service",)
    else:
        books = tuple(
            msgspec.structs.replace(one, enforce=True) if one is playbook else one for one in plane.config.playbooks
        )
        told = await _ask(plane, of_match(playbook.match, plane.topology), books)
        failed = _failed(told, name, len(playbook.steps))
    return Drill(
        playbook=name,
        how="live",
        at=utc(plane.clock.wall_ns()),
        topology=topology_print(plane.topology),
        content=playbook_print(playbook),
        program=__version__,
        failed=failed,
        contained_s=None if told is None else told.contained_s,
        timeline=() if told is None else tuple(_lines(told)),
    )


async def _ask(plane: Plane, supposed: Supposed, playbooks: tuple[Playbook, ...]) -> Foretold:
    async with _turns.setdefault(plane, anyio.Lock()):
        now, config, open_ = plane.clock.now(), plane.config, plane.state.open_incidents()
        # what is closed decides nothing any more, and would only make the copy longer
        raw = msgspec.msgpack.encode(msgspec.structs.replace(plane.state, incidents={one.id: one for one in open_}))
        rates = traffic.known(plane.graph.edges(now), plane.topology)

        def answer() -> Foretold:
            return foresee(
                supposed,
                plane.topology,
                config.response_policy(),
                graph=config.graph,
                playbooks=playbooks,
                guards={service.name: config.policy(service) for service in config.services},
                state=msgspec.msgpack.decode(raw, type=State),
                now=now,
                rates=rates,
            )

        return await anyio.to_thread.run_sync(answer)


def _failed(told: Foretold, name: str, steps: int) -> tuple[str, ...]:
    used = next((one for one in told.playbooks if one.name == name), None)
    if used is None:
        return ("it would not fit: what is to trigger it opens no incident that it matches",)
    if used.unmet:
        return tuple(f"it would not be used: {reason}" for reason in used.unmet)
    found = [f"step {step}" for step in used.steps if ": refused" in step]
    if len(used.steps) < steps:
        taken = {step.partition(".")[0] for step in used.steps}
        found += [f"step {number} would not be due" for number in range(1, steps + 1) if str(number) not in taken]
    return (*found, *(["what fails would not be contained"] if told.contained_s is None else []))


def _lines(told: Foretold) -> list[Line]:
    lines = [Line(after_s=one.after_s, who=one.by, text=f"{one.what} ({one.enforcement})") for one in told.orders]
    lines += [Line(after_s=one.after_s, who=one.rule, text=f"refuses {one.what}: {one.reason}") for one in told.refused]
    lines += [Line(after_s=one.after_s, who="people", text=f"{one.severity}: {one.text}") for one in told.told]
    return sorted(lines, key=lambda one: one.after_s)
