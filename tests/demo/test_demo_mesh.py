"""The mesh as the issue asks for it, and faults that fit it."""

import json
from pathlib import Path

import msgspec
import pytest

from controlplane.cli import main
from controlplane.demo import mesh
from controlplane.demo.command import FAULT_NAMES
from controlplane.demo.fault import FAULTS


def all_replicas() -> list[str]:
    return [replica for part in mesh.PARTS for replica in mesh.replicas(part.name)]


def as_toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {as_toml(one)}' for key, one in value.items() if one is not None)} }}"
    return f"[{', '.join(map(as_toml, value))}]" if isinstance(value, list | tuple) else json.dumps(value)


def test_the_mesh_is_as_large_as_promised() -> None:
    """At least 8 services of 2 to 4 replicas, each service in both zones, one third party with a fallback."""
    assert len(mesh.PARTS) >= 8
    for part in mesh.PARTS:
        assert 2 <= part.replicas <= 4
        assert {mesh.zone_of(replica) for replica in mesh.replicas(part.name)} == {"a", "b"}
    assert [part.name for part in mesh.PARTS if part.external and part.fallback] == ["risk"]


def test_every_replica_lives_in_one_host() -> None:
    """No replica is missing, and none is served twice."""
    placed = [replica for names in mesh.hosts().values() for replica in names]
    assert sorted(placed) == sorted(all_replicas())


def test_every_plane_gets_a_topology_that_holds_together() -> None:
    """Callees exist, policies exist, every endpoint has its own address."""
    ports = {replica: 20_000 + number for number, replica in enumerate(all_replicas())}
    config = mesh.config(mesh.GATEWAY, ports)
    names = {service.name for service in config.services}
    assert all(callee in names for service in config.services for callee in service.calls)
    assert all(config.policy(service) for service in config.services)
    urls = [endpoint.url for service in config.services for endpoint in service.endpoints]
    assert len(set(urls)) == len(urls) == len(all_replicas())


def test_the_playbooks_of_the_demo_fit_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`controlplane check` is silent on the demo's own files, and all of them are in shadow."""
    ports = {replica: 20_000 + number for number, replica in enumerate(all_replicas())}
    config = mesh.config(mesh.GATEWAY, ports)
    parts = {"plane": config.plane, "policies": config.policies, "services": config.services}
    text = "".join(f"{key} = {as_toml(value)}\n" for key, value in msgspec.to_builtins(parts).items())
    (tmp_path / "mesh.toml").write_text(text + mesh.playbooks())
    assert main(["check", str(tmp_path / "mesh.toml")]) == 0
    assert capsys.readouterr().err == ""
    assert len(config.playbooks) == 3
    assert {one.enforce for one in config.playbooks} == {False}
    assert mesh.config("catalog", ports).playbooks == ()


def test_the_shared_dependency_is_what_makes_a_metastable_failure() -> None:
    """Healthy load fits, tripled load does not, and a full queue waits longer than the callers do."""
    policy = mesh.POLICIES[mesh.part("stock").policy]
    capacity = mesh.part("stock").replicas * mesh.STOCK_WORKERS / mesh.STOCK_SERVICE_S
    broken = mesh.part("stock").replicas * mesh.STOCK_WORKERS / mesh.STOCK_SERVICE_BROKEN_S
    load = 200 * sum(part.share for part in mesh.PARTS if "stock" in part.calls) / 100
    assert broken < load < 0.65 * capacity
    assert policy.attempts * load > 1.5 * capacity
    # the trigger is over, the queue is full, and for one time-out only first attempts arrive
    drained = (capacity - load) * policy.attempt_timeout_s
    waiting = mesh.part("stock").replicas * mesh.STOCK_QUEUE_MAX - drained
    assert policy.attempt_timeout_s < waiting / capacity


def test_the_command_offers_the_faults_there_are() -> None:
    """`--only` knows every fault, in the order in which they are shown."""
    shown = tuple(fault.name for fault in FAULTS)
    assert shown == FAULT_NAMES


def test_every_fault_breaks_what_exists() -> None:
    """Its replicas are replicas of its service, and its version is exactly theirs."""
    for fault in FAULTS:
        assert set(fault.replicas) <= set(mesh.replicas(fault.service))
        if fault.version:
            running = {replica for replica in mesh.replicas(fault.service) if mesh.version_of(replica) == fault.version}
            assert running == set(fault.replicas)


def test_the_next_hop_is_whoever_calls() -> None:
    """Inner callers of a shared dependency, the gateway for a front."""
    assert set(mesh.callers("stock")) == {"catalog", "cart", "checkout"}
    assert mesh.callers("search") == (mesh.GATEWAY,)
