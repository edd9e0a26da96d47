"""Traffic that automation moves stays behind the same boundary, and meets no weaker checks than it met before.

Who would get it is looked at one by one: siblings of an endpoint that is taken out or relieved, those that stand by,
what runs the version that comes back. Another zone of trust is never the same one, whichever is thought the stronger:
also what is too trusted for these requests must not get them. What nobody declared is a zone of its own.
"""

from controlplane.decide.safety.ask import Ask, No
from controlplane.model.command import FailOver, RollBack
from controlplane.model.topology import Endpoint, Service


def trust_boundary(ask: Ask) -> No | None:
    """Whether everything that would get the traffic is as trusted, and checks as strictly, as what had it."""
    if ask.service is None:
        return None
    had, get = _moved(ask, ask.service)
    for one in get:
        trust, validation = ask.service.standard(one)
        for other in had:
            was_trust, was_validation = ask.service.standard(other)
            if trust != was_trust:
                return No(
                    f"traffic of {ask.service.name}/{other.name}, in trust {was_trust or 'undeclared'}, would go to "
                    f"{one.name}, in trust {trust or 'undeclared'}"
                )
            if validation < was_validation:
                return No(
                    f"traffic of {ask.service.name}/{other.name}, of validation {was_validation}, would go to "
                    f"{one.name}, of validation {validation}"
                )
    return None


def _moved(ask: Ask, service: Service) -> tuple[list[Endpoint], list[Endpoint]]:
    """Who had the traffic that the act moves, and who may get some of it: more than the balancer would choose, as it
    spills over where those that it chooses are full or fail, too."""
    if ask.steers_endpoint:
        had = [one for one in service.endpoints if one.name == ask.target.endpoint]
        return had, [one for one in service.endpoints if one.name != ask.target.endpoint]
    if isinstance(ask.intent, FailOver) and ask.kind is not None:
        first = min((one.priority for one in service.endpoints), default=0)
        had = [one for one in service.endpoints if one.priority == first]
        return had, [one for one in service.endpoints if one.priority > first]
    if isinstance(ask.intent, RollBack):
        version, to = ask.intent.version, ask.intent.to
        had = [one for one in service.endpoints if one.version == version]
        return had, [one for one in service.endpoints if one.version != version and (not to or one.version == to)]
    return [], []
