"""How each playbook stands: whether it can be relied on, and whether its rehearsal is of today's topology."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from controlplane.decide.playbook.fingerprint import playbook_print, topology_print
from controlplane.decide.playbook.fit import owner_of
from controlplane.decide.playbook.word import condition, worded
from controlplane.model.drill import Drill
from controlplane.model.playbook import Playbook
from controlplane.model.topology import Topology

Rehearsed = Literal["never", "passed", "failed", "topology changed", "playbook changed"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One playbook. `rehearsed`: how its last drill ended, or why that says nothing any more; `rehearsed_at`: when that
    was, null: never. `unreliable`: why it could not be used now; null: only a running process knows."""

    name: str
    match: str
    steps: tuple[str, ...]
    owner: str
    ladder: str
    enforce: bool | Literal["response"]
    rehearsed: Rehearsed
    rehearsed_at: str | None = None
    rehearsed_how: str | None = None
    failed: tuple[str, ...] = ()
    unreliable: tuple[str, ...] | None = None


def standings(
    playbooks: Sequence[Playbook],
    topology: Topology,
    drills: Mapping[str, Drill],
    unreliable: Mapping[str, tuple[str, ...]] | None,
) -> Iterator[Standing]:
    """How each of `playbooks` stands, in the order of the file; `unreliable` None: not known."""
    now = topology_print(topology)
    for one in playbooks:
        drill = drills.get(one.name)
        yield Standing(
            name=one.name,
            match=condition(one.match),
            steps=tuple(worded(step, one.match) for step in one.steps),
            owner=owner_of(one, topology),
            ladder=one.ladder,
            enforce=one.enforce,
            rehearsed=_rehearsed(one, drill, now),
            rehearsed_at=drill.at if drill is not None else None,
            rehearsed_how=drill.how if drill is not None else None,
            failed=drill.failed if drill is not None else (),
            unreliable=None if unreliable is None else unreliable.get(one.name, ()),
        )


def _rehearsed(playbook: Playbook, drill: Drill | None, topology: str) -> Rehearsed:
    if drill is None:
        return "never"
    if drill.topology != topology:
        return "topology changed"
    if drill.content != playbook_print(playbook):
        return "playbook changed"
    return "failed" if drill.failed else "passed"
