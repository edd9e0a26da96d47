"""What becomes of an incident that was another one's failure all along: the other one goes on with what it holds."""

import msgspec

from controlplane.model.incident import CHILDREN_MAX, Child, Incident, Stage
from controlplane.model.unit import CommandId, Nanos


def adopt(parent: Incident, child: Incident, at: Nanos) -> list[CommandId]:
    """Have `parent` go on with the containments, alerts and harm of `child`; the ids of orders that are now its own.

    What `child` has done stays with it, for who reads it later. Orders that stand go on under the parent. Users that
    both counted were mostly the same: the larger count of the two is kept, which says too little rather than too much.
    """
    stands: list[CommandId] = []
    for key, held in child.containments.items():
        own = parent.containments.get(key)
        if own is None or (own.stage is Stage.VERIFIED and held.stage is not Stage.VERIFIED):
            parent.containments[key] = msgspec.structs.replace(held)
            stands += [held.command] if held.command is not None else []
    stands = list(dict.fromkeys([*stands, *child.unanswered]))
    known = {command.id for command in parent.commands}
    parent.commands += [command for command in child.commands if command.id in stands and command.id not in known]
    parent.unanswered += [name for name in child.unanswered if name not in parent.unanswered]
    parent.taken = parent.taken or child.taken
    parent.touched += [target for target in child.touched if target not in parent.touched]
    parent.children += [_child(child, at), *child.children][: max(0, CHILDREN_MAX - len(parent.children))]
    begins = [began for began in (parent.began_at, child.began_at) if began is not None]
    parent.began_at = min(begins, default=None)
    parent.user_requests = max(parent.user_requests, child.user_requests)
    parent.user_failed = max(parent.user_failed, child.user_failed)
    parent.user_slow = max(parent.user_slow, child.user_slow)
    parent.fallbacks += child.fallbacks
    parent.reached += [service for service in child.reached if service not in parent.reached]
    parent.reached_edges += [edge for edge in child.reached_edges if edge not in parent.reached_edges]
    parent.escalated = parent.escalated or child.escalated
    parent.spread_at = at
    child.merged_into = parent.id
    child.unanswered, child.untold = [], {}
    return stands


def _child(merged: Incident, at: Nanos) -> Child:
    """A merged incident as its parent lists it: by the alert that had opened it."""
    first = merged.first
    return Child(
        target=first.target if first is not None else merged.origin,
        cause=first.cause if first is not None else merged.cause,
        at=first.at if first is not None else at,
        evidence=merged.evidence[0] if merged.evidence else "",
        by=first.by if first is not None else "",
        incident=merged.id,
    )
