"""Service graphs out of Prometheus' text, as exporters write it, and lines that are none."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.ingest import exposition as module
from controlplane.adapters.ingest.exposition import NotExposition, points, samples
from controlplane.adapters.ingest.point import Metric

# as the Collector's Prometheus exporter writes it, with all that stands around
TEXT = """\
# HELP traces_service_graph_request_total Total count of requests between two nodes
# TYPE traces_service_graph_request_total counter
traces_service_graph_request_total{client="web",connection_type="",server="cart"} 1027 1395066363000
traces_service_graph_request_total{client="web",connection_type="",server="a \\"b\\" \\\\ c\\nd, e={} 5"} 3
# TYPE traces_service_graph_request_failed_total counter
traces_service_graph_request_failed_total{client="web",connection_type="",server="cart",} 1.7e+01
# TYPE traces_service_graph_request_server_seconds histogram
traces_service_graph_request_server_seconds_bucket{client="web",server="cart",le="0.1"} 1000
traces_service_graph_request_server_seconds_bucket{client="web",server="cart",le="+Inf"} 1027
traces_service_graph_request_server_seconds_sum{client="web",server="cart"} 12.5
traces_service_graph_request_server_seconds_count{client="web",server="cart"} 1027
traces_service_graph_request_client_seconds_sum{client="web",server="cart"} 14.25
traces_service_graph_request_client_seconds_count{client="web",server="cart"} 1027 # {trace_id="ab"} 0.2 1.5
traces_service_graph_request_total_created{client="web",server="cart"} 1.7e9
traces_service_graph_dropped_spans_total 9
go_goroutines 42
some_metric{path="/"} nonsense
# EOF
"""


def test_what_an_exporter_writes_becomes_points() -> None:
    """Counters, sums and counts by their labels; escapes, time stamps, exemplars and trailing commas are understood."""
    found = {(one.metric, one.client, one.server): one for one in points(samples(TEXT), 5)}
    assert found[Metric.REQUESTS, "web", "cart"].value == 1027
    assert found[Metric.REQUESTS, "web", 'a "b" \\ c\nd, e={} 5'].value == 3
    assert found[Metric.FAILED, "web", "cart"].value == 17
    assert [(found[each, "web", "cart"].value, found[each, "web", "cart"].sum_s) for each in (3, 4)] == [
        (1027, 12.5),
        (1027, 14.25),
    ]
    assert len(found) == 5
    assert {one.at_ns for one in found.values()} == {5}


def test_series_are_told_apart_by_all_their_labels_in_any_order() -> None:
    """And senders by the labels that a Prometheus puts on."""
    text = """\
traces_service_graph_request_total{client="a",server="b",instance="x:1",job="j"} 1
traces_service_graph_request_total{job="j",instance="x:1",server="b",client="a"} 2
traces_service_graph_request_total{client="a",server="b",instance="x:2",job="j"} 3
"""
    found = points(samples(text), 1)
    assert [one.value for one in found] == [2, 3]
    assert len({one.sender for one in found}) == 2


def test_a_series_that_wavers_is_the_larger_of_what_stands_there() -> None:
    """An exporter keeps what it was for a while beside what it is."""
    name, text = "traces_service_graph_request_client_seconds", ""
    for failed, total, count in (("false", 90.0, 900), ("true", 100.0, 1000), ("false", 5.0, 50)):
        labels = f'{{client="a",server="b",failed="{failed}"}}' if count > 50 else '{client="c",server="b"}'
        text += f"{name}_sum{labels} {total}\n{name}_count{labels} {count}\n"
    assert [(one.client, one.value, one.sum_s) for one in points(samples(text), 1)] == [
        ("a", 1000, 100.0),
        ("c", 50, 5.0),
    ]


def test_a_value_may_be_none() -> None:
    """Infinite or not a number is a value of the format; what follows makes nothing of it."""
    ((_, _, value),) = samples('traces_service_graph_request_total{client="a",server="b"} NaN')
    assert math.isnan(value)


@pytest.mark.parametrize(
    "line",
    [
        "traces_service_graph_request_total",
        'traces_service_graph_request_total{client="a"',
        'traces_service_graph_request_total{client="a" server="b"} 1',
        "traces_service_graph_request_total{client=a} 1",
        'traces_service_graph_request_total{client="a"} many',
        'traces_service_graph_request_total{client="a"} 1 2 3',
        "traces_service_graph_request_total " + "1" * 10_000,
    ],
)
def test_a_line_that_is_none_is_named(line: str) -> None:
    """By its number and what stands there; half an exposition is not taken."""
    with pytest.raises(NotExposition, match="line 2 "):
        list(samples(f"up 1\n{line}\nup 1"))


def test_too_many_samples_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nobody reads on."""
    monkeypatch.setattr(module, "SAMPLES_MAX", 5)
    line = 'traces_service_graph_request_total{{client="a",server="s{}"}} 1\n'
    with pytest.raises(NotExposition, match="more than 5"):
        list(samples("".join(line.format(number) for number in range(6))))


@given(st.text(st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=500)
def test_any_text_is_read_or_refused(text: str) -> None:
    """And a hostile line costs no more than its length."""
    for line in (text, f"{module.PREFIX}total{text}", f"{module.PREFIX}total{{{text}}} 1"):
        with contextlib.suppress(NotExposition):
            points(samples(line), 1)


def test_a_line_made_to_confuse_takes_no_time() -> None:
    """The longest line that is looked at, of what patterns are tried on again and again."""
    for unit in ("a=", 'a="b",', "\\", "{", '{a="', " ", '"', '\\"'):
        line = f"{module.PREFIX}total{{" + unit * (8_000 // len(unit))
        with pytest.raises(NotExposition):
            list(samples(line))
