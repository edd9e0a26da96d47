"""Service-graph metrics out of Prometheus' text: what stands under them, line by line; all other lines are passed over.

Understands the text format 0.0.4 and OpenMetrics 1.0, as far as counters and the sum and count of histograms go.

Source  https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from controlplane.adapters.ingest.point import CUMULATIVE, WAVERING, Metric, Point, graph_ends

LINE_CHARS_MAX: Final = 8_192
SAMPLES_MAX: Final = 200_000  # of one answer
PREFIX: Final = "traces_service_graph_request_"
COUNTERS: Final = {f"{PREFIX}total": Metric.REQUESTS, f"{PREFIX}failed_total": Metric.FAILED}
HISTOGRAMS: Final = {
    f"{PREFIX}{side}_seconds{part}": (metric, part)
    for side, metric in (("server", Metric.SERVER), ("client", Metric.CLIENT))
    for part in ("_sum", "_count")
}
NAMES: Final = (*COUNTERS, *HISTOGRAMS)

# possessive throughout: what was matched is never tried another way, so that no line takes longer than its length
_LABELS = r'\{((?:[^"{}]++|"(?:[^"\\]++|\\.)*+")*+)\}'
_LINE = re.compile(rf"(\w++)(?:\s*+{_LABELS}\s*+|\s++)(\S++)(?:\s++-?[\d.]++)?(?:\s*+#.*)?", re.DOTALL)
_LABEL = re.compile(r'\s*+([a-zA-Z_]\w*+)\s*+=\s*+"((?:[^"\\]++|\\.)*+)"\s*+(?:,|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")

Sample = tuple[str, Mapping[str, str], float]
"""name, labels, value"""


class NotExposition(ValueError):
    """A line that is none; the message says which and why."""


def samples(text: str) -> Iterable[Sample]:
    """The samples of service-graph metrics in `text`. Raises NotExposition."""
    found = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.startswith(PREFIX):
            continue
        if len(line) > LINE_CHARS_MAX:
            raise NotExposition(f"line {number} has more than {LINE_CHARS_MAX} characters")
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise NotExposition(f"line {number} is no sample: {line[:80]!r}")
        if match[1] not in NAMES:
            continue  # buckets, times of creation
        found += 1
        if found > SAMPLES_MAX:
            raise NotExposition(f"more than {SAMPLES_MAX} samples of service-graph metrics")
        try:
            value = float(match[3])
        except ValueError as error:
            raise NotExposition(f"line {number} has {match[3][:40]!r} for a value") from error
        yield match[1], _labels(match[2] or "", number), value


def points(found: Iterable[Sample], at_wall_ns: int) -> list[Point]:
    """`found` as points of cumulative series, the sum and the count of a histogram joined.

    A series whose labels waver may stand there twice, as it was and as it is: the larger one is.
    """
    joined: dict[tuple[Metric, int], tuple[Mapping[str, str], dict[str, float]]] = {}
    for name, labels, value in found:
        metric, part = (COUNTERS[name], "_count") if name in COUNTERS else HISTOGRAMS[name]
        key = metric, hash(tuple(sorted(pair for pair in labels.items() if pair[0] != "__name__")))
        joined.setdefault(key, (labels, {}))[1][part] = value
    made: dict[int, Point] = {}
    for (metric, _), (labels, parts) in joined.items():
        if "_count" not in parts:
            continue
        client, server = graph_ends(labels)
        apart = sorted(pair for pair in labels.items() if pair[0] not in ("__name__", *WAVERING))
        point = Point(
            metric=metric,
            client=client,
            server=server,
            failed=False,
            sender=hash((labels.get("job"), labels.get("instance"))),
            series=hash((metric, tuple(apart))),
            temporality=CUMULATIVE,
            ended=False,
            start_ns=0,
            at_ns=at_wall_ns,
            value=parts["_count"],
            sum_s=parts.get("_sum", 0.0),
        )
        if point.series not in made or made[point.series].value < point.value:
            made[point.series] = point
    return list(made.values())


def _labels(text: str, number: int) -> dict[str, str]:
    labels, at = {}, 0
    text = text.strip()
    while at < len(text):
        match = _LABEL.match(text, at)
        if match is None:
            raise NotExposition(f"line {number} has labels that are none: {text[at : at + 80]!r}")
        labels[match[1]] = _ESCAPE.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], match[2])
        at = match.end()
    return labels
