"""If everything fails together, it is not the endpoints.

Within one service the first act looks after that (`plan.first_act`). Here it is across services: when endpoints of many
services that share a callee, or have all of their endpoints in one zone or on one host, are found bad within seconds,
what they share is the suspect, and to eject them would empty pools and heal nothing.

Active probes are believed least, since a readiness check often asks what everybody shares: three services that it
accuses are enough, if they are half of those that share it. Real calls must show most of each service bad.
"""

from controlplane.decide.safety.ask import Ask, No

SERVICES_MIN = 3  # two may fail at once by chance
SHARE_MIN = 0.5  # of the services that share it


def correlated_cause(ask: Ask) -> No | None:
    """Whether what this endpoint's service shares with others is the suspect."""
    if not ask.steers_endpoint:
        return None
    name = ask.target.service
    lately = ask.seen.lately(ask.now)
    if len(lately) < SERVICES_MIN:
        return None
    for (kind, what), services in ask.seen.sharing(name):
        if len(services) < SERVICES_MIN:
            continue
        accused = services & lately.keys()
        bad = [one for one in accused if lately[one].by_probes or _mostly_bad(ask, one)]
        others = len(lately) - len(accused)
        needed = len(services) * (SHARE_MIN if kind == "callee" else 1.0)
        if name in bad and len(bad) >= max(SERVICES_MIN, needed) and others < len(bad):
            shared = f"the callee {what}" if kind == "callee" else f"the {kind} {what}"
            return No(f"endpoints of {len(bad)} of {len(services)} services with {shared} fail together")
    return None


def _mostly_bad(ask: Ask, service: str) -> bool:
    known = ask.topology.service(service)
    bad = ask.seen.bad(service, ask.now)
    return known is not None and len(bad) * 2 > len(known.endpoints)
