"""On which line of a TOML text each key stands. The standard reader does not say, and a person looks for lines.

For a text that the standard reader has taken: nothing is refused here, and what is not understood is passed over.
"""

import re

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_QUOTED = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1 on, of each key, table and list element, by its path: ("playbooks", 0, "steps", 1, "do")."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


def line_at(lines: dict[Path, int], path: Path) -> int | None:
    """The line of `path`, or of what is nearest around it; None: of nothing there."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


class _Scan:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._line, self._counted = 1, 0
        self._lists: dict[Path, int] = {}  # how many tables each list of tables has so far
        self.lines: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while True:
            self._skip()
            if self._at >= len(self._text):
                return
            before = self._at
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            if self._at == before:  # not understood: on with the next character, never for ever
                self._at += 1

    def _header(self) -> Path:
        many = self._text.startswith("[[", self._at)
        line = self._here()
        self._at += 2 if many else 1
        path: Path = ()
        parts = self._key()
        for number, part in enumerate(parts):
            path = (*path, part)
            self.lines.setdefault(path, line)
            if many and number == len(parts) - 1:
                self._lists[path] = self._lists.get(path, 0) + 1
            if path in self._lists:
                path = (*path, self._lists[path] - 1)
        self.lines.setdefault(path, line)
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end
        return path

    def _pair(self, table: Path) -> None:
        self._skip()
        line = self._here()
        parts = self._key()
        if not parts:
            return
        path = (*table, *parts)
        for length in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:length], line)
        self._skip()
        if self._text.startswith("=", self._at):
            self._at += 1
            self._value(path)

    def _value(self, path: Path) -> None:
        self._skip()
        mark = self._text[self._at : self._at + 1]
        if mark == "[":
            self._at += 1
            self._list(path)
        elif mark == "{":
            self._at += 1
            self._inline(path)
        elif mark in ('"', "'"):
            self._quoted()
        else:
            found = _SCALAR.match(self._text, self._at)
            self._at = found.end() if found else self._at + 1

    def _list(self, path: Path) -> None:
        number = 0
        while self._more("]"):
            self.lines[(*path, number)] = self._here()
            before = self._at
            self._value((*path, number))
            number += 1
            self._at += self._at == before

    def _inline(self, path: Path) -> None:
        while self._more("}"):
            before = self._at
            self._pair(path)
            self._at += self._at == before

    def _more(self, end: str) -> bool:
        """Whether another element follows; passes over commas, and over `end`."""
        while True:
            self._skip()
            mark = self._text[self._at : self._at + 1]
            if mark in ("", end):
                self._at += 1
                return False
            if mark != ",":
                return True
            self._at += 1

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            while self._text[self._at : self._at + 1] in (" ", "\t"):
                self._at += 1
            if self._text[self._at : self._at + 1] in ('"', "'"):
                parts.append(self._quoted()[1:-1])
            elif found := _BARE.match(self._text, self._at):
                self._at = found.end()
                parts.append(found[0])
            while self._text[self._at : self._at + 1] in (" ", "\t"):
                self._at += 1
            if not parts or not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _quoted(self) -> str:
        for form in _QUOTED:
            if found := form.match(self._text, self._at):
                self._at = found.end()
                return found[0]
        self._at += 1
        return ""

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = max(self._counted, self._at)
        return self._line
