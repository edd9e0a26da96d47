"""A containment plan as a value: acts, what they are expected to bring, and why another one was not taken.

One unit for all harm: **harmed requests per second**, user requests at the protected entries that fail or are too slow.
A slow request counts as one, like a failed one: what latency does to users is how many of them it reaches. Figures are
means over the horizon of the choice. None: unknown, which is never zero.
"""

from typing import Literal

import msgspec

from controlplane.model.signal import Target

Do = Literal["eject", "reroute", "isolate", "cap_retries", "shed", "fail_over", "roll_back"]


class Act(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One thing to do about `target`.

    `caller` names the edge where the act is about one edge only (isolate, cap_retries); empty: all callers. `part`
    narrows the target down where it is neither a whole service nor one endpoint: a zone, a version, a class of
    requests. `to` says where traffic goes. `percent` of the target's traffic is moved or shed, which is `amount` in
    requests per second; None: all of it, or unknown.
    """

    do: Do
    target: Target
    caller: str = ""
    part: str = ""
    to: str = ""
    percent: float | None = None
    amount: float | None = None

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


def _alike(acts: tuple[Act, ...]) -> list[list[Act]]:
    """Acts in their order, those that differ only in where traffic goes side by side."""
    groups: dict[Act, list[Act]] = {}
    for act in acts:
        groups.setdefault(msgspec.structs.replace(act, to="", percent=None, amount=None), []).append(act)
    return list(groups.values())


def _together(acts: list[Act]) -> str:
    """Acts of one group as one: the shares added up, the places listed."""
    if len(acts) == 1 or not acts[0].to:
        return " and ".join(str(act) for act in acts)
    shares, places = [act.percent for act in acts], [act.to for act in acts]
    known = [share for share in shares if share is not None]
    to = ", ".join(places) if len(places) <= 4 else f"{', '.join(places[:3])} and {len(places) - 3} more"
    return str(msgspec.structs.replace(acts[0], to=to, percent=sum(known) if len(known) == len(shares) else None))
