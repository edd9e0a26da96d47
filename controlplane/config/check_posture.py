"""Posture, checked before it matters: guards that guard, boundaries that hold, nobody who goes on without."""

from collections.abc import Collection

from controlplane.config.convert import Problems, did_you_mean
from controlplane.model.config import Config
from controlplane.model.topology import Service


def check_posture(config: Config, problems: Problems) -> None:
    """Note what would leave something open, or closed for ever."""
    services = {service.name: service for service in config.services if service.name}
    protected = config.topology().protected
    for service in services.values():
        _check_guard(service, services, protected, problems)
        _check_guarded(service, services, problems)
        _check_boundary(config, service, problems)
    for name in _circles(config):
        problems.add(
            f"services.{name}.guarded_by", f"{name!r} guards what guards it: once one fails, neither opens again"
        )
    _check_sensitive(config, protected, problems)


def _check_guard(
    service: Service, services: dict[str, Service], protected: Collection[str], problems: Problems
) -> None:
    key = f"services.{service.name}"
    for name in service.protects:
        _check_name(f"{key}.protects", name, service, services, problems)
    if not service.guards:
        if service.protects:
            right = 'write guards = "authentication", "authorization", "validation", "waf" or "audit"'
            problems.add(f"{key}.protects", f"names {_list(service.protects)}, but it is no guard; {right}")
        return
    if service.name not in protected:
        problems.add(f"{key}.guards", "protects nobody; name services in protects, or it in their guarded_by")
    if service.fallback:
        problems.add(f"{key}.fallback", "a fallback around a guard lets through what the guard would stop; remove it")
    if service.endpoints and not service.probe_path:
        problems.add(
            f"{key}.probe_path",
            "is empty; while what it protects is closed no call may reach it, and only a probe shows that it is well",
        )


def _check_guarded(service: Service, services: dict[str, Service], problems: Problems) -> None:
    key = f"services.{service.name}"
    for name in service.guarded_by:
        if _check_name(f"{key}.guarded_by", name, service, services, problems) and not services[name].guards:
            right = 'write guards = "authentication" there, or what else it guards by'
            problems.add(f"{key}.guarded_by", f"{name!r} is no guard; {right}")
    for name in service.soft:
        if name in services and services[name].guards:
            problems.add(f"{key}.soft", f"{name!r} is a guard; what goes on without its guard goes on unguarded")


def _check_name(key: str, name: str, service: Service, services: dict[str, Service], problems: Problems) -> bool:
    """Whether `name` is another declared service."""
    if name == service.name:
        problems.add(key, f"{name!r} is the service itself; name others")
    elif name not in services:
        problems.add(key, f"{name!r} is not a declared service{did_you_mean(name, services)}")
    return name in services and name != service.name


def _check_boundary(config: Config, service: Service, problems: Problems) -> None:
    key, known = f"services.{service.name}", config.posture.trust
    named = [(f"{key}.trust", service.trust)]
    named += [(f"{key}.endpoints.{one.name}.trust", one.trust) for one in service.endpoints]
    for where, trust in named:
        if trust and trust not in known:
            declared = f"declared in posture.trust: {_list(known)}" if known else "posture.trust declares none"
            problems.add(where, f"{trust!r} is not a declared zone of trust{did_you_mean(trust, known)}; {declared}")
    right = "within a service, spill-over, panic and every reroute use all endpoints; make it a service of its own"
    for one in service.endpoints:
        trust, validation = service.standard(one)
        if trust != service.trust:
            mine = f"{service.trust!r}" if service.trust else "undeclared"
            problems.add(
                f"{key}.endpoints.{one.name}.trust", f"{trust!r} is not its service's, which is {mine}; {right}"
            )
        elif validation != service.validation:
            how = "weaker" if validation < service.validation else "stronger"
            text = f"{validation} is {how} than its service's {service.validation}; {right}"
            problems.add(f"{key}.endpoints.{one.name}.validation", text)


def _check_sensitive(config: Config, protected: Collection[str], problems: Problems) -> None:
    for route in config.posture.sensitive:
        key = f"posture.sensitive.{route.path!r}"
        if not route.path.startswith("/"):
            problems.add(key, f"{route.path!r} must begin with a slash")
        if not protected:
            problems.add(key, "no service guards anything, so it would never be tightened; declare guards")
        for name in route.while_degraded:
            if name not in protected:
                hint = did_you_mean(name, protected)
                problems.add(f"{key}.while_degraded", f"{name!r} is no guard that protects anybody{hint}")
    paths = [route.path for route in config.posture.sensitive]
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        problems.add(f"posture.sensitive.{path!r}", f"{path!r} is declared twice")


def _circles(config: Config) -> list[str]:
    """Services that, by way of guards, guard themselves."""
    guarded = config.topology().guarded
    found = []
    for name in guarded:
        reached, todo = set[str](), [*guarded[name]]
        while todo:
            guard = todo.pop()
            if guard not in reached:
                reached.add(guard)
                todo += guarded.get(guard, ())
        if name in reached:
            found.append(name)
    return found


def _list(names: Collection[str]) -> str:
    return ", ".join(names)
