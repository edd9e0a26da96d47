"""The page about replaying a journal does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "replay.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_pages_plane_replays(tmp_path: Path) -> None:
    """The program as it stands there writes a journal, the command as it stands there replays it, as it shows."""
    (program,), (command,) = blocks("python"), blocks("sh")
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert command.split()[:2] == ["controlplane", "replay"]
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PAGE.parent.parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    shown = blocks("text")[0]
    assert re.sub(r"\d", "0", done.stdout) == re.sub(r"\d", "0", shown)
