"""No pool runs dry by automation: of a service, of a zone, of a priority. Reflexes of guards count like orders.

Where all of a zone or priority is found bad it is what fails, and may be emptied, since others serve; the service as a
whole keeps its floor and its cap all the same.
"""

from controlplane.decide.safety.ask import Ask, No


def healthy_floor(ask: Ask) -> No | None:
    """So many endpoints stay in rotation, and never none."""
    if not ask.steers_endpoint:
        return None
    out, floor = ask.out(), ask.policy.healthy_floor_percent
    if out.get(ask.target.endpoint, 0.0) < 1:
        return None  # it keeps some traffic: `ejection_cap` weighs how much
    for index, (name, pool) in enumerate(ask.pools()):
        left = sum(1 for one in pool if out.get(one.name, 0.0) < 1)
        if index and ask.all_bad(pool):
            continue
        if left < 1 or left * 100 < floor * len(pool):
            reason = f"{left} of {len(pool)} endpoints of {name} would be left, {floor} % must stay"
            return No(reason, always=not index and left < 1)
    return None


def ejection_cap(ask: Ask) -> No | None:
    """At most so much of the capacity, by weight, is kept from traffic; one endpoint always may be."""
    if not ask.steers_endpoint:
        return None
    out, cap = ask.out(), ask.policy.ejected_percent_max
    for index, (name, pool) in enumerate(ask.pools()):
        parts = [one.weight * out[one.name] for one in pool if out.get(one.name, 0.0) > 0]
        total = sum(one.weight for one in pool)
        if len(parts) <= 1 or (index and ask.all_bad(pool)):
            continue
        if sum(parts) * 100 > cap * total + 1e-9:
            return No(f"{sum(parts) / total:.0%} of {name} by weight would be out of rotation, {cap} % allowed")
    return None
