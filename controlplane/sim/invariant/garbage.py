"""Signals that no sound source would send, at random: what a broken exporter, an old agent or a bad clock says."""

from random import Random

from controlplane.model import signal as on
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import CommandId, Nanos

NOBODY = "no-such-service"


def garbage(now: Nanos, random: Random, topology: Topology) -> Signal:
    """One invalid signal, of any kind that carries evidence."""
    service = random.choice([one for one in topology.services if one.endpoints])
    here = Target(service.name, random.choice(service.endpoints).name)
    nowhere = random.choice([Target(NOBODY), Target(NOBODY, "r0"), Target(service.name, "no-such-endpoint")])
    many, cause = random.randint(1, 10**6), random.choice(list(Cause))
    kinds: tuple[Signal, ...] = (
        on.Tripped(at=now, target=nowhere, cause=cause, calls=many, failures=many),
        on.Tripped(at=now, target=here, cause=cause, calls=-many, failures=many),
        on.Tripped(at=now, target=here, cause=cause, calls=many, failures=many + 1),
        on.CallsFinished(at=now, target=nowhere, calls=many, failures=many),
        on.CallsFinished(at=now, target=here, calls=many, failures=2 * many),
        on.CallsFinished(at=now, target=here, calls=many, failures=-many),
        on.Sampled(at=now, target=nowhere, calls=many, failures=many, slow=0),
        on.Probed(at=now, target=nowhere, passed=random.random() < 0.5),
        on.ProbeFinished(at=now, target=nowhere, ok=random.random() < 0.5),
        on.Heartbeat(at=now, target=nowhere, every_ns=1_000_000),
        on.Heartbeat(at=now, target=here, every_ns=-many),
        on.Alerted(at=now, target=nowhere, fingerprint="f", name="Nobody", firing=True),
        on.Alerted(at=now, target=here, fingerprint="", name="Nobody", firing=True, for_ns=-many),
        on.Drifted(at=now, target=nowhere, factor=100.0, calls=many, alone=True),
        on.Relayed(at=now, caller=service.name, callee=NOBODY, count=many),
        on.Relayed(at=now, caller=NOBODY, callee=service.name, count=-many),
        on.FellBack(at=now, service=NOBODY, count=many),
        on.EntrySampled(at=now, requests=-many, failed=many, slow=0),
        on.EdgeSampled(at=now, caller=NOBODY, callee=service.name, window_ns=0, calls=-many, failures=many),
        on.Acted(at=now, command=CommandId("c-of-nobody"), ok=False, reason="an old epoch's"),
        on.RolledBack(at=now, command=CommandId("c-of-nobody"), ok=False, reason="an old epoch's"),
        on.Condition(at=now, service=NOBODY, what="queue", well=False),
    )
    return random.choice(kinds)
