"""What a progressive deployer is told that asks whether its rollout may go on."""

import msgspec

from controlplane.decide.state import State
from controlplane.model.policy import ResponsePolicy


class Verdict(msgspec.Struct, frozen=True):
    """`go`: the next step may be taken. `roll_back`: what is being rolled out is to be taken back. Both with reasons.

    Where roll-backs are in shadow it is always go, and the reasons say what it would have been.
    """

    go: bool
    roll_back: bool
    reasons: tuple[str, ...] = ()


def verdict(state: State, policy: ResponsePolicy, service: str, version: str = "") -> Verdict:
    """The answer about a rollout of `version` (empty: the asker does not say which) of `service`.

    An open incident of the service halts it. A version that was withdrawn is rolled back, whoever asks for it; an
    asker that names no version is told so until the roll-back shows, and is then halted until somebody releases it.
    """
    reasons, roll_back = [], False
    held = state.withdrawn.get(service)
    if held is not None and version in ("", held.version):
        roll_back = bool(version) or not held.proven
        reasons.append(f"version {held.version} was withdrawn by {held.incident}")
    reasons += [
        f"{incident.id} is open: {incident.origin} {incident.cause}"
        for incident in state.open_incidents()
        if incident.origin.service == service and not incident.shadow
    ]
    if state.mode == "observe" or policy.share("roll_back") == 0:
        return Verdict(True, False, tuple(f"it would halt: {reason}" for reason in reasons))
    return Verdict(not reasons, roll_back, tuple(reasons))
