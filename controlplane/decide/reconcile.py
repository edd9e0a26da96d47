"""What no longer fits what is wanted: incidents of the other mode, containments of targets that are gone.

Both would stay open for ever otherwise: nothing is done in observe mode that could prove a recovery, nothing shadowed
contains, and an order about a target that nobody knows is never taken.
"""

import msgspec

from controlplane.decide import recovery, side
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.model.command import Restore
from controlplane.model.incident import Stage
from controlplane.model.record import CommandAcknowledged, LeaseExpired
from controlplane.model.signal import Acted, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import Epoch, Nanos


def follow_mode(draft: Draft, evidence: Evidence) -> None:
    """End the incidents that began in the other mode: what they hold is taken back, and the next verdict, earned
    anew, opens one that acts as it says. A person's order: no safety rule forbids it, not even a freeze."""
    wanted = draft.state.mode == "observe"
    outdated = [incident for incident in draft.state.open_incidents() if incident.shadow is not wanted]
    reason = f"the mode is {draft.state.mode} now"
    for incident in outdated:
        for held in [each for each in draft.state.in_force.values() if each.incident == incident.id]:
            draft.overrule(incident, held.target, Restore(), reason, signal_at=Nanos(0))  # no signal decided
        side.drop(draft, incident, reason)
        draft.close(incident, reason)
    if outdated:
        evidence.forget_verdicts()


def follow_topology(draft: Draft) -> None:
    """End what is held of targets that the topology no longer has; their incidents close like any other."""
    for command in list(draft.state.in_force.values()):
        if not _known(command.target, draft.topology):
            draft.record(
                LeaseExpired(at=draft.now, incident=command.incident, command=command.id, target=command.target)
            )
    for incident in draft.state.open_incidents():
        for held in list(incident.containments.values()):
            if held.stage is not Stage.VERIFIED and not _known(held.target, draft.topology):
                reason = "it is no longer in the topology"
                step = recovery.Step(Stage.VERIFIED, 100, None, reason, held.penalty_ns, held.relapses)
                draft.stage(incident, held.target, step, None)


def restore_again(draft: Draft, epoch: Epoch) -> None:
    """After a restart: take back what was to be taken back, and nobody has said that it was."""
    for command in list(draft.state.unrestored.values()):
        if command.epoch < epoch and _known(command.target, draft.topology):
            draft.issue(msgspec.structs.replace(command, epoch=epoch))


def restored(draft: Draft, signal: Acted) -> None:
    """A data plane has answered a `Restore` whose incident is closed by now."""
    for command in draft.state.unrestored.values():
        if command.id == signal.command:
            draft.record(
                CommandAcknowledged(
                    at=draft.now, incident=command.incident, command=command.id, ok=signal.ok, reason=signal.reason
                )
            )
            return


def _known(target: Target, topology: Topology) -> bool:
    service = topology.service(target.service)
    if service is None:
        return False
    return not target.endpoint or any(endpoint.name == target.endpoint for endpoint in service.endpoints)
