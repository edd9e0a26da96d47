"""The page on histograms, run as printed."""

import re
import subprocess
import sys
from pathlib import Path

from controlplane.adapters import histogram

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "histograms.md").read_text()


def block(language: str) -> str:
    """The page's first fenced block of `language`."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_program_prints_what_the_page_says(tmp_path: Path) -> None:
    """And leaves the two files that the page speaks of, for other tools to read."""
    (tmp_path / "latencies.py").write_text(block("python"))
    done = subprocess.run(
        [sys.executable, "latencies.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(histogram.__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == block("text")
    assert (tmp_path / "orders.hlog").read_text().startswith("#orders, in nanoseconds\n")
    assert (tmp_path / "orders.hgrm").read_text().lstrip().startswith("Value")


def test_the_names_on_the_page_exist() -> None:
    """Every name in the right column of its table is a histogram's, or the package's."""
    rows = re.findall(r"^\|.*\|(.*)\|$", PAGE, re.MULTILINE)[2:]
    names = {name for row in rows for name in re.findall(r"`(\w+)", row)} - {"hdrhistogram"}
    assert len(names) > 15
    assert {name for name in names if not hasattr(histogram.Histogram, name) and not hasattr(histogram, name)} == set()
