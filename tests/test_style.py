"""The house style, where a machine can check it: sizes, names, docstrings, waits, what lies at the top."""

import ast
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "controlplane").rglob("*.py"))
NATIVE = sorted(path for path in (ROOT / "_native").iterdir() if path.suffix in {".pyx", ".pxd", ".pxi", ".h"})
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BENCHES = sorted((ROOT / "bench").rglob("*.py"))
PYTHON = [*PACKAGE, *TESTS, *BENCHES, ROOT / "setup.py"]
OURS = [
    *PYTHON,
    *NATIVE,
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "Makefile",
    ROOT / "pyproject.toml",
]

LINES_MAX = 400
LINES_MEDIAN_MAX = 170
LONG_FOR_A_REASON: dict[str, str] = {  # path: reason
    "_native/world.pyx": "one class whose methods are the events of one heap; a cdef class cannot be split over files",
}

TOP = {
    "pyproject.toml", "setup.py", "README.md", "controlplane", "_native", "bench", "tests", "docs",
    "Makefile", "CHANGELOG.md", "LICENSE", "MANIFEST.in",
}  # fmt: skip
GENERATED = {"build", "dist", "controlplane.egg-info", "__pycache__"}

UNION_BASES = {"SignalBase", "RecordBase"}
BANNED_NAME = re.compile(r"(^|_)(manager|helper|helpers|util|utils|misc)(_|$)|^handle_|Manager|Helper")
IMPOSED_NAMES = {"handle_async_request", "handle_error", "handle_exit"}  # httpx's, socketserver's and uvicorn's words
VIRTUAL_WAIT = re.compile(r"\b(?:trio|anyio)\.sleep\(")  # no time passes where a MockClock is
FIXED_WAIT = re.compile(r"\b(?:time|asyncio|trio|anyio)\.sleep\(\s*(?![)0]\s*\)|inf\b)")
EXCUSE = "# real time: "


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def faults(paths: Iterable[Path], find: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    """What `find` finds, by file: one test for a rule and all files, which says all of what breaks it."""
    return {relative(path): found for path in paths if (found := find(path))}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def public(module: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    # members of a tagged union (records, signals, intents) are named by a sentence and explained by their fields
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            bases = [base.id for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]
            if not any(base.startswith("_") or base in UNION_BASES for base in bases):
                yield node


def names(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_no_file_outgrows_a_reader() -> None:
    """No source file is longer than 400 lines, except those that say why; and no excuse outlives its file."""
    long = {relative(path): lines(path) for path in [*PACKAGE, *NATIVE] if lines(path) > LINES_MAX}
    assert {name: count for name, count in long.items() if name not in LONG_FOR_A_REASON} == {}
    assert [name for name in LONG_FOR_A_REASON if name not in long] == []


def test_files_are_short_by_habit() -> None:
    """The median source file (packages' fronts apart) stays near 150 lines."""
    assert (
        statistics.median(lines(path) for path in [*PACKAGE, *NATIVE] if path.name != "__init__.py") <= LINES_MEDIAN_MAX
    )


def test_what_is_public_says_what_it_is() -> None:
    """Every module of the package has a docstring, and so has every public class and function in it."""

    def silent(path: Path) -> list[str]:
        module = tree(path)
        found = [] if ast.get_docstring(module) or not module.body else [path.name]
        nameless = [node for node in public(module) if not (ast.get_docstring(node) or "").strip()]
        return found + [f"{node.name} (line {node.lineno})" for node in nameless]

    assert faults(PACKAGE, silent) == {}


def test_every_test_states_its_fact() -> None:
    """Every test function has a docstring, the fact in a sentence."""

    def silent(path: Path) -> list[str]:
        functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [node.name for node in functions if node.name.startswith("test_") and not ast.get_docstring(node)]

    assert faults(TESTS, silent) == {}


def test_names_come_from_the_field() -> None:
    """No name that says nothing: manager, helper, utils, handle_*."""

    def empty(path: Path) -> list[str]:
        found = {*names(tree(path)), path.stem}
        return sorted({name for name in found if BANNED_NAME.search(name)} - IMPOSED_NAMES)

    assert faults(PYTHON, empty) == {}


def test_no_test_sleeps_and_hopes() -> None:
    """No test waits a fixed time, unless the line says for which reason the time is real."""

    def hopes(path: Path) -> list[str]:
        text = path.read_text()
        waits = [line.strip() for line in text.splitlines() if FIXED_WAIT.search(line) and EXCUSE not in line]
        return [line for line in waits if not (VIRTUAL_WAIT.search(line) and "MockClock" in text)]

    assert faults(TESTS, hopes) == {}


def test_nothing_is_left_to_do_and_no_machine_is_named() -> None:
    """No note of unfinished work, no path of the machine it was written on, no trailing blank."""

    def left(path: Path) -> list[str]:
        text = path.read_text()
        found = re.findall(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b", text)
        found += re.findall(r"(?<![\w.])/(?:work|home|root|Users)/\w+", text)
        numbered = enumerate(text.splitlines(), 1)
        found += [f"line {number} ends in a blank" for number, line in numbered if line != line.rstrip()]
        return found if text.endswith("\n") or not text else [*found, "its last line has no end"]

    assert faults(OURS, left) == {}


def test_the_top_holds_what_a_reader_expects() -> None:
    """At the top lie the agreed files and folders; the rest is generated or begins with a dot."""
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - GENERATED
    assert found - TOP == set()
    assert TOP - found == set()
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_readme_shows_commands_that_exist() -> None:
    """Every `make` command of the README is a target, and the two that matter come first, each on a line of its own."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = re.findall(r"^make (\w+)$|`make (\w+)`", readme, re.MULTILINE)
    assert {name for pair in shown for name in pair if name} <= targets
    assert readme.index("\nmake demo\n") < readme.index("\nmake test\n") < readme.index("## Install")


def test_ci_runs_what_the_readme_shows() -> None:
    """`.ci/run` runs the README's commands, as written, and nothing that a reader could not."""
    script = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^make test$", script, re.MULTILINE)
    assert re.search(r"^ *(if )?make demo", script, re.MULTILINE)


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of the documentation names a file or folder that exists."""

    def broken(path: Path) -> list[str]:
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text())
        return [link for link in links if not (path.parent / link).exists()]

    assert faults([ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], broken) == {}
