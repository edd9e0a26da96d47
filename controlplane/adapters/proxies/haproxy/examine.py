"""A look at a HAProxy before it is driven: what in it does not fit the configuration, in words."""

from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.session import ProxyGone, open_session
from controlplane.adapters.proxies.haproxy.state import LIST, SERVERS, read_list, read_servers

WEIGHT_MIN = 20  # of which a probe's twentieth is one


async def examine(address: str, naming: Naming) -> list[str]:
    """What is missing there; empty: nothing is. Changes nothing, and never raises."""
    try:
        async with open_session(address) as session:
            scripted = read_list(await session.ask(LIST)) is not None
            servers = list(read_servers(await session.ask(SERVERS)))
    except (ProxyGone, ValueError) as error:
        return [f"not reached: {error}"]
    notes = [] if scripted else ["it does not load controlplane.lua: controlplane script haproxy"]
    found = {target: one for one in servers if (target := naming.target(one.backend, one.name)) is not None}
    missing = [name for name, target in naming.servers().items() if target not in found]
    if missing:
        notes.append(f"it has no {_listed(missing)}")
    light = [str(target) for target, one in found.items() if 0 < one.weight < WEIGHT_MIN]
    if light:
        notes.append(f"weights under {WEIGHT_MIN} cannot be given back in steps, write `weight 100`: {_listed(light)}")
    unchecked = [str(target) for target, one in found.items() if not one.checked]
    if unchecked:
        notes.append(f"no health check, so that nobody but us finds a dead one: {_listed(unchecked)}")
    by_hand = [f"{target} ({one.by_hand})" for target, one in found.items() if one.by_hand]
    if by_hand:
        notes.append(f"out by a person's hand, and stays so: {_listed(by_hand)}")
    return notes


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
