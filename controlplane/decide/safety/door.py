"""A door that is closed because a guard is degraded is opened by evidence about the guard, and by nothing else."""

from controlplane.decide.ledger import side_key
from controlplane.decide.safety.ask import Ask, No
from controlplane.model.command import Restore


def fail_closed(ask: Ask) -> No | None:
    """Not to open it with everything else that is given back about its service either."""
    if not isinstance(ask.intent, Restore) or ask.intent.what not in ("", "close") or ask.target.endpoint:
        return None
    if side_key(ask.target, "close") not in ask.state.sides:
        return None
    for finding in ask.state.findings.values():
        if ask.target.service in finding.protects:
            return No(f"{finding.guard} ({finding.kind}), which guards {ask.target}, is degraded: {finding.reason}")
    return None
