"""Markdown out of names and sentences that may come from anybody.

Nothing in them may become markup: no table cell may end early, no HTML run, no link or mention lead anywhere.
"""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\`*\[\]<>&|#~!@]|(?<![^\W_])_|_(?![^\W_])")
_ENTITY = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
_LINK = re.compile(r"(?i)\b(www)\.|://")
_BLOCK = re.compile(r"^\s*([-+=]|\d+[.)])(?=\s|$)")


def plain(value: object) -> str:
    """`value` as text that says the same and marks nothing up, on one line."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))
    text = _SPECIAL.sub(lambda found: _ENTITY.get(found[0], f"\\{found[0]}"), text)
    return _LINK.sub(lambda found: f"{found[1]}&#46;" if found[1] else ":&#47;&#47;", text)


def line(value: object) -> str:
    """`plain` text that begins a line: nor may it begin a list, or turn the line above into a heading."""
    return _BLOCK.sub(lambda found: f"&#{ord(found[1][0])};{found[1][1:]}", plain(value))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table whose cells are plain text; without rows none."""
    lines = [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    if not lines:
        return []
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines]


def section(title: str, *paragraphs: str | Sequence[str]) -> list[str]:
    """A heading and what stands under it, each paragraph a line or a block of lines; without any: nothing."""
    blocks = [block for block in ([one] if isinstance(one, str) else list(one) for one in paragraphs) if any(block)]
    if not blocks:
        return []
    lines = [f"## {title}", ""]
    for block in blocks:
        lines += [*block, ""]
    return lines


def listed(items: Iterable[str]) -> list[str]:
    """Lines of a list of plain text."""
    return [f"- {line(item)}" for item in items]
