"""`analyze`: everything that one window tells about an incident.

Origins are judged in `origin`, and worded in `text`. What follows from them: `foresee` (who will feel it, how much, how
soon), `feedback` (will it feed itself), `contain` (what would be worth doing).
"""

from collections.abc import Mapping

import msgspec
import numpy as np

from controlplane.decide.analysis.contain import Refine, contain, feedback
from controlplane.decide.analysis.foresee import foresee, impacts
from controlplane.decide.analysis.origin import Verdict, judge
from controlplane.decide.analysis.prospect import Prospect
from controlplane.decide.analysis.text import sentences
from controlplane.decide.analysis.window import Floats, Window
from controlplane.decide.plan.choose import Rule
from controlplane.model.analysis import Analysis, Origin
from controlplane.model.plan import Choice
from controlplane.model.situation import Situation

ORIGINS_MAX = 10
SCORE_MIN = 0.001
SAME = 1e-9  # scores closer than this are a tie


class Assessment(msgspec.Struct, frozen=True):
    """What is put on record of an incident, and the figures and the choice behind its plan (None: no origin)."""

    analysis: Analysis
    situation: Situation | None = None
    choice: Choice | None = None


def analyze(window: Window, *, refine: Refine | None = None, forbidden: Rule | None = None) -> Analysis:
    """Origins, evidence, spread, feedback and containment of the incident in `window`; no origins on a healthy one.

    `refine` adds what the window does not hold to what is planned from, `forbidden` asks the safety rules.
    """
    return assessed(window, judge(window), refine=refine, forbidden=forbidden).analysis


def report(
    window: Window, verdict: Verdict, *, refine: Refine | None = None, forbidden: Rule | None = None
) -> Analysis:
    """What `verdict` says about `window`, in words and figures."""
    return assessed(window, verdict, refine=refine, forbidden=forbidden).analysis


def assessed(
    window: Window,
    verdict: Verdict,
    *,
    pools: Mapping[str, int] | None = None,
    bears: Mapping[str, float] | None = None,
    refine: Refine | None = None,
    forbidden: Rule | None = None,
) -> Assessment:
    """What `verdict` says about `window`, with the choice as a value: for who means to carry it out.

    `pools` and `bears`: how many requests a service works on at a time, and bears in a second, where that is declared.
    """
    ranked = ranking(window, verdict)
    if not ranked:
        return Assessment(Analysis())
    origins = tuple(Origin(window.services[v], float(verdict.score[v]), sentences(window, verdict, v)) for v in ranked)
    prospect = Prospect.of(window)
    if bears:
        limit = np.array([bears.get(name, np.nan) for name in window.services])
        used = np.where(np.isnan(prospect.utilisation), prospect.requests / limit, prospect.utilisation)
        prospect = msgspec.structs.replace(prospect, utilisation=used)
    found = foresee(window, verdict, ranked, prospect)
    retries = feedback(prospect, found)
    usual = np.nan_to_num(verdict.seconds.seen.centre)
    situation, choice = contain(
        window, ranked[0], prospect, found, retries, usual=usual, pools=pools, refine=refine, forbidden=forbidden
    )
    analysis = Analysis(
        origins=origins,
        ties=_ties(origins),
        unexplained=max(0.0, 1.0 - sum(origin.score for origin in origins)),
        blast=impacts(window, verdict, found),
        reproduction_number=None if retries is None else retries.before.reproduction_number,
        metastable=None if retries is None else retries.before.metastable,
        plan=choice.sentences(),
        plan_reason=choice.why,
    )
    return Assessment(analysis, situation, choice)


def ranking(window: Window, verdict: Verdict) -> list[int]:
    """Indices of the origins, the highest score first; equal scores by name, so that the answer is always the same."""
    order = sorted(range(len(window.services)), key=lambda v: (-round(float(verdict.score[v]), 9), window.services[v]))
    return [v for v in order if verdict.score[v] >= SCORE_MIN][:ORIGINS_MAX]


def _ties(origins: tuple[Origin, ...]) -> tuple[tuple[str, ...], ...]:
    groups: list[list[Origin]] = []
    for origin in origins:
        if groups and abs(groups[-1][-1].score - origin.score) <= SAME:
            groups[-1].append(origin)
        else:
            groups.append([origin])
    return tuple(tuple(each.service for each in group) for group in groups if len(group) > 1)


def carried(window: Window, verdict: Verdict) -> Floats:
    """Of each edge the excess that it carries, as a share of the largest of its unit: what a picture highlights."""
    parts = np.zeros(len(window.edges))
    for mass in (verdict.seconds, verdict.failing):
        parts = np.maximum(parts, mass.edge / max(float(mass.edge.max(initial=0.0)), 1e-12))
    return parts
