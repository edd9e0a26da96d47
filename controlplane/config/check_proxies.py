"""Checks of `[proxies]`: addresses that are addresses, and names that mean one thing on both sides."""

import re
from collections import Counter

from controlplane.config.convert import Problems, did_you_mean, shown
from controlplane.model.config import Config, ProxySection, is_loopback, split_listen

_FIELDS = {"haproxy": ("socket", "log_listen", "backends", "servers"), "envoy": ("listen", "routes", "ttl_s")}
_USUAL = ProxySection(kind="haproxy")
RESERVED = (
    "critical",
    "default",
    "sheddable",
    "limit",
    "deadline",
    "retries",
)  # rules: adapters/proxies/haproxy/plan.py
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,255}")


def check_proxies(config: Config, problems: Problems) -> None:
    """Note what is wrong with each proxy, and between them."""
    for name, proxy in config.proxies.items():
        key = f"proxies.{name}"
        if proxy.kind not in _FIELDS:
            continue  # told already
        for kind, fields in _FIELDS.items():
            for field in fields:
                if kind != proxy.kind and getattr(proxy, field) != getattr(_USUAL, field):
                    problems.add(
                        f"{key}.{field}", f"is for a proxy of kind {kind!r}, and this one is of {proxy.kind!r}"
                    )
        _check_services(key, proxy, config, problems)
        if proxy.kind == "envoy":
            _check_listen(key, proxy, problems)
            _check_routes(key, proxy, config, problems)
        else:
            _check_socket(key, proxy, problems)
            _check_log(key, proxy, problems)
            _check_names(key, proxy, config, problems)
    for field in ("socket", "log_listen", "listen"):
        found = Counter(getattr(proxy, field) for proxy in config.proxies.values())
        for name, proxy in config.proxies.items():
            value = getattr(proxy, field)
            if value and found[value] > 1 and not value.endswith(":0"):
                problems.add(f"proxies.{name}.{field}", f"{value!r} is another proxy's, too; each has its own")


def _check_listen(key: str, proxy: ProxySection, problems: Problems) -> None:
    if not proxy.listen:
        problems.add(f"{key}.listen", 'is missing; say where Envoy is to ask, as in "127.0.0.1:18000"')
    else:
        _check_address(f"{key}.listen", proxy.listen, proxy, problems, path='"host:port"')


def _check_routes(key: str, proxy: ProxySection, config: Config, problems: Problems) -> None:
    proxied = config.proxied(proxy)
    for prefix, service in proxy.routes.items():
        if not prefix.startswith("/"):
            problems.add(f"{key}.routes", f'{prefix!r} is no prefix of a path; one begins with "/"')
        if service not in proxied:
            hint = did_you_mean(service, proxied)
            problems.add(f"{key}.routes", f"{prefix} leads to {service!r}, which is no service of this proxy{hint}")


def _check_services(key: str, proxy: ProxySection, config: Config, problems: Problems) -> None:
    known = {service.name: service for service in config.services if service.name != config.plane.name}
    for service in proxy.services:
        if service not in known:
            hint = did_you_mean(service, known)
            problems.add(f"{key}.services", f"{service!r} is not a declared service{hint}")
        elif not known[service].endpoints:
            problems.add(f"{key}.services", f"{service!r} has no endpoints, so nothing of it is a server of a backend")
    if not config.proxied(proxy) and not proxy.services:
        problems.add(key, "no service has endpoints: there is nothing that passes this proxy")


def _check_socket(key: str, proxy: ProxySection, problems: Problems) -> None:
    where = proxy.socket
    if not where:
        problems.add(f"{key}.socket", 'is missing; name its runtime API, as in "/run/haproxy/admin.sock"')
    elif not where.startswith("/"):
        _check_address(f"{key}.socket", where, proxy, problems, path='an absolute path or "host:port"')


def _check_log(key: str, proxy: ProxySection, problems: Problems) -> None:
    if proxy.log_listen:
        _check_address(f"{key}.log_listen", proxy.log_listen, proxy, problems, path='"host:port"')


def _check_address(key: str, value: str, proxy: ProxySection, problems: Problems, *, path: str) -> None:
    try:
        host, _ = split_listen(value)
    except ValueError as error:
        problems.add(key, f"{shown(value)} is not {path}: it {error}")
        return
    if not is_loopback(host) and not proxy.allow_remote:
        problems.add(
            key,
            f"{value!r} is beyond this machine, and neither the runtime API nor a log asks who speaks; use 127.0.0.1, "
            "[::1] or a unix socket, or set allow_remote = true where only you reach it",
        )


def _check_names(key: str, proxy: ProxySection, config: Config, problems: Problems) -> None:
    proxied = config.proxied(proxy)
    for service in proxy.backends:
        if service not in proxied:
            problems.add(f"{key}.backends", f"{service!r} is no service of this proxy{did_you_mean(service, proxied)}")
    endpoints = {f"{service}/{one}" for service, names in proxied.items() for one in names}
    for endpoint in proxy.servers:
        if endpoint not in endpoints:
            right = 'write "service/endpoint"'
            hint = did_you_mean(endpoint, endpoints) or f"; {right}"
            problems.add(f"{key}.servers", f"{endpoint!r} is no endpoint of a service of this proxy{hint}")
    here = {proxy.backends.get(service, service) for service in proxied}
    here |= {proxy.servers.get(endpoint, endpoint.partition("/")[2]) for endpoint in endpoints}
    for name in sorted(here):
        if not _NAME.fullmatch(name):
            problems.add(key, f"{name!r} is no name in HAProxy: letters, digits and -_.: are; name it in `servers`")
        elif name in RESERVED:
            problems.add(key, f"a server {name!r} cannot be told from a rule of that name; call it otherwise")
    backends = Counter(proxy.backends.get(service, service) for service in proxied)
    for backend, count in backends.items():
        if count > 1:
            problems.add(f"{key}.backends", f"{backend!r} is the backend of {count} services; each needs its own")
    servers = Counter(
        (service, proxy.servers.get(f"{service}/{one}", one)) for service, names in proxied.items() for one in names
    )
    for (service, server), count in servers.items():
        if count > 1:
            problems.add(f"{key}.servers", f"{server!r} is the server of {count} endpoints of {service!r}")
