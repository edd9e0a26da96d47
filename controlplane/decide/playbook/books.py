"""What is on record about playbooks, folded into the state."""

from typing import TYPE_CHECKING

import msgspec

from controlplane.decide.life import line
from controlplane.model.playbook import PlaybookMatched, PlaybookReliability, PlaybookStepped, Used

if TYPE_CHECKING:
    from controlplane.decide.state import State

Known = PlaybookMatched | PlaybookStepped | PlaybookReliability


def fold(state: "State", record: Known) -> None:
    """Change `state` by one fact about a playbook."""
    if isinstance(record, PlaybookReliability):
        if record.reasons:
            state.unreliable[record.playbook] = record.reasons
        else:
            state.unreliable.pop(record.playbook, None)
        return
    incident = state.incidents.get(record.incident)
    if incident is None:
        return
    before = next((one for one in incident.playbooks if one.playbook == record.playbook), None)
    if isinstance(record, PlaybookMatched):
        now = Used(
            playbook=record.playbook,
            shadow=record.shadow,
            unmet=record.unmet,
            looked=1 if before is None else before.looked + 1,
            ladder=record.ladder,
            owner=record.owner,
        )
        said = f"fits, and is not used: {'; '.join(record.unmet)}" if record.unmet else "fits"
        line(incident, record.at, f"playbook {record.playbook} {said}{' (in shadow)' if record.shadow else ''}")
    else:
        if before is None:
            return
        now = msgspec.structs.replace(before, steps={**before.steps, record.step: record.how})
        why = f": {record.reason}" if record.reason else ""
        how = {"holds": "in force already", "by_hand": "left to people", "shadow": "would be ordered"}
        said = how.get(record.how, record.how)
        line(incident, record.at, f"playbook {record.playbook} step {record.step}, {record.what}: {said}{why}")
    incident.playbooks = [one for one in incident.playbooks if one.playbook != record.playbook]
    incident.playbooks.append(now)
