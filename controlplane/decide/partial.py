"""Containments that apply to a part of the calls: their target goes on serving the rest, and is probed by it."""

from controlplane.decide import recovery, respond
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.model.command import Weigh
from controlplane.model.incident import Stage
from controlplane.model.signal import Probed, Target


def served(draft: Draft, evidence: Evidence, target: Target) -> None:
    """Calls to `target` have ended. Where it waits for probes and none is made, enough clean ones are its probes."""
    command = draft.state.in_force.get(str(target))
    if command is None or not isinstance(command.intent, Weigh):
        return
    found = draft.state.containment(target)
    if found is None or found[1].stage is not Stage.PROBE:
        return
    traffic = evidence.since_stage(target)
    enough = traffic.clean >= max(1, draft.policy.ramp_calls_min)
    if enough and traffic.failures * 100 <= recovery.DIRTY_PERCENT * traffic.calls:
        respond.probed(draft, evidence, Probed(at=draft.now, target=target, passed=True))
