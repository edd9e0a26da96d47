"""`controlplane replay`: every decision of a journal once more, compared byte for byte.

Exit status: 0 everything that was replayed came out as recorded, 1 something did not, 2 nothing could be replayed.
"""

import sys
from datetime import UTC, datetime

import msgspec

from controlplane import __version__
from controlplane.adapters.stores.history import History, Span
from controlplane.cli.client import printable
from controlplane.decide.replay import EpochReplay, differing, replay
from controlplane.decide.schema import schema_id
from controlplane.model.errors import JournalError


def run_replay(path: str, *, epoch: int | None, output: str) -> int:
    """Replay the journal at `path`, or one epoch of it, and print what was covered and found."""
    found: list[EpochReplay] = []
    with History(path) as history:
        spans = [span for span in history.epochs() if epoch is None or span.epoch == epoch]
        if not spans:
            raise JournalError(f"{path}: " + ("has no epoch" if epoch is None else f"has no epoch {epoch}"))
        for span in spans:
            found.append(_replay(history, span))
            if found[-1].difference is not None:  # what comes later was restored from what differs
                break
    if output == "json":
        text = msgspec.json.format(msgspec.json.encode({"journal": path, "epochs": [_shape(one) for one in found]}))
        sys.stdout.write(text.decode() + "\n")
    else:
        lines = [f"journal  {path}, this is version {__version__}", *(line for one in found for line in _lines(one))]
        print("\n".join(printable(line) for line in lines))
    if found[-1].difference is not None:
        return 1
    return 0 if any(one.inputs for one in found) else 2


def _replay(history: History, span: Span) -> EpochReplay:
    return replay(
        span.epoch,
        before=history.records_before(span.first),
        recorded=history.texts(span),
        rows=history.inputs(span.epoch),
    )


def _lines(one: EpochReplay) -> list[str]:
    lines = [f"epoch {one.epoch}"]
    if one.setup is not None:
        lines += [f"  beware   {what}" for what in differing(one.setup, program=__version__, schema=schema_id())]
        lines.append(f"  covers   {_iso(one, one.began_at)} to {_iso(one, one.ended_at)}")
    lost = f"; {one.records_lost} more that the journal had not taken" if one.records_lost else ""
    lines.append(f"  replayed {one.inputs} inputs, {one.records} records, each as recorded{lost}")
    if one.stopped:
        left = f": {one.records_left} records are not covered" if one.records_left else ""
        lines.append(f"  stopped  {one.stopped}{left}")
    if (found := one.difference) is not None:
        lines += [
            f"  DIFFERS  record {found.record}: {found.reason}",
            f"    told     input {found.input} at {_iso(one, found.at)}: {found.told or 'nothing'}",
            f"    recorded {found.recorded or 'nothing'}",
            f"    came out {found.came_out or 'nothing'}",
        ]
    return lines


def _shape(one: EpochReplay) -> dict[str, object]:
    setup = one.setup
    return {
        "epoch": one.epoch,
        "program": None if setup is None else setup.program,
        "differing_program": [] if setup is None else list(differing(setup, program=__version__, schema=schema_id())),
        "from": None if setup is None else _iso(one, one.began_at),
        "to": None if setup is None else _iso(one, one.ended_at),
        "inputs": one.inputs,
        "records": one.records,
        "records_lost": one.records_lost,
        "records_left": one.records_left,
        "stopped": one.stopped,
        "difference": one.difference,
    }


def _iso(one: EpochReplay, at: int) -> str:
    """By the wall clock as it stood when the epoch began."""
    seconds, nanos = divmod(one.began_wall_ns + at - one.began_at, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
