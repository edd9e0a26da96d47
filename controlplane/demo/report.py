"""The table for people and the JSON for machines, of the same results."""

import os
import platform
import sys
from importlib.metadata import version
from typing import Any

from controlplane.demo import mesh
from controlplane.demo.result import Results, Run, Trial
from controlplane.model.incident import Stage

WIDTH = 119


def _row(mark: str, *cells: str) -> str:
    name, requests, touched, signal, effective, escalation, ratio = cells
    return f"{mark:3}{name:27}{requests:>19} {touched:>9} {signal:>9}   {effective:>20} {escalation:>8} {ratio:>10}"


FIRST = {
    "in-process": (
        "First: from the signal to the first request in fact treated differently, worst of all callers; a caller that",
        "makes ten calls a second waits 100 ms for one, whatever the library does. Closed: from the onset.",
    ),
    "proxy": ("Effective: the proxy has acknowledged the order. Which request met it first only the proxy knows.",),
}
HEAD = (
    _row("", "", "user requests", "services", "onset ->", "signal -> effective", "esca-", "response/"),
    _row("", "fault", "failed + slow", "touched", "signal", "p50 / p99 / max ms", "lation", "escalation"),
)


def table(results: Results) -> str:
    """At most 120 columns: a line per fault, then what each column means, then what went wrong."""
    healthy = results.healthy
    lines = [
        "",
        *([] if results.data_plane == "in-process" else [f"through {results.data_plane}, steered from outside"]),
        (
            f"healthy: {healthy.requests} requests, {healthy.failed} failed, {healthy.slow} slow; "
            f"{healthy.incidents} incidents, {healthy.commands} commands"
        ),
        "",
        *HEAD,
        "-" * WIDTH,
        *(line(trial) for trial in results.trials),
        "",
        f"Each pair is observe-only -> in force. Slow: over {mesh.SLOW_S * 1e3:.0f} ms from when the request was due.",
        "Escalation, measured observe-only: from the onset until the next hop is unhealthy; >: not within the window.",
        "Response: p99 of signal -> effective.",
        *(f"Left out: {why}." for why in results.left_out),
        "",
        *FIRST["in-process" if results.data_plane == "in-process" else "proxy"],
        "",
        f"{'':30}{'first':>9} {'closed':>8}  recovery of the target that was contained first",
        *(f"   {trial.fault.name:27}{recovery(trial)}" for trial in results.trials),
    ]
    troubles = results.troubles()
    lines += ["", f"all contained, {results.seconds:.0f} s in all" if not troubles else "NOT as promised:"]
    lines += [f"    {name}: {why}" for name, reasons in troubles.items() for why in reasons]
    return "\n".join(lines)


def line(trial: Trial) -> str:
    """One fault in one line."""
    seen, held, effective = trial.observe, trial.enforce, trial.effective
    numbers = (
        " / ".join(f"{value * 1e3:.2f}" for value in (effective.p50, effective.p99, effective.max) if value is not None)
        or "none"
    )
    return _row(
        "ok" if not trial.troubles() else "NO",
        trial.fault.name,
        f"{_bad(seen)} -> {_bad(held)}",
        f"{len(seen.blast)} -> {len(held.blast)}",
        _ms(trial.onset_to_signal_s),
        numbers,
        (">" if seen.escalation.censored else "") + _ms(seen.escalation.seconds),
        _ratio(trial.ratio),
    )


def _bad(run: Run) -> str:
    return f"{run.users.failed}+{run.users.slow}"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 0.0095:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def recovery(trial: Trial) -> str:
    """How the target that was contained first earned its traffic back, and when the last incident had closed."""
    answer = trial.enforce.answer
    stages: list[str] = []
    for step in answer.steps:
        if (step.plane, step.target) != (answer.steps[0].plane, answer.steps[0].target):
            continue
        ramp = "adaptive limit" if step.concurrency else f"{step.percent} %"
        stages.append(ramp if step.stage is Stage.RAMP else str(step.stage))
    rounds = 0
    while stages[:4] == ["hold", "probe", "hold", "probe"]:
        del stages[:2]
        rounds += 1
    lead = f"{rounds} failed probe{'s' * (rounds > 1)}, then " if rounds else ""
    ended = "not closed" if answer.closed_at is None else _ms((answer.closed_at - trial.enforce.onset) / 1e9)
    stages = [word for at, word in enumerate(stages) if not at or stages[at - 1] != word]
    first = trial.first_request.max
    return f"{_ms(first):>9} {ended:>8}  {lead}{' '.join(stages)}{'; masked by the fallback' if answer.masked else ''}"


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
        "data_plane": results.data_plane,
        "left_out": results.left_out,
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
        "blamed": answer.blamed,
        "causes": answer.causes,
        "versions": answer.versions,
        "masked": answer.masked,
        "incidents": {"opened": answer.opened, "closed": answer.closed},
        "commands": answer.commands,
        "closed_after_s": None if answer.closed_at is None else (answer.closed_at - trial.enforce.onset) / 1e9,
        "recovery": answer.steps,
        "effects": answer.effects,
        "lifetimes": answer.lifetimes,
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
