"""No file makes the reader of recordings, or the analysis after it, fail in any other way than by a named refusal."""

import copy
import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.recording import parse_recording
from controlplane.decide.analysis.analyze import analyze
from controlplane.model.errors import ConfigError

GOOD: dict[str, Any] = {
    "format": "controlplane.recording/1",
    "bucket_s": 60,
    "services": ["web", "cart", "db"],
    "edges": [[0, 1], [1, 2]],
    "time_s": None,
    "incident_at": 5,
    "entry": {"service": "web", "metric": None},
    "service_signals": {
        name: [[1.0 + b % 3, 2.0, None] for b in range(7)] for name in ("requests", "latency_s", "error_logs")
    },
    "edge_signals": {"requests": [[1.0, 2.0]] * 7, "client_latency_s": [[0.1, None]] * 7},
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inside: list[tuple[Any, ...]] = [here] if here else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        inside += paths(child, (*here, key))
    return inside


def refused_or_analyzed(content: bytes) -> None:
    try:
        window = parse_recording(content)
    except ConfigError:
        return
    answer = analyze(window)
    assert all(0.0 <= origin.score <= 1.0 + 1e-9 for origin in answer.origins)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(paths(GOOD)), ODD), min_size=1, max_size=3))
@pytest.mark.filterwarnings("error::RuntimeWarning")  # numpy's; what other tests left behind is theirs
def test_anything_anywhere_is_analyzed_or_refused_by_name(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """A good document with odd values put anywhere."""
    document = copy.deepcopy(GOOD)
    for path, odd in changes:
        place: Any = document
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = odd
        except (TypeError, KeyError, IndexError):
            continue
    refused_or_analyzed(json.dumps(document).encode())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_are_refused(data: st.DataObject) -> None:
    """Bytes cut out of, put into or changed in a good file, plain or gzip; and bytes that are nothing."""
    good = json.dumps(GOOD).encode()
    content = bytearray(gzip.compress(good, mtime=0) if data.draw(st.booleans()) else good)
    if data.draw(st.booleans()):
        content = bytearray(data.draw(st.binary(max_size=100)))
    elif data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    else:
        del content[data.draw(st.integers(0, len(content))) :]
    refused_or_analyzed(bytes(content))
