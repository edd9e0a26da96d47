"""Notices as lines."""

import io
import json
import time
from datetime import datetime

import pytest

from controlplane.adapters.notify.log import LogNotifier
from controlplane.model.notice import Notice
from controlplane.model.unit import SECOND, IncidentId, Nanos

pytestmark = pytest.mark.anyio

NOTICE = Notice("i1:opened", IncidentId("i1"), "critical", "orders-1 fails\nand \U0001f525", Nanos(5))


async def test_a_notice_is_one_json_line() -> None:
    """Every field, on one line, whatever the text holds."""
    stream = io.StringIO()
    notifier = LogNotifier(stream)
    await notifier.notify(NOTICE)
    await notifier.notify(NOTICE)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    first = json.loads(lines[0])
    assert first.pop("time").endswith("Z")
    assert first == {
        "key": "i1:opened",
        "incident": "i1",
        "severity": "critical",
        "text": "orders-1 fails\nand \U0001f525",
        "at": 5,
    }


async def test_a_line_begins_with_the_wall_clock_time_of_its_notice() -> None:
    """A notice of 90 s ago says so, however late it is written: people put it beside other logs."""
    stream = io.StringIO()
    at = Nanos(time.monotonic_ns() - 90 * SECOND)
    await LogNotifier(stream).notify(Notice("k", None, "info", "text", at))
    line = json.loads(stream.getvalue())
    assert next(iter(line)) == "time"
    assert 89 < time.time() - datetime.fromisoformat(line["time"]).timestamp() < 120


async def test_the_default_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream the line goes where logs go."""
    await LogNotifier().notify(NOTICE)
    assert json.loads(capsys.readouterr().err)["incident"] == "i1"


async def test_a_stream_nobody_reads_is_an_error_for_the_loop_to_count() -> None:
    """A closed stream raises instead of losing the notice in silence."""
    stream = io.StringIO()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        await LogNotifier(stream).notify(NOTICE)
