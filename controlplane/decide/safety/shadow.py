"""What acts in shadow would have done, and how it ended without them: the ground on which a person lets them act."""

import msgspec

from controlplane.decide.state import State, describe
from controlplane.model.incident import Incident, Phase
from controlplane.model.policy import KINDS, ActKind, ResponsePolicy
from controlplane.model.unit import IncidentId, Nanos

ORDERS_SHOWN = 20  # of each kind, the newest; the others are counted


class Would(msgspec.Struct, frozen=True, kw_only=True):
    """One order that was not given, `at` the signal that decided. `ended`: how its incident went on without it;
    `failed`: users' requests that did meanwhile."""

    incident: IncidentId
    order: str
    at: Nanos
    avoids: float | None
    ended: str
    failed: int


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of act: to how many percent of the calls it applies now, and what it would have done in shadow.

    `avoids`: harmed requests per second, over those of the `orders` where it is known; None: of none.
    """

    kind: ActKind
    percent: int
    orders: int
    targets: tuple[str, ...]
    avoids: float | None
    avoids_known: int
    incidents_open: int
    incidents_closed: int
    latest: tuple[Would, ...]


def shadowed(state: State, policy: ResponsePolicy) -> list[Shadowed]:
    """Every kind of act that is in shadow, or was while an incident ran that is still remembered."""
    found: dict[ActKind, list[tuple[Incident, Would, str]]] = {kind: [] for kind in KINDS}
    for incident in state.incidents.values():
        for command in incident.commands:
            if command.enforcement == "shadow" and command.kind is not None:
                would = Would(
                    incident=incident.id,
                    order=describe(command),
                    at=command.signal_at or incident.opened_at,
                    avoids=command.avoids,
                    ended=_ended(incident),
                    failed=incident.user_failed,
                )
                found[command.kind].append((incident, would, str(command.target)))
    lines = []
    for kind, orders in found.items():
        share = 0 if state.mode == "observe" else policy.share(kind)
        if not orders and share == 100:
            continue
        known = [would.avoids for _, would, _ in orders if would.avoids is not None]
        concerned = {incident.id: incident for incident, _, _ in orders}
        open_ones = sum(1 for incident in concerned.values() if incident.phase is not Phase.CLOSED)
        lines.append(
            Shadowed(
                kind=kind,
                percent=share,
                orders=len(orders),
                targets=tuple(dict.fromkeys(target for _, _, target in orders)),
                avoids=sum(known) if known else None,
                avoids_known=len(known),
                incidents_open=open_ones,
                incidents_closed=len(concerned) - open_ones,
                latest=tuple(would for _, would, _ in orders[-ORDERS_SHOWN:]),
            )
        )
    return lines


def _ended(incident: Incident) -> str:
    if incident.phase is not Phase.CLOSED or incident.closed_at is None:
        return f"it goes on ({incident.phase})"
    lasted = (incident.closed_at - incident.opened_at) / 1e9
    how = next((line.what for line in reversed(incident.timeline) if line.what.startswith("closed")), "closed")
    return f"after {lasted:.3g} s: {how}"
