"""Recordings of incidents in files: `controlplane.recording/1` as JSON, plain or gzip, and a journal's windows.

A file is believed in nothing. What is read is bounded: RECORDING_BYTES_MAX of JSON, also when it comes out of a small
gzip file that would unpack to more. What is wrong is refused with a ConfigError that names the key.
"""

import json
import re
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import get_args

import msgspec

from controlplane.decide.analysis.recorded import window_of
from controlplane.decide.analysis.window import Window
from controlplane.model.errors import ConfigError
from controlplane.model.recording import FORMAT, EdgeSignal, Recording, Rows, ServiceSignal

RECORDING_BYTES_MAX = 64 * 1024 * 1024  # 45 services, 300 buckets and every signal are about 2 MB
_GZIP = b"\x1f\x8b"
_SQLITE = b"SQLite format 3\x00"
_GZIP_WINDOW = 31  # zlib's word for: gzip, largest window
_WINDOW_RECORD = "window_taken"
_PATH = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)


class _Taken(msgspec.Struct):
    type: str = ""
    incident: str = ""
    recording: Recording | None = None


def read_incidents(path: str | Path) -> list[tuple[str, Window]]:
    """Every incident in the file with its name: one of a recording, one per incident of a journal.

    Raises ConfigError for a file that is neither, and names the key that is wrong.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_SQLITE))
            if head == _SQLITE:
                return _read_journal(file)
            content = head + opened.read(RECORDING_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", source=str(path)) from None
    name = file.name.removesuffix(".gz").removesuffix(".json")
    return [(name, parse_recording(content, source=str(path)))]


def parse_recording(content: bytes, *, source: str = "") -> Window:
    """The window in `content`, JSON or gzip of it. Raises ConfigError that names the key and what would be right."""
    try:
        return window_of(_decode(_unpacked(content)))
    except ConfigError as error:
        raise ConfigError(error.reason, key=error.key, source=source) from None


def _unpacked(content: bytes) -> bytes:
    if content[:2] == _GZIP:
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            text = unpacker.decompress(content, RECORDING_BYTES_MAX + 1)
        except zlib.error as error:
            raise ConfigError(f"is a damaged gzip file ({error}); pack it again") from None
        if len(text) <= RECORDING_BYTES_MAX and not unpacker.eof:
            raise ConfigError("is a gzip file that ends too early; copy it again")
        content = text
    if len(content) > RECORDING_BYTES_MAX:
        raise ConfigError(f"holds more than {RECORDING_BYTES_MAX // 2**20} MiB of JSON; take fewer buckets or services")
    return content


def _decode(content: bytes) -> Recording:
    try:
        return msgspec.json.decode(content, type=Recording)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return _decode_slowly(content, error)


def _decode_slowly(content: bytes, error: Exception) -> Recording:
    """Again, with an eye for what is wrong: a signal that is null is none, and NaN, which is not JSON, has a place."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigError(f"is not JSON: {error}; {FORMAT} is one JSON object, unknown values are null") from None
    if isinstance(raw, dict):
        for group, known in (("service_signals", get_args(ServiceSignal)), ("edge_signals", get_args(EdgeSignal))):
            signals = raw.get(group)
            if signals is None:
                raw.pop(group, None)
            elif isinstance(signals, dict):
                raw[group] = {name: rows for name, rows in signals.items() if rows is not None}
                _check_signals(group, raw[group], known)
    try:
        return msgspec.convert(raw, Recording)
    except msgspec.ValidationError as wrong:
        raise _named(str(wrong)) from None


def _check_signals(group: str, signals: dict[str, object], known: Sequence[str]) -> None:
    for name, rows in signals.items():
        if name not in known:
            raise ConfigError(f"is unknown; it must be one of {', '.join(known)}", key=f"{group}.{name}")
        try:
            msgspec.convert(rows, Rows)
        except msgspec.ValidationError as wrong:
            raise _named(str(wrong), prefix=f"{group}.{name}") from None


def _named(message: str, prefix: str = "") -> ConfigError:
    """msgspec's message, its path turned into a key, and what would be right where that is not said."""
    found = _PATH.match(message)
    reason, path = (found["reason"], found["path"] or "") if found else (message, "")
    key = (prefix + path.removeprefix("$")).removeprefix(".")
    missing = re.search(r"missing required field `(\w+)`", reason)
    if missing:
        key = f"{key}.{missing[1]}".lstrip(".")
        reason = f"is missing; a {FORMAT} file must have it"
    elif key == "format":
        reason = f'{reason}; this version reads "{FORMAT}"'
    elif key == "entry.metric":
        reason = f'{reason}; it is "availability", "latency" or null'
    return ConfigError(reason, key=key)


def _read_journal(path: Path) -> list[tuple[str, Window]]:
    """The windows that the engine put on record when incidents opened, oldest first. Nothing is written to the file."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            texts = [text for (text,) in connection.execute("SELECT record FROM records ORDER BY number")]
    except sqlite3.Error as error:
        raise ConfigError(f"is a SQLite file, but no journal of ours: {error}", source=str(path)) from None
    windows: dict[str, Window] = {}
    for number, text in enumerate(texts, 1):
        if _WINDOW_RECORD not in text:
            continue
        try:
            taken = msgspec.json.decode(text, type=_Taken)
            if taken.type == _WINDOW_RECORD and taken.recording is not None:
                windows[taken.incident] = window_of(taken.recording)  # a later window of the same incident knows more
        except (msgspec.MsgspecError, ConfigError) as error:
            raise ConfigError(f"record {number}: {error}", source=str(path)) from None
    if not windows:
        raise ConfigError(
            "is a journal in which no incident's window is on record; record one, or name a recording", source=str(path)
        )
    return list(windows.items())
