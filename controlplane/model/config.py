"""What a configuration file says, as values. Reading and refusing live in `controlplane.config`."""

from typing import Annotated, Literal

import msgspec

from controlplane.model.escalation import Ladder, NotifierSection, Owner, People
from controlplane.model.playbook import Playbook
from controlplane.model.policy import Count, GraphPolicy, GuardPolicy, PositiveSeconds, ResponsePolicy
from controlplane.model.posture import Sensitive
from controlplane.model.topology import Service, Topology

Name = Annotated[str, msgspec.Meta(min_length=1)]


class PlaneSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name` is the service in whose process the plane runs, as others call it; `zone` is where it runs."""

    name: Name = "gateway"
    zone: str = ""
    mode: Literal["observe", "enforce"] = "enforce"


class JournalSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records are kept. An empty path keeps them in memory: a restart forgets.

    `inputs_max` of what the engine was told is kept beside them, for a replay; 0: nothing.
    """

    path: str = ""
    inputs_max: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)] = (
        2_000_000  # edges tell once a second; some 20 B each
    )


class ArenaSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory that all processes of one host share: `path` is a file, best on /dev/shm or /run.

    At most `workers` processes attach at a time, `controlplane serve` among them. It steers; the others, which embed a
    plane with the same configuration, share its guards and send their signals through them.
    """

    path: Name
    workers: Annotated[int, msgspec.Meta(ge=2, le=64)] = 16


class AdminSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin endpoint of the standalone process; `allow_remote` admits a `listen` beyond loopback."""

    listen: str = "127.0.0.1:9911"
    token_file: Name = "controlplane.token"  # noqa: S105 - a path, not a token
    allow_remote: bool = False


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The built-in reverse proxy: the longest matching path prefix names the service.

    A user's request counts as slow after `slow_s`; of `concurrency_max` requests at a time (0: no limit) those that
    call themselves less important are shed first. Where strangers call, switch `trust_priority` off.
    """

    listen: str = "127.0.0.1:8080"
    routes: dict[str, str] = {}
    slow_s: PositiveSeconds = 1.0
    concurrency_max: Count = 0
    trust_priority: bool = True


class OtlpSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `controlplane serve` takes OpenTelemetry spans and metrics, by OTLP over HTTP. It asks for no token, as
    exporters and collectors on the same host send none: `allow_remote` admits a `listen` beyond loopback.

    `wait_s` is how long one side of a call is waited for before the other is told alone; `spans_waiting_max` (a power
    of two) how many may wait at a time, 68 bytes each.
    """

    listen: str = "127.0.0.1:4318"
    allow_remote: bool = False
    wait_s: PositiveSeconds = 10.0
    spans_waiting_max: Annotated[int, msgspec.Meta(ge=1024, le=1 << 24)] = 65_536


class PrometheusSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to ask for service-graph metrics (`traces_service_graph_*`), every `every_s`, for `timeout_s` at most.

    scrape    URLs of text expositions, as of a Collector's Prometheus exporter
    server    URL of a Prometheus server, or of anything with its query API; `selector`: label matchers for its series
    The token in `token_file` is sent to all of them.
    """

    scrape: tuple[str, ...] = ()
    server: str = ""
    selector: str = ""
    every_s: PositiveSeconds = 5.0
    timeout_s: PositiveSeconds = 5.0
    token_file: str = ""


class AlertsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which labels of others' alerts say whom they are about: the first whose value is a declared service (or an
    alias of one), and the first whose value is an endpoint's name, or its host and port."""

    service_labels: tuple[Name, ...] = ("service", "service_name", "app", "job")
    endpoint_labels: tuple[Name, ...] = ("endpoint", "instance", "pod")


class DeployerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who rolls services back, as `deployer` of a service names it.

    command   `command` is run, word by word and without a shell; {service}, {version}, {to} and {command} are filled in
    webhook   `url` is asked, with the token in `token_file` if one is named, and then its status every `poll_s`
    gate      nothing is run: a progressive deployer asks `/v1/gates/{service}`, with the token in `token_file` or ours
    """

    kind: Literal["command", "webhook", "gate"]
    command: tuple[str, ...] = ()
    url: str = ""
    token_file: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 300.0
    poll_s: PositiveSeconds = 2.0


class PostureSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The zones of trust that services may name, and the routes of this process that meet stricter limits while a guard
    is degraded."""

    trust: tuple[Name, ...] = ()
    sensitive: tuple[Sensitive, ...] = ()


class ProxySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proxy that somebody else runs: results of the calls that pass it are evidence, orders are put in force there.

    haproxy   `socket` is its runtime API, an absolute path or host:port; it sends its log to `log_listen`, over UDP.
              A service is the backend of its own name, or the one in `backends`; an endpoint the server of its own
              name, or that in `servers`, by "service/endpoint"
    envoy     every Envoy that asks `listen` for its configuration, and sends its access log there. `routes` leads
              prefixes to services, for those that take their routes from here. What contains ends in them `ttl_s`
              after they last heard from here

    The calls to `services` pass it (empty: those to every declared service that has endpoints). `entry`: its requests
    are those of users. `allow_remote` admits addresses beyond loopback.
    """

    kind: Literal["haproxy", "envoy"]
    socket: str = ""
    log_listen: str = ""
    backends: dict[str, str] = {}
    servers: dict[str, str] = {}
    listen: str = ""
    routes: dict[str, str] = {}
    ttl_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 15.0
    services: tuple[str, ...] = ()
    entry: bool = True
    allow_remote: bool = False


class DrillsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the results of drills are kept: a file of one JSON object a line, which only grows."""

    path: Name = "controlplane.drills.jsonl"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configuration, section by section as in the file."""

    plane: PlaneSection = PlaneSection()
    journal: JournalSection = JournalSection()
    admin: AdminSection = AdminSection()
    gateway: GatewaySection | None = None
    arena: ArenaSection | None = None
    otlp: OtlpSection | None = None
    prometheus: PrometheusSection | None = None
    alerts: AlertsSection = AlertsSection()
    response: ResponsePolicy = ResponsePolicy()
    graph: GraphPolicy = GraphPolicy()
    policies: dict[str, GuardPolicy] = {}
    deployers: dict[str, DeployerSection] = {}
    proxies: dict[str, ProxySection] = {}
    notifiers: dict[str, NotifierSection] = {}
    ladders: dict[str, Ladder] = {}
    owners: dict[str, Owner] = {}
    playbooks: tuple[Playbook, ...] = ()
    drills: DrillsSection = DrillsSection()
    posture: PostureSection = PostureSection()
    services: tuple[Service, ...] = ()

    def topology(self) -> Topology:
        """The declared services, and this process among them.

        What the file does not say about this process is read off the rest: it calls what it routes to, and where it is
        not declared and routes nothing, every service.
        """
        entry = self.plane.name
        routed = tuple(self.gateway.routes.values()) if self.gateway else ()
        declared = next((service for service in self.services if service.name == entry), None)
        if declared is None:
            calls = routed or tuple(service.name for service in self.services)
            services = (Service(name=entry, calls=_unique(calls)), *self.services)
        else:
            own = msgspec.structs.replace(declared, calls=_unique((*declared.calls, *routed)))
            services = tuple(own if one is declared else one for one in self.services)
        return Topology(services=services, entry=entry, zone=self.plane.zone, sensitive=self.posture.sensitive)

    def proxied(self, proxy: ProxySection) -> dict[str, tuple[str, ...]]:
        """The endpoints of each service whose calls pass `proxy`."""
        return {
            service.name: tuple(endpoint.name for endpoint in service.endpoints)
            for service in self.services
            if service.endpoints and service.name != self.plane.name
            if not proxy.services or service.name in proxy.services
        }

    def policy(self, service: Service) -> GuardPolicy:
        """The guard policy `service` names; "default" always exists."""
        return (
            self.policies.get(service.policy, _DEFAULT)
            if service.policy == "default"
            else self.policies[service.policy]
        )

    def people(self) -> People:
        """Ladders and owners, as the engine wants them."""
        return People(ladders=self.ladders, owners=self.owners)

    def response_policy(self) -> ResponsePolicy:
        """`[response]` with the mode of `[plane]`, where people look for it."""
        return msgspec.structs.replace(self.response, mode=self.plane.mode)


_DEFAULT = GuardPolicy()


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"; port 0 lets the system choose. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port:
        raise ValueError('needs a port, as in "127.0.0.1:9911" or "[::1]:9911"')
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"port {port!r} is not a number from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('an IPv6 address is written in brackets, as in "[::1]:9911"')
    if not host:
        raise ValueError('needs a host, as in "127.0.0.1:9911"; write "0.0.0.0" to listen on every address')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    return host in ("localhost", "::1", "0:0:0:0:0:0:0:1") or (host.startswith("127.") and host.count(".") == 3)
