"""The table for people and the JSON for machines, of the same results."""

import os
import platform
import sys
from importlib.metadata import version
from typing import Any

from controlplane.demo import mesh
from controlplane.demo.result import Results, Run, Trial

HEAD = (
    f"{'':27}{'user requests':>22} {'services':>9} {'onset ->':>9}   {'signal -> effective':>20} {'esca-':>8} {'response/':>10}\n"
    f"{'fault':27}{'failed + slow':>22} {'touched':>9} {'signal':>9}   {'p50 / p99 / max ms':>20} {'lation':>8} {'escalation':>10}"
)


def table(results: Results) -> str:
    """At most 120 columns: a line per fault, then what each column means, then what went wrong."""
    healthy = results.healthy
    lines = [
        "",
        f"healthy: {healthy.requests} requests, {healthy.failed} failed, {healthy.slow} slow; "
        f"{healthy.incidents} incidents, {healthy.commands} commands",
        "",
        HEAD,
        "-" * 119,
        *(_line(trial) for trial in results.trials),
        "",
        "observe-only -> in force. slow: over "
        f"{mesh.SLOW_S * 1e3:.0f} ms from when it was due. escalation, measured observe-only: onset -> next hop unhealthy;",
        "> : not within the window. response: p99 of signal -> effective. recovery: readmitted in stages, closed after",
        *(f"    {trial.fault.name:27}{_recovery(trial)}" for trial in results.trials),
    ]
    troubles = results.troubles()
    lines += ["", f"all contained, {results.seconds:.0f} s in all" if not troubles else "NOT as promised:"]
    lines += [f"    {name}: {why}" for name, reasons in troubles.items() for why in reasons]
    return "\n".join(lines)


def _line(trial: Trial) -> str:
    seen, held, effective = trial.observe, trial.enforce, trial.effective
    numbers = (
        " / ".join(f"{value * 1e3:.2f}" for value in (effective.p50, effective.p99, effective.max) if value is not None)
        or "none"
    )
    mark = "ok " if not trial.troubles() else "NO "
    requests = f"{_bad(seen)} -> {_bad(held)}"
    blast = f"{len(seen.blast)} -> {len(held.blast)}"
    until = ">" if seen.escalation.censored else ""
    return (
        f"{mark}{trial.fault.name:27}{requests:>19} {blast:>9} {_ms(trial.onset_to_signal_s):>9}   {numbers:>20} "
        f"{until + _ms(seen.escalation.seconds):>8} {_ratio(trial.ratio):>10}"
    )


def _bad(run: Run) -> str:
    return f"{run.users.failed}+{run.users.slow}"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _recovery(trial: Trial) -> str:
    answer = trial.enforce.answer
    stages: list[str] = []
    first = next((step for step in answer.steps), None)
    for step in answer.steps:
        if first is not None and (step.plane, step.target) == (first.plane, first.target):
            word = f"{step.percent} %" if step.stage == "ramp" else str(step.stage)
            if not stages or stages[-1] != word:
                stages.append(word)
    ended = "not closed" if answer.closed_at is None else _ms((answer.closed_at - trial.enforce.onset) / 1e9)
    masked = "masked; " if answer.masked else ""
    return f"{ended} ({masked}{', '.join(answer.origins)}): {' '.join(stages)}"[:88]


def document(results: Results) -> dict[str, Any]:
    """The JSON document; its keys are documented in docs/tutorial/demo.md."""
    healthy = results.healthy
    return {
        "faults": [_fault(trial) for trial in results.trials],
        "healthy": {
            "incidents": healthy.incidents,
            "commands": healthy.commands,
            "requests": healthy.requests,
            "failed": healthy.failed,
            "slow": healthy.slow,
            "named": healthy.named,
            "latency_s": healthy.latency_s,
            "generator_late_max_s": healthy.generator_late_max_s,
        },
        "troubles": results.troubles(),
        "rate_per_s": results.rate,
        "seed": results.seed,
        "seconds": results.seconds,
        "slow_s": mesh.SLOW_S,
        "machine": machine(),
    }


def _fault(trial: Trial) -> dict[str, Any]:
    effective = trial.effective
    answer = trial.enforce.answer
    return {
        "name": trial.fault.name,
        "contained": not trial.troubles(),
        "troubles": trial.troubles(),
        "observe": _run(trial.observe),
        "enforce": _run(trial.enforce),
        "signal_to_effective_s": effective,
        "signal_to_first_request_s": trial.first_request,
        "onset_to_signal_s": trial.onset_to_signal_s,
        "response_over_escalation": trial.ratio,
        "onset_to_effective_over_escalation": trial.ratio_from_onset,
        "origins": answer.origins,
        "causes": answer.causes,
        "versions": answer.versions,
        "masked": answer.masked,
        "incidents": {"opened": answer.opened, "closed": answer.closed},
        "commands": answer.commands,
        "closed_after_s": None if answer.closed_at is None else (answer.closed_at - trial.enforce.onset) / 1e9,
        "recovery": answer.steps,
        "effects": answer.effects,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "failed": run.users.failed,
        "slow": run.users.slow,
        "requests": run.users.requests,
        "blast_radius": len(run.blast),
        "services_touched": run.blast,
        "escalation_s": run.escalation.seconds,
        "escalation_censored": run.escalation.censored,
        "escalation_hop": run.escalation.hop,
        "quiet_after": run.quiet,
        "incidents": run.answer.origins,
        "generator_late_max_s": run.generator_late_max_s,
    }


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    packages = ("controlplane", "anyio", "httptools", "httpx", "uvicorn", "uvloop")
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in packages},
    }
