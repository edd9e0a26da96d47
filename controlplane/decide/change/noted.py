"""The state's part of changes: the latest of each service, which version runs where, and which were recent."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from controlplane.model.change import SUMMARY_MAX, TEXT_MAX, Change, Changed, ChangeNoted
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND, Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State

PER_SERVICE_MAX = 16
SERVICES_MAX = 4096
RECENT_NS = 900 * SECOND  # before the onset: later than that a change is no more likely than anything else
WATCH_NS = 1800 * SECOND  # after a deploy its version is compared for so long


def known(state: "State", signal: Changed) -> bool:
    """Whether the change of that id is on record."""
    return any(one.id == signal.id for one in state.changes.get(signal.service, ()))


def wrong(signal: Changed) -> str:
    """Why nothing may be made of `signal`; empty: it may be believed."""
    if not signal.id:
        return "a change without an id"
    texts = (signal.id, signal.version, signal.by, *signal.endpoints)
    if max(map(len, texts)) > TEXT_MAX or len(signal.summary) > SUMMARY_MAX:
        return f"a change with a text of more than {TEXT_MAX} characters"
    return ""


def fold(state: "State", record: ChangeNoted) -> None:
    """Change `state` by one fact."""
    fields = {name: getattr(record, name) for name in Change.__struct_fields__}
    kept = state.changes.pop(record.service, ())
    state.changes[record.service] = (*kept, Change(**fields))[-PER_SERVICE_MAX:]
    while len(state.changes) > SERVICES_MAX:
        del state.changes[next(iter(state.changes))]


def shift(state: "State", shift_ns: int) -> None:
    """Bring times that may still be compared with `now` to this boot's clock."""
    state.changes = {
        name: tuple(msgspec.structs.replace(one, made_at=Nanos(one.made_at + shift_ns)) for one in changes)
        for name, changes in state.changes.items()
    }


def recent(state: "State", services: Iterable[str], onset: Nanos) -> list[Change]:
    """Changes of `services` shortly before `onset`, the latest first."""
    found = [one for name in services for one in state.changes.get(name, ()) if 0 <= onset - one.made_at <= RECENT_NS]
    return sorted(found, key=lambda one: (-one.made_at, one.service, one.id))


def deploy(state: "State", service: str, now: Nanos) -> Change | None:
    """The deploy of `service` that is watched now; None: none, or it is long ago."""
    deploys = [one for one in state.changes.get(service, ()) if one.kind == "deploy" and one.version]
    last = max(deploys, key=lambda one: one.made_at, default=None)
    return last if last is not None and now - last.made_at <= WATCH_NS else None


def versions(state: "State", service: Service) -> dict[str, str]:
    """Which version each endpoint runs: what the latest deploy that names it said, else what is declared."""
    found = {one.name: one.version for one in service.endpoints}
    for change in sorted(state.changes.get(service.name, ()), key=lambda one: one.made_at):
        if change.kind == "deploy" and change.version:
            found.update({name: change.version for name in change.endpoints if name in found})
    return found
