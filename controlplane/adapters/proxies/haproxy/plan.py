"""What is wanted, in HAProxy's terms: holds of servers and rules in its map. Pure.

<backend>/<server>                        hold: percent of its weight, 0: no request
<backend>/critical, default, sheddable    rule: percent of the requests of that priority that are let through
<backend>/limit                           rule: requests at a time, beyond which one is refused
<backend>/deadline                        rule: milliseconds that an answer may take
<backend>/retries                         rule: percent of the requests that may be sent a second time
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from controlplane.adapters.proxies.wanted import ServiceWanted, Wanted
from controlplane.model.command import Command, FailOver, Tighten
from controlplane.model.errors import ActuationError
from controlplane.model.signal import Target
from controlplane.model.unit import MILLISECOND, Nanos

PROBE_PERCENT: Final = 5  # HAProxy cannot send a few requests at a time; a twentieth of the traffic is few
CLASSES: Final = ("critical", "default", "sheddable")
RULES: Final = (*CLASSES, "limit", "deadline", "retries")
_REFUSED: Final = {"critical": ("default", "sheddable"), "default": ("sheddable",)}  # less important than what is kept


class Setting(NamedTuple):
    """One thing to be in force: `value`, until `until` (monotonic)."""

    kind: str
    value: int
    until: Nanos


class Naming:
    """Which backend is which service, and which server which endpoint; by default they have the same names."""

    def __init__(
        self,
        services: Mapping[str, tuple[str, ...]],
        backends: Mapping[str, str],
        servers: Mapping[str, str],
    ) -> None:
        """`services`: endpoints of each; `backends` by service, `servers` by "service/endpoint"."""
        self.backends = {name: backends.get(name, name) for name in services}
        self._server = {
            Target(name, one): f"{self.backends[name]}/{servers.get(f'{name}/{one}', one)}"
            for name, endpoints in services.items()
            for one in endpoints
        }
        self._target = {name: target for target, name in self._server.items()}
        self.logged = {  # as a log line has them, ten thousand times a second
            (self.backends[target.service].encode(), name.partition("/")[2].encode()): (target.service, target.endpoint)
            for name, target in self._target.items()
        }
        self._service = {backend: name for name, backend in self.backends.items()}

    def server(self, target: Target) -> str:
        """ "backend/server" of an endpoint."""
        return self._server[target]

    def target(self, backend: str, server: str) -> Target | None:
        """The endpoint that this server is; None: it is no endpoint of ours."""
        return self._target.get(f"{backend}/{server}")

    def service(self, backend: str) -> str | None:
        """The service that this backend is; None: none of ours."""
        return self._service.get(backend)

    def owner(self, name: str) -> Target | None:
        """Whom a hold or a rule of that name is about."""
        backend, _, rest = name.partition("/")
        service = self._service.get(backend)
        return self._target.get(name) or (Target(service) if service is not None and rest in RULES else None)

    def servers(self) -> Mapping[str, Target]:
        """Every server of ours, by "backend/server"."""
        return self._target


def refuse_impossible(command: Command) -> None:
    """Raise ActuationError for what HAProxy has no means for."""
    if isinstance(command.intent, FailOver):
        reason = "HAProxy sends nothing to a backup server while others are up: a share of the calls cannot fail over"
        raise ActuationError(reason, retryable=False)
    if isinstance(command.intent, Tighten) and command.enforcement == "percent":
        reason = f"HAProxy bounds all answers of {command.target} or none, not those of {command.percent} %"
        raise ActuationError(reason, retryable=False)


def settings_of(wanted: Wanted, naming: Naming, service: str) -> dict[str, Setting]:
    """Everything that is to be in force of `service`, by name; what is not named is to be as configured."""
    settings: dict[str, Setting] = {}
    for endpoint in wanted.endpoints[service]:
        target = Target(service, endpoint)
        order, held = wanted.order(target), wanted.endpoint(target)
        percent = PROBE_PERCENT if held.probed else held.percent
        if order is not None and percent < 100:
            settings[naming.server(target)] = Setting("hold", percent, order.command.lease_until)
    leases = [order.command.lease_until for order in wanted.orders() if order.command.target == Target(service)]
    if not leases:
        return settings
    until = min(leases)  # what two orders add up to ends with the first of them
    for key, value in _rules(wanted.service(service)).items():
        settings[f"{naming.backends[service]}/{key}"] = Setting("rule", value, until)
    return settings


def _rules(calls: ServiceWanted) -> dict[str, int]:
    rules = {}
    through = PROBE_PERCENT if calls.probed else calls.percent
    for name in CLASSES:
        kept = 100 - calls.shed if name in _REFUSED[calls.keep] else 100
        if (percent := through * kept // 100) < 100:
            rules[name] = percent
    if calls.concurrency:
        rules["limit"] = calls.concurrency
    if calls.concurrency:
        rules["retries"] = 0  # a limit allows none
    elif calls.retries is not None:
        rules["retries"] = min(100, calls.retries * calls.retries_share // 100 + 100 - calls.retries_share)
    if calls.deadline_ms:
        rules["deadline"] = calls.deadline_ms
    return rules


def command_of(name: str, setting: Setting | None, now: Nanos) -> str:
    """The runtime API's command that puts `setting` in force; None: that takes back what is there."""
    if setting is None:
        return f"controlplane release {name}"
    left_ms = max(1, (setting.until - now) // MILLISECOND)
    return f"controlplane {setting.kind} {name} {left_ms} {setting.value}"
