"""The page on analyzing an incident, run as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "analyze-an-incident.md").read_text()


def test_the_recording_on_the_page_is_analyzed_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program writes the file, the command prints the text."""
    program, text = (
        re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for kind in ("python", "text")
    )
    assert program is not None
    assert text is not None
    subprocess.run([sys.executable, "-c", program[1]], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert main(["analyze", "incident.json"]) == 0
    assert capsys.readouterr().out == text[1]
