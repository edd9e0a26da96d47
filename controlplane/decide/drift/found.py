"""The state's part of drift: who is drifted and how, folded from records."""

from typing import TYPE_CHECKING

import msgspec

from controlplane.model.drift import NOT_AS, Drift, DriftCleared, DriftFound, Fingerprint, FingerprintNoted
from controlplane.model.unit import Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State

FINGERPRINTS_MAX = 20_000  # endpoints; those of past topologies go first, unless they speak


def drifted(state: "State", service: str = "") -> list[Drift]:
    """Who is drifted and how, oldest first; those of `service` alone where one is named, data planes otherwise, too."""
    each = sorted(state.drifted.values(), key=lambda one: (one.since, one.who))
    return [one for one in each if not service or (one.target is not None and one.target.service == service)]


def reasons(state: "State", services: list[str]) -> list[str]:
    """Why the configuration of `services` is not as it was, one sentence for each that differs."""
    return [one.text for service in services for one in drifted(state, service)]


def is_ours(reason: str) -> bool:
    """Whether `reason` is one of `reasons`, which the state knows by itself: nobody needs to tell it again."""
    return NOT_AS in reason


def fold(state: "State", record: FingerprintNoted | DriftFound | DriftCleared) -> None:
    """Change `state` by one fact."""
    match record:
        case FingerprintNoted():
            state.fingerprints[str(record.target)] = Fingerprint(
                target=record.target,
                value=record.fingerprint,
                at=record.at,
                parts=record.parts,
                environment=record.environment,
            )
            while len(state.fingerprints) > FINGERPRINTS_MAX:
                del state.fingerprints[next(iter(state.fingerprints))]
        case DriftFound():
            state.drifted[record.who] = Drift(
                who=record.who,
                differs=record.differs,
                since=record.since,
                against=record.against,
                target=record.target,
            )
        case DriftCleared():
            state.drifted.pop(record.who, None)


def shift(state: "State", shift_ns: int) -> None:
    """Bring times that may still be compared with `now` to this boot's clock."""

    def moved(one: Drift | Fingerprint) -> Nanos:
        return Nanos((one.since if isinstance(one, Drift) else one.at) + shift_ns)

    state.drifted = {who: msgspec.structs.replace(one, since=moved(one)) for who, one in state.drifted.items()}
    state.fingerprints = {who: msgspec.structs.replace(one, at=moved(one)) for who, one in state.fingerprints.items()}
