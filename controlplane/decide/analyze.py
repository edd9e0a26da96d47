"""`analyze`: everything that one window tells about an incident.

Origins are judged in `origin`, evidence worded in `evidence_text`. What follows from the origins has one door each:
`foresee` (who will feel it, how much), `feedback` (will it feed itself), `contain` (what to do).
"""

import numpy as np

from controlplane.decide.evidence_text import sentences
from controlplane.decide.foresee import foresee
from controlplane.decide.origin import Verdict, judge
from controlplane.decide.window import Floats, Window
from controlplane.model.analysis import Analysis, Origin

ORIGINS_MAX = 10
SCORE_MIN = 0.001
SAME = 1e-9  # scores closer than this are a tie


def analyze(window: Window) -> Analysis:
    """Origins, evidence, spread, feedback and containment of the incident in `window`; no origins on a healthy one."""
    return report(window, judge(window))


def report(window: Window, verdict: Verdict) -> Analysis:
    """What `verdict` says about `window`, in words and figures."""
    ranked = ranking(window, verdict)
    origins = tuple(Origin(window.services[v], float(verdict.score[v]), sentences(window, verdict, v)) for v in ranked)
    reproduction, metastable = feedback(window, verdict)
    return Analysis(
        origins=origins,
        ties=_ties(origins),
        unexplained=max(0.0, 1.0 - sum(origin.score for origin in origins)) if origins else 0.0,
        blast=foresee(window, verdict, ranked),
        reproduction_number=reproduction,
        metastable=metastable,
        plan=contain(window, verdict, ranked),
    )


def ranking(window: Window, verdict: Verdict) -> list[int]:
    """Indices of the origins, the highest score first; equal scores by name, so that the answer is always the same."""
    order = sorted(range(len(window.services)), key=lambda v: (-round(float(verdict.score[v]), 9), window.services[v]))
    return [v for v in order if verdict.score[v] >= SCORE_MIN][:ORIGINS_MAX]


def feedback(_window: Window, _verdict: Verdict) -> tuple[float | None, bool | None]:
    """(reproduction number, metastable) of the load-failure loop; None where attempts and capacity are not known."""
    return None, None


def contain(_window: Window, _verdict: Verdict, _origins: list[int]) -> tuple[str, ...]:
    """The containment that it would have ordered, one sentence each; nothing where nothing is accused."""
    return ()


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
