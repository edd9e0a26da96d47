"""A containment plan as a value: acts, what they are expected to bring, and why another one was not taken.

One unit for all harm: **harmed requests per second**, user requests at the protected entries that fail or are too slow.
A slow request counts as one, like a failed one: what latency does to users is how many of them it reaches. Figures are
means over the horizon of the choice. None: unknown, which is never zero.
"""

from typing import Literal

import msgspec

from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Nanos

Do = Literal["eject", "reroute", "isolate", "cap_retries", "tighten", "shed", "fail_over", "roll_back"]


class Act(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One thing to do about `target`.

    `caller` names the edge where the act is about one edge only (isolate, cap_retries); empty: all callers. `part`
    narrows the target down where it is neither a whole service nor one endpoint: a zone, a version, a class of
    requests. `to` says where traffic goes. `percent` of the target's traffic is moved or shed, which is `amount` in
    requests per second; None: all of it, or unknown. `deadline_ms`: how long a call may take (tighten).
    """

    do: Do
    target: Target
    caller: str = ""
    part: str = ""
    to: str = ""
    percent: float | None = None
    amount: float | None = None
    deadline_ms: int | None = None

    @property
    def key(self) -> str:
        """What is done to whom, without figures: the same act with other figures has the same key."""
        return " ".join(filter(None, (self.do, f"{self.caller}->" * bool(self.caller), str(self.target), self.part)))

    def __str__(self) -> str:
        share = "" if self.percent is None else f" {self.percent:.3g} % of"
        what = f"{self.caller} -> {self.target}" if self.caller else str(self.target)
        part = f" ({self.part})" if self.part else ""
        return f"{self.do.replace('_', ' ')}{share} {what}{part}{f' to {self.to}' if self.to else ''}"


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could be done, weighed.

    `avoided` and `given_up` are harmed requests per second that it prevents and causes, `net` their difference;
    `relief` is calls in vain per second that it spares. `effect` is the prediction in words and numbers, `why` what
    makes it feasible or speaks against it; `forbidden` names the rule that does.
    """

    acts: tuple[Act, ...]
    avoided: float | None = None
    given_up: float | None = None
    net: float | None = None
    relief: float | None = None
    effect: str = ""
    why: str = ""
    forbidden: str = ""

    @property
    def key(self) -> str:
        """What is done, without figures: a remedy that did not help is known by it."""
        return ", ".join(sorted({act.key for act in self.acts}))

    def __str__(self) -> str:
        return " and ".join(_together(acts) for acts in _alike(self.acts))


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen (None: nothing is worth doing, or can be weighed), and what else there was.

    `why` says why the runner-up lost or, without a choice, why there is none. `harm` is what users suffer if nothing is
    done, over the next `horizon_s`.
    """

    chosen: Option | None = None
    runner_up: Option | None = None
    why: str = ""
    harm: float | None = None
    horizon_s: float
    considered: tuple[Option, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """The plan in words: a sentence for each act, one for what it brings, one for the runner-up; () without one."""
        if self.chosen is None:
            return ()
        acts = (_together(acts) for acts in _alike(self.chosen.acts))
        return *acts, f"expected: {self.chosen.effect} ({self.chosen.why})", f"runner-up: {self.why}"


class Enacted(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that was ordered: by which commands, and what was expected of it.

    `harm` and `expected` are harmed requests per second before it and once it works. `service` is where it is measured:
    the failing share of its calls, or (`measure`) the seconds that they take; that was `before`, and should become
    `after`, measured from `works_at` on. `shadow`: it was only put on record. `complete`: nothing of it was left to
    people. `helped` is None until what was seen has been compared.
    """

    at: Nanos
    works_at: Nanos
    key: str
    text: str
    harm: float
    expected: float
    commands: tuple[CommandId, ...] = ()
    service: str = ""
    measure: Literal["failing", "latency"] = "failing"
    before: float = 0.0
    after: float = 0.0
    shadow: bool = False
    complete: bool = True
    helped: bool | None = None


def _alike(acts: tuple[Act, ...]) -> list[list[Act]]:
    """Acts in their order, side by side where they differ only in the edge, or in where traffic goes."""
    groups: dict[object, list[Act]] = {}
    for act in acts:
        key = act.do if act.caller else msgspec.structs.replace(act, to="", percent=None, amount=None)
        groups.setdefault(key, []).append(act)
    return list(groups.values())


def _together(acts: list[Act]) -> str:
    """Acts of one group as one: edges listed; of moved traffic, places listed and shares added up."""
    first = acts[0]
    if first.caller:
        return f"{first.do.replace('_', ' ')} {_list([f'{act.caller} -> {act.target}' for act in acts])}"
    if len(acts) == 1 or not first.to:
        return " and ".join(str(act) for act in acts)
    known = [act.percent for act in acts if act.percent is not None]
    percent = sum(known) if len(known) == len(acts) else None
    return str(msgspec.structs.replace(first, to=_list([act.to for act in acts]), percent=percent))


def _list(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
