"""Deployers out of their configuration."""

from collections.abc import Callable, Iterable, Mapping

from controlplane.adapters.deploy.command import CommandDeployer
from controlplane.adapters.deploy.deployers import Deployers
from controlplane.adapters.deploy.gate import GateDeployer
from controlplane.model.config import DeployerSection
from controlplane.model.topology import Service
from controlplane.ports import Clock, Deployer


def deployers_of(
    services: Iterable[Service],
    sections: Mapping[str, DeployerSection],
    *,
    token_of: Callable[[str, DeployerSection], str],
    clock: Clock,
    ring: Callable[[], None],
) -> tuple[Deployers, dict[str, GateDeployer]]:
    """Who rolls back each of `services` that names a deployer, and those of them that ask, by service."""
    by_service: dict[str, Deployer] = {}
    gates: dict[str, GateDeployer] = {}
    for service in services:
        if not service.deployer:
            continue
        section = sections[service.deployer]
        match section.kind:
            case "command":
                by_service[service.name] = CommandDeployer(section.command, timeout_s=section.timeout_s)
            case "webhook":
                from controlplane.adapters.deploy.webhook import WebhookDeployer  # httpx, for whoever needs it

                token = token_of(service.deployer, section)
                by_service[service.name] = WebhookDeployer(
                    section.url, token=token, timeout_s=section.timeout_s, poll_s=section.poll_s
                )
            case "gate":
                by_service[service.name] = gates[service.name] = GateDeployer(timeout_s=section.timeout_s)
    return Deployers(by_service, clock=clock, ring=ring), gates
