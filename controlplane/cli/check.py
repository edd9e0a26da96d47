"""`controlplane check`: everything that is wrong with a configuration, at once."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controlplane.config import load_linted
from controlplane.model.config import Config
from controlplane.model.errors import ConfigError


def check(file: str, *, output: str) -> int:
    """Say what `file` holds, or what is wrong with it."""
    if not Path(file).is_file():
        raise ConfigError("is not a file", source=file)
    try:
        config, findings = load_linted(file)
    except ConfigError as error:
        _refuse(file, error.problems, output, "nothing would be started or changed")
        return 1
    if findings:
        _refuse(file, findings, output, "the process would start, and not use the playbooks that do not fit")
        return 1
    proxies = _proxies(config)
    summary = {**_summary(config), "proxies": proxies}
    if output == "json":
        print(json.dumps({"file": file, "ok": True, "problems": [], **summary}, indent=2))
    else:
        print(f"{file}: good")
        for key, value in summary.items():
            if key != "proxies":
                print(f"  {key:<10} {value}")
        for name, proxy in proxies.items():
            notes = "; ".join(proxy["notes"]) or "fits"
            print(f"  proxy      {name} ({proxy['kind']} at {proxy['at']}): {notes}")
    return 0


def _refuse(file: str, found: Sequence[ConfigError], output: str, means: str) -> None:
    if output == "json":
        problems = [
            {"key": one.key, "reason": one.reason} | ({"file": one.source, "line": one.line} if one.line else {})
            for one in found
        ]
        print(json.dumps({"file": file, "ok": False, "problems": problems}, indent=2))
        return
    for problem in found:
        print(problem, file=sys.stderr)
    count = len(found)
    print(f"{count} problem{'s' if count > 1 else ''}; {means}", file=sys.stderr)


def _summary(config: Config) -> dict[str, object]:
    topology = config.topology()
    return {
        "name": config.plane.name,
        "mode": config.plane.mode,
        "services": len(config.services),
        "endpoints": sum(len(service.endpoints) for service in config.services),
        "edges": len(topology.edges()),
        "graph": f"{config.graph.services_max} services and {config.graph.edges_max} edges at most, "
        f"{config.graph.buckets} buckets of {config.graph.bucket_s:g} s, forgotten after {config.graph.fade_s:g} s",
        "playbooks": _playbooks(config),
        "policies": len({"default", *config.policies}),
        "shadow": _shadow(config),
        "deployers": ", ".join(f"{name} ({one.kind})" for name, one in config.deployers.items()) or "none",
        "notifiers": ", ".join(f"{name} ({one.kind})" for name, one in config.notifiers.items()) or "none but the log",
        "posture": _posture(config),
        "journal": config.journal.path or "in memory: a restart forgets",
        "admin": config.admin.listen,
        "gateway": config.gateway.listen if config.gateway else "none",
    }


def _playbooks(config: Config) -> str:
    """How many, and how many of them only report."""
    shadow = sum(one.enforce is False for one in config.playbooks)
    return f"{len(config.playbooks)}, {shadow} of them in shadow" if config.playbooks else "none"


def _proxies(config: Config) -> dict[str, Any]:
    """Each proxy, and what does not fit there; one that cannot be reached from here is no problem of the file."""
    if not config.proxies:
        return {}
    import anyio

    from controlplane.adapters.proxies.haproxy.examine import examine
    from controlplane.adapters.proxies.haproxy.plan import Naming

    found: dict[str, Any] = {}
    for name, proxy in config.proxies.items():
        if proxy.kind == "envoy":
            found[name] = {"kind": proxy.kind, "at": proxy.listen, "notes": []}
            continue
        naming = Naming(config.proxied(proxy), proxy.backends, proxy.servers)
        notes = anyio.run(examine, proxy.socket, naming)
        if not proxy.log_listen:
            notes.append("no log_listen: nothing that passes it is heard")
        found[name] = {"kind": proxy.kind, "at": proxy.socket, "notes": notes}
    return found


def _posture(config: Config) -> str:
    """Who guards whom, and whether what they protect would be closed."""
    protected = config.topology().protected
    if not protected:
        return "nobody guards anything"
    guards = "; ".join(f"{guard} guards {', '.join(names)}" for guard, names in protected.items())
    shares = {kind: config.response_policy().share(kind) for kind in ("close", "harden")}
    if config.plane.mode == "observe" or not shares["close"]:
        return f"{guards}; nothing is closed: close is in shadow (response.enforcement.close)"
    return f"{guards}; closed for {shares['close']} % of calls while a guard is degraded"


def _shadow(config: Config) -> str:
    """What only reports: new kinds of acts until a person lets them work, and guards that refuse a part."""
    from controlplane.model.policy import KINDS

    policy = config.response_policy()
    shares = {kind: 0 if policy.mode == "observe" else policy.share(kind) for kind in KINDS}
    parts = [", ".join(kind for kind, share in shares.items() if share == 0)]
    parts += [f"{kind} but for {share} % of calls" for kind, share in shares.items() if 0 < share < 100]
    parts += [
        f"policy {name} but for {guard.enforced_percent} % of calls"
        for name, guard in config.policies.items()
        if guard.enforced_percent < 100
    ]
    return "; ".join(part for part in parts if part) or "nothing"
