"""Steps and matches in words."""

from controlplane.model.playbook import ANY_VERSION, Match, Step


def worded(step: Step, match: Match) -> str:
    """What `step` does, in a few words."""
    name = step.service or match.service
    share = "" if step.percent is None else f" {step.percent} % of"
    about = name
    if step.endpoint:
        about = f"{name}/{step.endpoint}"
    about += f" in zone {step.zone}" if step.zone else ""
    about += f" of version {step.version}" if step.version else ""
    match step.do:
        case "limit":
            return f"limit {name}" + (f" to {step.concurrency} at a time" if step.concurrency else "")
        case "cap_retries":
            return f"cap retries of {name} at {step.percent or 0} % of the calls"
        case "tighten":
            return f"tighten {name} to {step.deadline_ms} ms"
        case "shed":
            return f"shed{share or ' all of'} the calls to {name}, keep {step.keep or 'critical'}"
        case "reroute":
            return f"reroute{share or ' all of'} {about}"
        case "fail_over":
            return f"fail over{share or ' all of'} {name}"
        case "tell" | "by_hand":
            return step.do.replace("_", " ")
        case _:
            return f"{step.do.replace('_', ' ')} {about}"


def condition(match: Match) -> str:
    """What `match` waits for, in a few words."""
    about = f"{match.service}/{match.endpoint}" if match.endpoint else match.service
    words = [about, "fails" if not match.cause else f"has an incident by {' or '.join(match.cause)}"]
    words += [f"in zone {match.zone}"] if match.zone else []
    words += ["of any one version"] if match.version == ANY_VERSION else []
    words += [f"of version {match.version}"] if match.version not in ("", ANY_VERSION) else []
    words += ["and it is critical"] if match.severity == "critical" else []
    return " ".join(words)
