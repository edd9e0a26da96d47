"""The page about OpenTelemetry: its Collector configurations are what a Collector reads, and lead to what we serve.

The Collector's binary cannot be had here, so it is a table of its own keys that they are held against: a key that it
does not know, a pipeline that names what is not there, or a target that is not ours shows.
"""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.otlp import PROTOBUF, OtlpReceiver
from controlplane.adapters.ingest.span import SpanSource
from controlplane.config import parse_config
from controlplane.model.config import OtlpSection
from controlplane.testing import VirtualClock

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "opentelemetry.md").read_text()
COLLECTORS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(receivers:.*?)```", PAGE, re.DOTALL)]

# name of a component: its keys, each with the keys below it; None: a value. From the Collector's own documentation.
KNOWN: dict[str, dict[str, Any]] = {
    "receivers/otlp": {"protocols": {"grpc": {"endpoint": None}, "http": {"endpoint": None}}},
    "processors/memory_limiter": {"check_interval": None, "limit_mib": None, "spike_limit_mib": None},
    "processors/batch": {"timeout": None, "send_batch_size": None, "send_batch_max_size": None},
    "exporters/otlphttp": {
        "endpoint": None,
        "traces_endpoint": None,
        "metrics_endpoint": None,
        "compression": None,
        "encoding": None,
        "retry_on_failure": {"enabled": None, "initial_interval": None, "max_interval": None, "max_elapsed_time": None},
        "sending_queue": {"enabled": None, "num_consumers": None, "queue_size": None},
    },
    "connectors/servicegraph": {
        "store": {"ttl": None, "max_items": None},
        "metrics_flush_interval": None,
        "dimensions": None,
    },
}


def unknown(section: Any, known: dict[str, Any], where: str) -> list[str]:
    """Keys of `section` that are not `known`."""
    found = []
    for key, value in (section or {}).items():
        if key not in known:
            found.append(f"{where}.{key}")
        elif isinstance(known[key], dict):
            found += unknown(value, known[key], f"{where}.{key}")
        elif isinstance(value, dict):
            found.append(f"{where}.{key} holds a table")
    return found


def test_the_page_shows_two_collectors() -> None:
    """One that passes spans and metrics on, and one that makes a service graph of them."""
    assert [sorted(one["service"]["pipelines"]) for one in COLLECTORS] == [
        ["metrics", "traces"],
        ["metrics/servicegraph", "traces"],
    ]


@pytest.mark.parametrize("collector", COLLECTORS, ids=["plain", "servicegraph"])
def test_a_collector_is_told_only_what_it_knows(collector: dict[str, Any]) -> None:
    """Every component by its kind, every key of it, and nothing beside."""
    assert set(collector) <= {"receivers", "processors", "exporters", "connectors", "service"}
    for section, components in collector.items():
        if section == "service":
            assert set(components) == {"pipelines"}
            continue
        for name, told in components.items():
            kind = f"{section}/{name.partition('/')[0]}"
            assert kind in KNOWN, kind
            assert unknown(told, KNOWN[kind], kind) == []


@pytest.mark.parametrize("collector", COLLECTORS, ids=["plain", "servicegraph"])
def test_pipelines_are_made_of_what_is_there(collector: dict[str, Any]) -> None:
    """Each begins and ends somewhere, uses what is declared, and nothing declared is idle; the limiter comes first."""
    used: set[tuple[str, str]] = set()
    connectors = set(collector.get("connectors", {}))
    for name, pipeline in collector["service"]["pipelines"].items():
        assert name.partition("/")[0] in ("traces", "metrics")
        assert set(pipeline) <= {"receivers", "processors", "exporters"}
        assert pipeline["receivers"]
        assert pipeline["exporters"]
        for kind, names in pipeline.items():
            for one in names:
                assert one in collector.get(kind, {}) or one in connectors, (name, kind, one)
                used.add(("connectors" if one in connectors else kind, one))
        assert pipeline.get("processors", ["memory_limiter"])[0] == "memory_limiter"
    declared = {(kind, name) for kind, parts in collector.items() if kind != "service" for name in parts}
    assert declared == used


@pytest.mark.anyio
@pytest.mark.parametrize("collector", COLLECTORS, ids=["plain", "servicegraph"])
async def test_what_it_sends_reaches_us(collector: dict[str, Any]) -> None:
    """At the address of the section that the page shows, by the paths that an OTLP/HTTP exporter adds."""
    section = parse_config(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]).otlp
    assert section == OtlpSection()
    exporter = collector["exporters"]["otlphttp/controlplane"]
    assert exporter["endpoint"] == f"http://{section.listen}"
    clock = VirtualClock()
    receiver = OtlpReceiver(SpanSource(clock, ring=print), MetricSource(clock, ring=print), clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(receiver), base_url=exporter["endpoint"]) as client:
        for path in ("/v1/traces", "/v1/metrics"):
            answer = await client.post(path, content=b"", headers={"content-type": PROTOBUF})
            assert answer.status_code == 200
    ours = {section.listen, *(ends["endpoint"] for ends in collector["receivers"]["otlp"]["protocols"].values())}
    assert len(ours) == 1 + len(collector["receivers"]["otlp"]["protocols"]), "two listeners need two ports"
