"""Analyses and commands in one line, for people."""

from controlplane.model.analysis import Analysis
from controlplane.model.command import Command


def summary(analysis: Analysis) -> str:
    """One line for people: whose failure it is, how far it goes, whether it feeds itself."""
    origins = ", ".join(f"{origin.service} {origin.score:.2f}" for origin in analysis.origins[:3]) or "no origin"
    parts = [f"origin {origins}"]
    if analysis.unexplained >= 0.005:
        parts.append(f"unexplained {analysis.unexplained:.2f}")
    if analysis.reproduction_number is not None and analysis.reproduction_number >= 1:
        parts.append(f"it feeds itself, R {analysis.reproduction_number:.2g}")
    if analysis.metastable:
        parts.append("it will not clear when its cause is gone")
    return "; ".join([*parts, *analysis.plan[:1]])


def describe(command: Command) -> str:
    """One line for people: what is done to whom, and until when it may last."""
    intent = command.intent
    detail = " ".join(f"{value}" for name in intent.__struct_fields__ if (value := getattr(intent, name)) != "")
    verb = type(intent).__name__.lower() + (f" {detail}" if detail else "")
    return f"{verb} {command.target} [{command.id}]"
