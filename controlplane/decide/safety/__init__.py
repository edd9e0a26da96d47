"""The rules that stand before every act. Automation is the hazard: each rule has a name, and a refusal names it.

`RULES` is the table; `forbidden` asks all of them about one act. A rule looks at what is in force and in the topology,
never at all endpoints: an order costs the same in a fleet of ten and of ten thousand.
"""

from controlplane.decide.kind import act_of, kind_of
from controlplane.decide.safety.known import unknown
from controlplane.decide.safety.pace import charge
from controlplane.decide.safety.people import HOLD_NS_MAX, OVERRIDE_NS_MAX, held_by, may_renew, wrong_order
from controlplane.decide.safety.seen import Seen
from controlplane.decide.safety.shadow import Shadowed, shadowed
from controlplane.decide.safety.table import (
    BY_NAME,
    NEVER,
    RULES,
    Refused,
    Rule,
    Verdict,
    explained,
    forbidden,
    judge,
    question,
)
from controlplane.decide.safety.valid import refuse_blank, refuse_switched_off, wrong_signal

__all__ = [
    "BY_NAME",
    "HOLD_NS_MAX",
    "NEVER",
    "OVERRIDE_NS_MAX",
    "RULES",
    "Refused",
    "Rule",
    "Seen",
    "Shadowed",
    "Verdict",
    "act_of",
    "charge",
    "explained",
    "forbidden",
    "held_by",
    "judge",
    "kind_of",
    "may_renew",
    "question",
    "refuse_blank",
    "refuse_switched_off",
    "shadowed",
    "wrong_order",
    "unknown",
    "wrong_signal",
]
