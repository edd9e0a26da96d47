"""Checks across fields: names that must exist, names that must not repeat, addresses that must be addresses."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from controlplane._native.guard import Guard
from controlplane.config.check_deployers import check_deployers
from controlplane.config.check_notifiers import check_notifiers
from controlplane.config.check_posture import check_posture
from controlplane.config.check_proxies import check_proxies
from controlplane.config.check_telemetry import check_telemetry
from controlplane.config.convert import Problems, did_you_mean, shown
from controlplane.model.config import Config, is_loopback, split_listen
from controlplane.model.policy import WHOLE_KINDS
from controlplane.model.topology import Service

NAMES_SHOWN_MAX = 20  # in a message; a thousand would bury it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # what a URL's host and a header of ours may carry


def cross_check(config: Config, problems: Problems) -> None:
    """Note what each field alone cannot show."""
    names = dict.fromkeys(service.name for service in config.services if service.name)
    for name in _repeated(service.name.lower() for service in config.services):  # a URL's host knows no upper case
        problems.add(f"services.{name}.name", f"{name!r} is declared twice; a service is declared once")
    policies = sorted({"default", *config.policies})
    _check_policies(config, problems)
    _check_response(config, problems)
    for index, service in enumerate(config.services):
        if not service.name:
            problems.add_first(f"services[{index}].name", "is empty; a service is called by its name")
        _check_service(service, names, policies, problems)
        if service.consistency_path and service.name == config.plane.name:
            text = "this process makes no calls to itself; use Plane.consistency_probe"
            problems.add(f"services.{service.name}.consistency_path", text)
    _check_aliases(config, problems)
    check_deployers(config, problems)
    check_proxies(config, problems)
    check_notifiers(config, problems)
    check_posture(config, problems)
    _check_graph(config, problems)
    _check_admin(config, problems)
    if config.gateway is not None and config.gateway.listen == config.admin.listen != "127.0.0.1:0":
        problems.add("gateway.listen", f"{config.gateway.listen!r} is admin.listen, too; two listeners need two ports")
    if config.gateway is not None:
        _check_gateway(config, problems)
    check_telemetry(config, problems)


def _check_policies(config: Config, problems: Problems) -> None:
    """What the compiled guard would refuse is refused here, where the key can be named."""
    for name, policy in config.policies.items():
        try:
            Guard(**policy.native())
        except ValueError as error:
            argument = str(error).partition(" ")[0]
            field = "rate_per_s" if argument == "rate_interval_ns" else argument.removesuffix("_ns") + "_s"
            key = field if field in policy.__struct_fields__ else argument
            problems.add(f"policies.{name}.{key}", f"the guard cannot work with it: {error}")


def _check_response(config: Config, problems: Problems) -> None:
    if not config.response.ramp_percent:
        problems.add("response.ramp_percent", "is empty; write [100] where traffic is to be given back all at once")
    for kind, share in config.response.enforcement.items():
        if kind in WHOLE_KINDS and share not in (0, 100):
            reason = f"{share}: such an act applies to all calls or to none; write 0 (shadow) or 100"
            problems.add(f"response.enforcement.{kind}", reason)


def _check_service(service: Service, names: Collection[str], policies: list[str], problems: Problems) -> None:
    key = f"services.{service.name}"
    if service.name and not _NAME.fullmatch(service.name):
        right = "letters, digits, dots, dashes and underscores, 128 at most"
        problems.add(f"{key}.name", f"{service.name!r} is used as a host name, which has {right}")
    for callee in service.calls:
        if callee not in names:
            problems.add(
                f"{key}.calls", f"{callee!r} is not a declared service{did_you_mean(callee, names)}; {_known(names)}"
            )
        elif callee == service.name:
            problems.add(f"{key}.calls", f"{callee!r} calls itself; name its callees only")
    for callee in _repeated(service.calls):
        problems.add(f"{key}.calls", f"{callee!r} is named twice")
    for callee in service.soft:
        if callee not in service.calls:
            known = f"calls: {', '.join(service.calls)}" if service.calls else "it declares no calls"
            problems.add(
                f"{key}.soft",
                f"{callee!r} is not among the services it calls{did_you_mean(callee, service.calls)}; {known}",
            )
    for callee in _repeated(service.soft):
        problems.add(f"{key}.soft", f"{callee!r} is named twice")
    if service.policy not in policies:
        hint = did_you_mean(service.policy, policies)
        problems.add(
            f"{key}.policy", f"{service.policy!r} is not a declared policy{hint}; declared: {', '.join(policies)}"
        )
    for field, path in (("probe_path", service.probe_path), ("consistency_path", service.consistency_path)):
        if path and not path.startswith("/"):
            problems.add(f"{key}.{field}", f"{path!r} must begin with a slash")
    for name in _repeated(endpoint.name for endpoint in service.endpoints):
        problems.add(f"{key}.endpoints.{name}.name", f"{name!r} is declared twice in service {service.name!r}")
    for endpoint in service.endpoints:
        if not endpoint.name:
            problems.add_first(
                f"{key}.endpoints", "an endpoint has an empty name; commands and incidents name endpoints"
            )
        if reason := _wrong_url(endpoint.url):
            problems.add_first(f"{key}.endpoints.{endpoint.name}.url", f"{endpoint.url!r} {reason}")
    for url in _repeated(endpoint.url for endpoint in service.endpoints):
        problems.add(
            f"{key}.endpoints", f"{url!r} is the url of two endpoints; one would be judged by the other's answers"
        )


def _check_aliases(config: Config, problems: Problems) -> None:
    """Another name for a service must be nobody's own, or the graph would lay one's calls to the other."""
    owners: dict[str, str] = {service.name.lower(): service.name for service in config.services}
    owners.setdefault(config.plane.name.lower(), config.plane.name)
    for service in config.services:
        key = f"services.{service.name}.aliases"
        for alias in service.aliases:
            owner = owners.setdefault(alias.lower(), "")
            if not _NAME.fullmatch(alias):
                problems.add(key, f"{alias!r} is no name; letters, digits, dots, dashes and underscores, 128 at most")
            elif owner == service.name:
                problems.add(key, f"{alias!r} is its own name; name only others")
            elif owner:
                problems.add(key, f"{alias!r} is the name of {owner}, too; an alias means one service")
            else:
                owners[alias.lower()] = f"{service.name}, as an alias"


def _check_graph(config: Config, problems: Problems) -> None:
    """Declared services and edges always fit, so bounds below their number would be no bounds."""
    topology = config.topology()
    for key, bound, declared in (
        ("services_max", config.graph.services_max, len(topology.services)),
        ("edges_max", config.graph.edges_max, len(topology.edges())),
    ):
        if bound < declared:
            what = key.removesuffix("_max")
            problems.add(f"graph.{key}", f"{bound} is fewer than the {declared} {what} that this file declares")


def _wrong_url(url: str) -> str:
    """What is wrong with an endpoint's url, or nothing."""
    right = "; write scheme://host:port, as in 'http://10.0.0.7:8080'"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL ({error}){right}"
    if parts.scheme not in ("http", "https"):
        return f"has scheme {parts.scheme!r}, not http or https{right}"
    if not host:
        return f"has no host{right}"
    if parts.username is not None or parts.password is not None:
        return f"carries credentials, which would end up in logs{right}"
    if parts.path or parts.query or parts.fragment:
        return f"has more than scheme, host and port{right}"
    return ""


def _check_admin(config: Config, problems: Problems) -> None:
    try:
        host, _ = split_listen(config.admin.listen)
    except ValueError as error:
        problems.add("admin.listen", f"{shown(config.admin.listen)} {error}")
        return
    if not is_loopback(host) and not config.admin.allow_remote:
        problems.add(
            "admin.listen",
            f"{config.admin.listen!r} is reachable from other machines, over plain HTTP; listen on 127.0.0.1 or [::1], "
            "or set admin.allow_remote = true where a proxy with TLS stands in front",
        )


def _check_gateway(config: Config, problems: Problems) -> None:
    assert config.gateway is not None
    try:
        split_listen(config.gateway.listen)
    except ValueError as error:
        problems.add("gateway.listen", f"{shown(config.gateway.listen)} {error}")
    if not config.gateway.routes:
        problems.add("gateway.routes", 'is empty; name at least one, as in "/orders" = "orders"')
    services = {service.name: service for service in config.services if service.name}
    for prefix, name in config.gateway.routes.items():
        key = f"gateway.routes.{prefix!r}"
        if not prefix.startswith("/"):
            problems.add(key, f"{prefix!r} must begin with a slash")
        if name not in services:
            hint = did_you_mean(name, services)
            problems.add(key, f"{name!r} is not a declared service{hint}; {_known(services)}")
        elif name == config.plane.name:
            problems.add(key, f"{name!r} is this process itself (plane.name); a request would go round for ever")
        elif not services[name].endpoints:
            problems.add(key, f"{name!r} has no endpoints to send requests to; declare [[services.endpoints]]")


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if name and count > 1]


def _known(names: Collection[str]) -> str:
    if not names:
        return "no service is declared"
    more = ", ..." if len(names) > NAMES_SHOWN_MAX else ""
    return f"declared: {', '.join(sorted(names)[:NAMES_SHOWN_MAX])}{more}"
