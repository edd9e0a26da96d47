"""The mesh: which services exist, who calls whom, where each replica lives and what guards the calls between them.

gateway -> catalog(3) -> stock(2), pricing(2)        cart(2) -> stock         search(3)
        -> checkout(2) -> stock, risk(2, third party, with fallback)          recommend(2)
        -> account(4, v1 and v2) -> ledger(2)
"""

from importlib import resources
from typing import Any, Literal

import msgspec

from controlplane.config import parse_config
from controlplane.model.config import Config, GatewaySection, JournalSection, PlaneSection, ProxySection
from controlplane.model.policy import GuardPolicy, ResponsePolicy
from controlplane.model.topology import Endpoint, Service

GATEWAY = "gateway"
USER_TIMEOUT_S = 2.0
SLOW_S = 0.3
"""A request that takes longer is slow, for users and for services alike. Healthy ones take about 20 ms."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One service of the mesh: how many replicas, whom they call one after the other, how long their own work takes."""

    name: str
    replicas: int
    work_s: float
    calls: tuple[str, ...] = ()
    policy: str = "inner"
    external: bool = False
    fallback: bool = False
    share: int = 0  # of a hundred user requests, so many begin here


PARTS: tuple[Part, ...] = (
    Part(name="catalog", replicas=3, work_s=0.004, calls=("stock", "pricing"), policy="patient", share=30),
    Part(name="search", replicas=3, work_s=0.006, policy="front", share=24),
    Part(name="account", replicas=4, work_s=0.004, calls=("ledger",), policy="front", share=24),
    Part(name="cart", replicas=2, work_s=0.003, calls=("stock",), policy="patient", share=9),
    Part(name="checkout", replicas=2, work_s=0.003, calls=("stock", "risk"), policy="patient", share=9),
    Part(name="recommend", replicas=2, work_s=0.004, policy="front", share=4),
    Part(name="stock", replicas=2, work_s=0.0, policy="shared"),
    Part(name="pricing", replicas=2, work_s=0.002),
    Part(name="ledger", replicas=2, work_s=0.003),
    Part(name="risk", replicas=2, work_s=0.005, policy="third_party", external=True, fallback=True),
)

# stock: two replicas, each of one worker at 12 ms, carry 167 requests/s. 48 % of 200 user requests/s need it:
# utilisation 0.58; three attempts each are 288/s, more than it can do. A full queue of 40 waits 0.48 s, its callers
# 0.25 s: even after that quarter of a second in which, the trigger over, only first attempts arrive, it is longer.
STOCK_WORKERS = 1
STOCK_SERVICE_S = 0.012
STOCK_SERVICE_BROKEN_S = 0.036
STOCK_QUEUE_MAX = 40

# Shorter penalties and stages than the library's defaults, so that a whole recovery fits a demo. The evidence that it
# takes to act is the default's.
RESPONSE = ResponsePolicy(
    lease_s=10.0,
    penalty_s=0.5,
    penalty_max_s=1.0,
    ramp_percent=(10, 25, 50),
    ramp_step_s=0.5,
    verify_s=1.0,
    overload_concurrency=1,
)
_BASE = GuardPolicy(window_s=2.0, eject_s=1.0, eject_max_s=2.0, open_s=1.0, open_max_s=2.0, deadline_s=2.0)


def _guard(**changes: float) -> GuardPolicy:
    return msgspec.structs.replace(_BASE, **changes)


# `patient` guards what retries on its own: a caller's stall mark under its callee's attempts would blame the callee for
# the waiting that the callee does.
POLICIES: dict[str, GuardPolicy] = {
    "front": _guard(attempt_timeout_s=1.5, stall_min_s=0.12, ejected_percent_max=50),
    "patient": _guard(attempt_timeout_s=1.5, stall_min_s=0.9, slow_s=0.3, ejected_percent_max=50),
    "inner": _guard(attempt_timeout_s=0.5, stall_min_s=0.12),
    "shared": _guard(attempts=3, attempt_timeout_s=0.25, stall_min_s=0.15, retry_floor_per_s=1),
    "third_party": _guard(breaker_consecutive=5, attempt_timeout_s=0.15, stall_min_s=0.12),
}

Tier = Literal["leaf", "mid"]


def part(name: str) -> Part:
    """The part of that name."""
    return next(one for one in PARTS if one.name == name)


def replicas(name: str) -> tuple[str, ...]:
    """Names of a part's replicas."""
    return tuple(f"{name}-{number}" for number in range(1, part(name).replicas + 1))


def part_of(replica: str) -> Part:
    """The part that a replica belongs to."""
    return part(replica.rpartition("-")[0])


def zone_of(replica: str) -> str:
    """Odd replicas live in zone a, even ones in zone b."""
    return "a" if int(replica.rpartition("-")[2]) % 2 else "b"


def version_of(replica: str) -> str:
    """Half of the accounts run the new version: one in each zone."""
    name, _, number = replica.rpartition("-")
    return "v2" if name == "account" and int(number) > 2 else "v1"


def hosts() -> dict[str, tuple[str, ...]]:
    """Which replicas share a process: one per tier and zone. Each replica has its own port, fault state and plane."""
    out: dict[str, list[str]] = {}
    for one in PARTS:
        for replica in replicas(one.name):
            tier: Tier = "mid" if one.calls else "leaf"
            out.setdefault(f"{tier}-{zone_of(replica)}", []).append(replica)
    return {host: tuple(names) for host, names in out.items()}


def services(ports: dict[str, int]) -> tuple[Service, ...]:
    """The topology that every plane is told."""
    return tuple(
        Service(
            name=one.name,
            calls=one.calls,
            external=one.external,
            fallback=one.fallback,
            policy=one.policy,
            endpoints=tuple(
                Endpoint(
                    name=replica,
                    url=f"http://127.0.0.1:{ports[replica]}",
                    zone=zone_of(replica),
                    version=version_of(replica),
                )
                for replica in replicas(one.name)
            ),
        )
        for one in PARTS
    )


def fronts() -> tuple[str, ...]:
    """What the gateway routes to."""
    return tuple(one.name for one in PARTS if one.share)


def config(name: str, ports: dict[str, int], *, journal: str = "", proxy: ProxySection | None = None) -> Config:
    """The configuration of one plane: of a replica's, or of the gateway's, which steers `proxy` where there is one."""
    return Config(
        plane=PlaneSection(name=name, mode="enforce"),
        journal=JournalSection(path=journal),
        gateway=GatewaySection(routes={f"/{front}": front for front in fronts()}) if name == GATEWAY else None,
        proxies={} if proxy is None else {"edge": proxy},
        response=RESPONSE,
        policies=POLICIES,
        services=services(ports),
        **(_ready() if name == GATEWAY else {}),
    )


def playbooks() -> str:
    """The text of the demo's playbooks, with their owners and ladders."""
    return resources.files("controlplane.demo").joinpath("playbooks.toml").read_text(encoding="utf-8")


def _ready() -> dict[str, Any]:
    found = parse_config(playbooks())
    return {"owners": found.owners, "ladders": found.ladders, "playbooks": found.playbooks}


def callers(service: str) -> tuple[str, ...]:
    """Who calls `service`: its next hop, in which a failure of it arrives first."""
    inner = tuple(one.name for one in PARTS if service in one.calls)
    return (*inner, GATEWAY) if service in fronts() else inner
