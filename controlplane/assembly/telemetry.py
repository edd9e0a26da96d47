"""What others tell of calls, by the configuration: spans and metrics that are sent to us, metrics that we ask for."""

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from controlplane.adapters.ingest.metric import MetricSource
from controlplane.adapters.ingest.span import SpanSource
from controlplane.config.token import read_token
from controlplane.model.config import Config, PrometheusSection
from controlplane.model.errors import ConfigError
from controlplane.ports import Clock, SignalSource

if TYPE_CHECKING:  # an embedded plane without these sections loads no HTTP client and no framework for them
    from controlplane.adapters.ingest.otlp import OtlpReceiver
    from controlplane.adapters.ingest.prometheus import PrometheusPoller

logger = logging.getLogger("controlplane")


class Telemetry:
    """The sources of `[otlp]` and `[prometheus]`; each is None where its section is missing.

    Raises  ConfigError where a token file cannot be read.
    """

    def __init__(self, config: Config, clock: Clock, ring: Callable[[], None]) -> None:
        self.spans: SpanSource | None = None
        self.metrics: MetricSource | None = None
        self.poller: PrometheusPoller | None = None
        self._clock = clock
        self._secret = int.from_bytes(os.urandom(7))  # a hash that strangers cannot guess
        if config.otlp is not None:
            self.spans = SpanSource(
                clock,
                seed=self._secret,
                wait_s=config.otlp.wait_s,
                waiting_max=config.otlp.spans_waiting_max,
                ring=ring,
            )
        if config.otlp is not None or config.prometheus is not None:
            self.metrics = MetricSource(clock, ring=ring)
        if config.prometheus is not None and self.metrics is not None:
            self.poller = _poller(config.prometheus, self.metrics, clock)

    @property
    def sources(self) -> list[SignalSource]:
        """Those there are."""
        return [source for source in (self.spans, self.metrics) if source is not None]

    def start(self, tasks: TaskGroup, *, steers: bool) -> None:
        """Ring while telemetry comes. Only who `steers` asks for it: the others of a host would ask for the same."""
        for source in (self.spans, self.metrics):
            if source is not None:
                tasks.start_soon(source.beat)
        if self.poller is not None and steers:
            tasks.start_soon(self._ask, self.poller)

    def receiver(self, ready: Callable[[], bool]) -> "OtlpReceiver":
        """What `[otlp]` serves. Only where there is such a section."""
        from controlplane.adapters.ingest.otlp import OtlpReceiver

        assert self.spans is not None
        assert self.metrics is not None
        return OtlpReceiver(self.spans, self.metrics, self._clock, secret=self._secret, ready=ready)

    async def _ask(self, poller: "PrometheusPoller") -> None:
        """Ask until cancelled. A mistake of ours ends the questions and nothing else."""
        try:
            await poller.run()
        except Exception:
            logger.exception("asking Prometheus broke; the evidence of real calls goes on")


def _poller(section: PrometheusSection, source: MetricSource, clock: Clock) -> "PrometheusPoller":
    from controlplane.adapters.ingest.prometheus import PrometheusPoller, Target, query_of

    token = ""
    if section.token_file:
        try:
            token = read_token(section.token_file)
        except ConfigError as error:
            raise ConfigError(error.reason, key="prometheus.token_file") from error
    targets = [Target(url) for url in section.scrape]
    if section.server:
        targets.append(Target(section.server, query_of(section.selector)))
    return PrometheusPoller(
        source, targets, clock=clock, every_s=section.every_s, timeout_s=section.timeout_s, token=token
    )
