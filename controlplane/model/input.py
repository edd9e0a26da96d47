"""What an engine was told, as it is kept for a replay: every call of it in order, and what it began with."""

import msgspec

from controlplane.model.escalation import People
from controlplane.model.playbook import Playbook
from controlplane.model.policy import GraphPolicy, ResponsePolicy
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology
from controlplane.model.unit import Epoch, Nanos


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is made of. `program` is the version that ran it, `schema` names the shape of its values."""

    program: str
    schema: str
    topology: Topology
    policy: ResponsePolicy
    graph: GraphPolicy
    playbooks: tuple[Playbook, ...] = ()
    people: People = People()


class _Input(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    at: Nanos
    raised: bool = False  # the engine broke over it; what it had changed by then stays changed


class Began(_Input, frozen=True, tag="began"):
    """`Engine.start`, after `restore` with everything on record by then."""

    boot: str
    wall_ns: int
    setup: Setup


class Stepped(_Input, frozen=True, tag="step"):
    """`Engine.step`."""

    signal: Signal


class Ticked(_Input, frozen=True, tag="tick"):
    """`Engine.tick`."""


Input = Began | Stepped | Ticked


class InputBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of one epoch that go on record together, numbered from `first` on, with the records that they caused.

    `lost`: so many records they caused are not on record, because the journal did not take them.
    """

    epoch: Epoch
    first: int
    inputs: tuple[Input, ...]
    lost: int = 0


class InputRow(msgspec.Struct, frozen=True):
    """Where a batch of inputs stands in a journal: `count` from the one numbered `first`; they caused the `records`
    records after the one numbered `after`, and `lost` more that the journal did not take."""

    epoch: int
    first: int
    count: int
    after: int
    records: int
    lost: int
