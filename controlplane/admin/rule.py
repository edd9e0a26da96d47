"""The safety rules, people's holds and overrides, and what is in shadow, as the admin API tells it."""

import msgspec

from controlplane.admin.view import Wall
from controlplane.assembly import Plane
from controlplane.decide.safety import RULES, shadowed
from controlplane.decide.standing import Hold, Override, key
from controlplane.model.unit import to_seconds


class _View(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RuleView(_View, frozen=True):
    """One safety rule. `limits` are its bounds as they are now; `never`: why no person may set it aside, or empty.
    `refused` counts refusals on record; the same one again within an incident is not counted."""

    name: str
    forbids: str
    limits: str
    kept_by: str
    never: str
    refused: int


class HoldView(_View, frozen=True):
    """What a person holds; `target` is * for everything. `left_s` null: until it is released."""

    target: str
    by: str
    reason: str
    since: str
    left_s: float | None


class OverrideView(_View, frozen=True):
    """A rule that a person has set aside; `target` is * for everything."""

    rule: str
    target: str
    by: str
    reason: str
    since: str
    left_s: float


class RulesView(_View, frozen=True):
    """All safety rules in their order, and what people have ordered about them."""

    frozen: bool
    frozen_reason: str
    rules: list[RuleView]
    holds: list[HoldView]
    overrides: list[OverrideView]


class WouldView(_View, frozen=True):
    """One order that was not given, and how its incident went on without it."""

    at: str
    incident: str
    order: str
    avoids_per_s: float | None
    ended: str
    users_failed: int


class ShadowView(_View, frozen=True):
    """One kind of act: how many percent of the calls it applies to now, and what it would have done in shadow.
    `avoids_per_s`: harmed requests per second, summed over the `avoids_known` orders for which it was predicted."""

    kind: str
    percent: int
    orders: int
    targets: list[str]
    avoids_per_s: float | None
    avoids_known: int
    incidents_open: int
    incidents_closed: int
    latest: list[WouldView]


class GuardShadowView(_View, frozen=True):
    """A guard whose refusals apply to fewer than all calls; `shadowed` calls went on that it would have refused."""

    service: str
    policy: str
    percent: int
    shadowed: int


class ShadowReport(_View, frozen=True):
    """What is in shadow, and what it would have done."""

    mode: str
    kinds: list[ShadowView]
    guards: list[GuardShadowView]


def rules(plane: Plane) -> RulesView:
    """All rules with their present limits and counts."""
    wall, state, policy = Wall(plane), plane.state, plane.config.response_policy()
    standing = state.standing
    return RulesView(
        frozen=state.frozen,
        frozen_reason=state.frozen_reason,
        rules=[
            RuleView(
                name=rule.name,
                forbids=rule.forbids,
                limits=rule.limits(policy),
                kept_by=rule.kept_by,
                never=rule.never,
                refused=standing.refused.get(rule.name, 0),
            )
            for rule in RULES
        ],
        holds=[_hold(one, wall) for one in standing.holds.values() if one.until is None or one.until > wall.now],
        overrides=[_override(one, wall) for one in standing.overrides.values() if one.until > wall.now],
    )


def shadow(plane: Plane) -> ShadowReport:
    """What kinds of acts, and which guards, only report."""
    wall = Wall(plane)
    guards = []
    for service in plane.topology.services:
        guard = plane.guard_or_none(service.name)
        if guard is not None and (percent := guard.policy()["enforced_percent"]) < 100:
            guards.append(
                GuardShadowView(
                    service=service.name,
                    policy=service.policy,
                    percent=percent,
                    shadowed=guard.describe()["shadowed"],
                )
            )
    return ShadowReport(
        mode=plane.state.mode,
        kinds=[
            ShadowView(
                kind=one.kind,
                percent=one.percent,
                orders=one.orders,
                targets=list(one.targets),
                avoids_per_s=one.avoids,
                avoids_known=one.avoids_known,
                incidents_open=one.incidents_open,
                incidents_closed=one.incidents_closed,
                latest=[
                    WouldView(
                        at=wall.iso(would.at),
                        incident=would.incident,
                        order=would.order,
                        avoids_per_s=would.avoids,
                        ended=would.ended,
                        users_failed=would.failed,
                    )
                    for would in one.latest
                ],
            )
            for one in shadowed(plane.state, plane.config.response_policy())
        ],
        guards=guards,
    )


def _hold(one: Hold, wall: Wall) -> HoldView:
    return HoldView(
        target=key(one.target),
        by=one.by,
        reason=one.reason,
        since=wall.iso(one.since),
        left_s=None if one.until is None else to_seconds(one.until - wall.now),
    )


def _override(one: Override, wall: Wall) -> OverrideView:
    return OverrideView(
        rule=one.rule,
        target=key(one.target),
        by=one.by,
        reason=one.reason,
        since=wall.iso(one.since),
        left_s=to_seconds(one.until - wall.now),
    )
