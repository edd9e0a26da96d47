"""Playbooks in the configuration file itself (`[[playbooks]]`), or in files that it names (`playbooks = ["*.toml"]`).

Each problem names its file and line. A file that is named lies in the folder of the configuration or below it: whoever
may write one playbook must not be able to make the process read what is elsewhere.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controlplane.config.convert import Problems, convert_struct, did_you_mean, shown
from controlplane.config.lines import Path as Place
from controlplane.config.lines import line_at, lines_of
from controlplane.config.shape import misshapen
from controlplane.model.playbook import Playbook

FILES_MAX = 1_000
FILE_BYTES_MAX = 1024 * 1024
_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


class Book:
    """One playbook of a file, and where it stands there: the only one of whom lines can be asked."""

    def __init__(self, source: str, lines: dict[Place, int], number: int) -> None:
        self.source, self._lines, self._number = source, lines, number

    def line(self, path: Place) -> int | None:
        """The line of `path` within the playbook, or of what is nearest around it."""
        return line_at(self._lines, ("playbooks", self._number, *path))


def take_playbooks(raw: dict[str, Any], text: str, source: str, problems: Problems) -> tuple[Playbook, ...]:
    """The playbooks of the file whose content is `raw`, out of which they are taken."""
    found: list[Playbook] = []
    names: dict[str, str] = {}
    for book, table in _tables(raw, text, source, problems):
        name = table.get("name") if isinstance(table, dict) else None
        key = f"playbooks.{name}" if isinstance(name, str) and name else "playbooks"
        own = Problems(book.source)
        one = convert_struct(table, Playbook, own, key)
        if not len(own):
            for path, reason in misshapen(one):
                problems.add_at(key + _key(path), reason, source=book.source, line=book.line(path))
            if before := names.get(one.name):
                text_ = f"{one.name!r} is there already, at {before}; a playbook is known by its name"
                problems.add_at(f"{key}.name", text_, source=book.source, line=book.line(("name",)))
            names.setdefault(one.name, f"{book.source}:{book.line(('name',))}")
            found.append(one)
        for problem in own.found:
            path = _path(problem.key.removeprefix(key))
            problems.add_at(problem.key, problem.reason, source=book.source, line=book.line(path))
    return tuple(found)


def places(source: str) -> dict[str, Book]:
    """Where each playbook of the configuration at `source`, which is known to be right, stands."""
    text = Path(source).read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    return {table["name"]: book for book, table in _tables(raw, text, source, Problems(source))}


def _tables(raw: dict[str, Any], text: str, source: str, problems: Problems) -> Iterator[tuple[Book, Any]]:
    value = raw.pop("playbooks", [])
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        lines = lines_of(text)
        for number, pattern in enumerate(value):
            line = line_at(lines, ("playbooks", number))
            for path in _files(pattern, source, line, problems):
                yield from _of_file(path, problems)
        return
    if not isinstance(value, list) or any(isinstance(one, str) for one in value):
        line = line_at(lines_of(text), ("playbooks",))
        right = 'write [[playbooks]], or name files, as in playbooks = ["playbooks/*.toml"]'
        problems.add_at("playbooks", f"{shown(value)} is no list of tables; {right}", source=source, line=line)
        return
    if value:
        lines = lines_of(text)
        yield from ((Book(source, lines, number), table) for number, table in enumerate(value))


def _files(pattern: str, source: str, line: int | None, problems: Problems) -> list[Path]:
    base = (Path(source).absolute().parent if source else Path.cwd()).resolve()
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
        reason = f"{pattern!r} leaves the folder of the configuration; name files in it, as in 'playbooks/*.toml'"
        problems.add_at("playbooks", reason, source=source, line=line)
        return []
    try:
        found = sorted(path for path in base.glob(pattern) if path.is_file())
    except (ValueError, OSError) as error:
        problems.add_at("playbooks", f"{pattern!r} is no pattern of files: {error}", source=source, line=line)
        return []
    outside = [path for path in found if not path.resolve().is_relative_to(base)]
    if outside:
        reason = f"{outside[0].name} leads out of the folder of the configuration; put the file itself there"
        problems.add_at("playbooks", reason, source=source, line=line)
    elif not found:
        problems.add_at("playbooks", f"no file is named {pattern!r} in {base}", source=source, line=line)
    elif len(found) > FILES_MAX:
        reason = f"{pattern!r} names {len(found)} files, {FILES_MAX} at most are read"
        problems.add_at("playbooks", reason, source=source, line=line)
        return []
    return [path for path in found if path not in outside]


def _of_file(path: Path, problems: Problems) -> Iterator[tuple[Book, Any]]:
    source = str(path)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            problems.add_at("", f"is larger than {FILE_BYTES_MAX} bytes; this is no playbook", source=source, line=None)
            return
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.add_at("", f"cannot be read as TOML: {error}", source=source, line=None)
        return
    lines = lines_of(text)
    for key in [key for key in raw if key != "playbooks"]:
        reason = f"is not a known key{did_you_mean(key, ['playbooks'])}; such a file has [[playbooks]] and nothing else"
        problems.add_at(key, reason, source=source, line=line_at(lines, (key,)))
    value = raw.get("playbooks", [])
    if not isinstance(value, list) or not value or any(isinstance(one, str) for one in value):
        problems.add_at("playbooks", "has no [[playbooks]]", source=source, line=line_at(lines, ("playbooks",)))
        return
    yield from ((Book(source, lines, number), table) for number, table in enumerate(value))


def _path(key: str) -> Place:
    return tuple(int(number) if number else name for name, number in _PART.findall(key))


def _key(path: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
