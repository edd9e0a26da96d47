"""Checks of `[otlp]`, `[prometheus]` and `[alerts]`: where telemetry is taken, whom to ask for it, whom alerts mean."""

from collections import Counter
from urllib.parse import urlsplit

from controlplane.config.convert import Problems, shown
from controlplane.model.config import Config, OtlpSection, PrometheusSection, is_loopback, split_listen

TARGETS_MAX = 64  # that are scraped; each has a task of its own


def check_telemetry(config: Config, problems: Problems) -> None:
    """Note what is wrong with either."""
    if config.otlp is not None:
        _check_otlp(config.otlp, config, problems)
    if config.prometheus is not None:
        _check_prometheus(config.prometheus, problems)
    if not config.alerts.service_labels:
        problems.add("alerts.service_labels", "is empty: no alert would be about anybody; leave it out for the default")


def _check_otlp(otlp: OtlpSection, config: Config, problems: Problems) -> None:
    try:
        host, port = split_listen(otlp.listen)
    except ValueError as error:
        problems.add("otlp.listen", f"{shown(otlp.listen)} {error}")
        return
    if not is_loopback(host) and not otlp.allow_remote:
        problems.add(
            "otlp.listen",
            f"{otlp.listen!r} is reachable from other machines, and whoever sends spans shapes what is blamed; "
            "listen on 127.0.0.1 or [::1], or set otlp.allow_remote = true where only your collectors reach it",
        )
    if otlp.spans_waiting_max & (otlp.spans_waiting_max - 1):
        right = f"a power of two, as in {1 << otlp.spans_waiting_max.bit_length()}"
        problems.add("otlp.spans_waiting_max", f"{otlp.spans_waiting_max} is not {right}")
    others = [config.admin.listen, *([config.gateway.listen] if config.gateway is not None else [])]
    if port and otlp.listen in others:
        problems.add("otlp.listen", f"{otlp.listen!r} is somebody else's, too; two listeners need two ports")


def _check_prometheus(section: PrometheusSection, problems: Problems) -> None:
    if not section.scrape and not section.server:
        problems.add("prometheus", "asks nobody; name scrape = [URLs of expositions], or server = URL of a Prometheus")
    if len(section.scrape) > TARGETS_MAX:
        problems.add("prometheus.scrape", f"names {len(section.scrape)} targets; {TARGETS_MAX} at most")
    for url in section.scrape:
        if reason := _wrong(url):
            problems.add("prometheus.scrape", f"{url!r} {reason}")
    for url in [url for url, count in Counter(section.scrape).items() if count > 1]:
        problems.add("prometheus.scrape", f"{url!r} is named twice; its calls would count twice")
    if section.server and (reason := _wrong(section.server)):
        problems.add("prometheus.server", f"{section.server!r} {reason}")
    if section.selector and not section.server:
        problems.add("prometheus.selector", "selects from a server, and none is named; set prometheus.server")
    if set("{}") & set(section.selector):
        right = """write matchers only, as in 'namespace="shop"'"""
        problems.add("prometheus.selector", f"{section.selector!r} has braces; {right}")


def _wrong(url: str) -> str:
    """What is wrong with a URL that is asked, path and all, or nothing."""
    right = "; write scheme://host:port/path, as in 'http://127.0.0.1:8889/metrics'"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL ({error}){right}"
    if parts.scheme not in ("http", "https") or not host:
        return f"is no URL of HTTP{right}"
    if parts.username is not None or parts.password is not None:
        return "carries credentials, which would end up in logs; name a token_file"
    if parts.fragment:
        return f"has a fragment, which is never sent{right}"
    return ""
