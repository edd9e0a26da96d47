"""Recordings from files: what is read, what is refused and how the refusal is worded."""

import copy
import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controlplane.adapters.recording import parse_recording, read_incidents
from controlplane.adapters.stores.table import RecordTable
from controlplane.model.errors import ConfigError

GOOD: dict[str, Any] = {
    "format": "controlplane.recording/1",
    "bucket_s": 60,
    "services": ["web", "db"],
    "edges": [[0, 1]],
    "time_s": [0, 60, 180],
    "incident_at": 2,
    "entry": {"service": "web", "metric": "latency"},
    "service_signals": {"requests": [[10, 20], [11, None], [12, 24]]},
    "edge_signals": {"error_ratio": [[0.0], [None], [0.5]]},
}
MISSING = object()


def changed(path: str, value: object) -> bytes:
    document = copy.deepcopy(GOOD)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = document
    for part in above:
        place = place[part]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


def test_a_good_recording_becomes_a_window() -> None:
    """Arrays, indices and NaN for what is unknown."""
    window = parse_recording(json.dumps(GOOD).encode())
    assert (window.services, window.entry, window.metric, window.incident_at) == (("web", "db"), 0, "latency", 2)
    assert window.edges.tolist() == [[0, 1]]
    assert np.isnan(window.service["requests"][1, 1])
    assert window.edge["error_ratio"].shape == (3, 1)


@pytest.mark.parametrize("key", ["time_s", "entry", "service_signals", "edge_signals"])
def test_what_may_be_missing_may_be_null(key: str) -> None:
    """Absent, null and, for one signal, null: nothing is known."""
    for value in (None, MISSING):
        assert parse_recording(changed(key, value)).services == ("web", "db")
    assert parse_recording(changed("service_signals.latency_s", None)).service.keys() == {"requests"}


@pytest.mark.parametrize(
    ("path", "value", "key", "says"),
    [
        ("format", "controlplane.recording/2", "format", "controlplane.recording/1"),
        ("format", MISSING, "format", "is missing"),
        ("services", MISSING, "services", "is missing"),
        ("bucket_s", 0, "bucket_s", "> 0"),
        ("services", [], "services", "0 names"),
        ("services", ["web", "web"], "services[1]", 'also services[0]'),
        ("services", ["web", " "], "services[1]", "needs a name"),
        ("edges", [[0, 2]], "edges[0][1]", "0 to 1"),
        ("edges", [[0, -1]], "edges[0][1]", "0 to 1"),
        ("edges", [[0]], "edges[0]", "length 2"),
        ("incident_at", 3, "incident_at", "1 to 2"),
        ("incident_at", 0, "incident_at", "1 to 2"),
        ("incident_at", -1, "incident_at", ">= 0"),
        ("incident_at", "2", "incident_at", "`int`"),
        ("time_s", [0, 60], "service_signals.requests", "time_s has 2"),
        ("entry.service", "cart", "entry.service", "not among services"),
        ("entry.metric", "errors", "entry.metric", '"availability", "latency" or null'),
        ("service_signals.requests", [[1, 2]], "service_signals.requests", "has 1 buckets"),
        ("service_signals.requests.1", [1], "service_signals.requests[1]", "2 services"),
        ("service_signals.requests.1.0", -3, "service_signals.requests[1][0]", "not negative"),
        ("service_signals.requests.1.0", "NaN", "service_signals.requests[1][0]", "`float | null`"),
        ("service_signals.requests.1.0", float("nan"), "service_signals.requests[1][0]", "null where nothing is known"),
        ("service_signals.requests.1.0", float("inf"), "service_signals.requests[1][0]", "null where nothing is known"),
        ("edge_signals.error_ratio.2.0", 1.5, "edge_signals.error_ratio[2][0]", "0 to 1"),
        ("edge_signals.error_ratio.2", [0.1, 0.1], "edge_signals.error_ratio[2]", "1 edges"),
        ("service_signals.latency", [[1, 2]] * 3, "service_signals.latency", "latency_s"),
        ("edge_signals.latency_s", [[1]] * 3, "edge_signals.latency_s", "client_latency_s"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(path: str, value: object, key: str, says: str) -> None:
    """The key, and what would be right."""
    with pytest.raises(ConfigError) as refused:
        parse_recording(changed(path, value), source="incident.json")
    assert refused.value.key == key
    assert says in refused.value.reason
    assert str(refused.value).startswith(f"incident.json: {key}: ")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b'"x"'])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    """Empty, cut off, another encoding, too deep, another kind of value."""
    with pytest.raises(ConfigError):
        parse_recording(content)


def test_gzip_is_told_by_its_content(tmp_path: Path) -> None:
    """Whatever the file is called."""
    path = tmp_path / "incident.json"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    ((name, window),) = read_incidents(path)
    assert (name, len(window.services)) == ("incident", 2)


def test_a_gzip_bomb_is_not_unpacked() -> None:
    """A hundred kilobytes that would become a hundred megabytes are refused at the limit."""
    bomb = gzip.compress(b" " * (100 * 2**20))
    with pytest.raises(ConfigError, match="more than 64 MiB"):
        parse_recording(bomb)


@pytest.mark.parametrize("keep", [3, -9])
def test_a_damaged_gzip_is_refused(keep: int) -> None:
    """Cut off in its head or its tail."""
    with pytest.raises(ConfigError, match="gzip"):
        parse_recording(gzip.compress(json.dumps(GOOD).encode())[:keep])


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Missing, or a folder."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_incidents(path)


def test_a_journal_gives_one_window_per_incident(tmp_path: Path) -> None:
    """The last window on record of each; other records do not matter."""
    path = tmp_path / "journal"
    table = RecordTable(path)
    table.open()
    later = {**GOOD, "incident_at": 1}
    table.append(
        [
            json.dumps({"type": "order_taken", "at": 1, "order": "freeze", "by": "me", "reason": "window_taken"}),
            json.dumps({"type": "window_taken", "at": 2, "incident": "i1", "recording": GOOD}),
            json.dumps({"type": "window_taken", "at": 3, "incident": "i2", "recording": GOOD}),
            json.dumps({"type": "window_taken", "at": 4, "incident": "i1", "recording": later}),
        ]
    )
    table.close()
    assert [(name, window.incident_at) for name, window in read_incidents(path)] == [("i1", 1), ("i2", 2)]


def test_a_journal_without_windows_says_so(tmp_path: Path) -> None:
    """Also a database of another program."""
    path = tmp_path / "journal"
    table = RecordTable(path)
    table.open()
    table.close()
    with pytest.raises(ConfigError, match="no incident's window"):
        read_incidents(path)
    other = tmp_path / "other"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(ConfigError, match="no journal of ours"):
        read_incidents(other)
