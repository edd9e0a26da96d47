"""Lines of keys in TOML, held against the standard reader."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.config.lines import line_at, lines_of

TEXT = '''# a comment with [brackets] = "and quotes
title = "a # in a string"   # and one outside
dotted.key . "quoted.part" = 1
[owners.team]
ladder = """several
lines
[not.a.header]
"""
[[playbooks]]
name = 'raw \\'
match = { service = "orders", cause = ["errors",
    "slow",  # with a comment
    "stalled"] }
steps = [
  { do = "eject", zone = "b" },
  { do = "tell", text = "a } and a ] and, a comma" },
]
[[playbooks]]
name = "two"
[playbooks.match]
service = "cart"
[[playbooks.steps]]
do = "isolate"
[[playbooks.steps]]
do = "shed"
percent = 4_0
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("dotted", "key", "quoted.part"), 3),
        (("owners", "team"), 4),
        (("owners", "team", "ladder"), 5),
        (("playbooks", 0), 9),
        (("playbooks", 0, "name"), 10),
        (("playbooks", 0, "match", "service"), 11),
        (("playbooks", 0, "match", "cause", 2), 13),
        (("playbooks", 0, "steps", 1, "text"), 16),
        (("playbooks", 1), 18),
        (("playbooks", 1, "match", "service"), 21),
        (("playbooks", 1, "steps", 0, "do"), 23),
        (("playbooks", 1, "steps", 1, "percent"), 26),
        (("playbooks", 1, "owner"), 18),
    ],
)
def test_each_key_is_found_on_its_line(path: tuple[str | int, ...], line: int) -> None:
    """Strings of every kind, comments, inline tables, lists over several lines; what is not there is near its table."""
    assert line_at(lines_of(TEXT), path) == line


def every_path(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path} - {()} | {each for key, one in pairs for each in every_path(one, (*path, key))}


def test_every_key_that_the_standard_reader_finds_has_a_line() -> None:
    """None is left out, none is made up."""
    assert set(lines_of(TEXT)) == every_path(tomllib.loads(TEXT))


@given(st.text(alphabet="ab1.=[]{},\"'#\n \\\t", max_size=60))
def test_whatever_is_written_the_scan_ends(text: str) -> None:
    """And where the standard reader takes the text, no key of its is missing."""
    found = lines_of(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    assert every_path(raw) <= set(found)
