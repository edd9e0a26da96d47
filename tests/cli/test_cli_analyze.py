"""`controlplane analyze`: for a person, for a program, as a picture, and on files that are broken."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from bench.fleet import case
from controlplane.cli import main
from controlplane.cli.layers import ROW_MAX, place
from controlplane.cli.picture import SHOWN_MAX, draw
from controlplane.decide.analysis.analyze import report
from controlplane.decide.analysis.origin import judge
from controlplane.decide.analysis.recorded import recording_of
from controlplane.decide.analysis.window import Window
from tests.decide.little_shop import CART, DB, WEB, Shop

KEYS = {"origins", "unexplained", "blast", "reproduction_number", "metastable", "plan"}


def failing() -> Window:
    shop = Shop(edges=False)
    shop.service["error_ratio"][shop.bad, DB] = 0.5
    shop.service["error_ratio"][shop.bad, CART] = 0.75
    shop.service["error_ratio"][shop.bad, WEB] = 0.37
    return shop.window(metric="availability")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Window], str]:
    def written(window: Window) -> str:
        path = tmp_path / "incident.json"
        path.write_bytes(msgspec.json.encode(recording_of(window)))
        return str(path)

    return written


def test_a_person_reads_origin_evidence_and_spread(
    write: Callable[[Window], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0; ranked, with numbers."""
    assert main(["analyze", write(failing())]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^origin +1\. db +100%$", said, re.MULTILINE)
    assert "fails 50 % of its requests, usually 0.1 %" in said
    assert re.search(r"^spread +\w+: .* % of requests fail(, in .*)?$", said, re.MULTILINE)
    assert "feedback" in said


@pytest.mark.parametrize("flag", [["--json"], ["-o", "json"]])
def test_a_program_reads_agreed_keys(
    write: Callable[[Window], str], capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    """The keys, and what is in them."""
    assert main(["analyze", write(failing()), *flag]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.keys() >= KEYS
    assert said["origins"][0].keys() == {"service", "score", "evidence"}
    assert said["blast"][0].keys() == {"service", "metric", "expected", "time_to_impact_s"}


def test_a_healthy_recording_has_no_origin(write: Callable[[Window], str], capsys: pytest.CaptureFixture[str]) -> None:
    """Also with --exit-code the status is 0."""
    path = write(Shop().window())
    assert main(["analyze", path, "--json", "--exit-code"]) == 0
    assert json.loads(capsys.readouterr().out)["origins"] == []
    assert main(["analyze", path]) == 0
    assert "nothing here that normal operation does not show" in capsys.readouterr().out


def test_a_script_may_ask_by_status(write: Callable[[Window], str], capsys: pytest.CaptureFixture[str]) -> None:
    """--exit-code: 1 when an origin was found."""
    assert main(["analyze", write(failing()), "--exit-code"]) == 1
    capsys.readouterr()


def test_a_broken_file_is_named_with_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, one line, no traceback."""
    path = tmp_path / "broken.json"
    document = msgspec.to_builtins(recording_of(failing()))
    document["edges"][1] = [0, 9]
    path.write_text(json.dumps(document))
    assert main(["analyze", str(path)]) == 2
    assert capsys.readouterr().err == (f"controlplane: {path}: edges[1][1]: is 9; indices of services go from 0 to 3\n")


def test_what_would_steer_a_terminal_is_not_printed(
    write: Callable[[Window], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are taken from a file that anybody may have written."""
    window = msgspec.structs.replace(failing(), services=("web", "cart", "search", "d\x1b[2Jb"))
    assert main(["analyze", write(window)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_the_picture_is_drawn(
    write: Callable[[Window], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Well-formed, every service by name, the origin filled darkest."""
    path = tmp_path / "incident.svg"
    assert main(["analyze", write(failing()), "--plot", str(path)]) == 0
    capsys.readouterr()
    picture = path.read_text()
    titles = {element.text for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}title")}
    assert {"web", "cart", "search", "db"} <= titles
    assert "Origin: db 100%" in picture
    assert "blame 100%" in picture


def test_names_are_escaped_in_the_picture() -> None:
    """Markup and control characters in a name do not become markup."""
    window = msgspec.structs.replace(failing(), services=("web", "<cart>&", "se\x00arch", '"db"'))
    verdict = judge(window)
    root = ET.fromstring(draw(window, verdict, report(window, verdict)))
    titles = {element.text for element in root.iter("{http://www.w3.org/2000/svg}title")}
    assert {"<cart>&", '"db"'} <= titles


def test_a_large_fleet_is_drawn_in_part_and_says_so() -> None:
    """No more than SHOWN_MAX services, the origin among them."""
    window = case(3, rich=True, fault="errors").window
    many = 150
    extra = tuple(f"x{index}" for index in range(many))
    wide = {name: np.hstack([v, np.ones((len(v), many))]) for name, v in window.service.items()}
    window = msgspec.structs.replace(window, services=(*window.services, *extra), service=wide)
    verdict = judge(window)
    answer = report(window, verdict)
    picture = draw(window, verdict, answer)
    drawn = ET.fromstring(picture).findall(".//{http://www.w3.org/2000/svg}g")
    assert len(drawn) <= SHOWN_MAX
    assert f"of {len(window.services)} services are drawn" in picture
    assert answer.origins[0].service in {element[0].text for element in drawn}


def test_calls_in_a_circle_can_be_drawn() -> None:
    """A cycle has no top; it is drawn all the same."""
    window = msgspec.structs.replace(failing(), edges=np.array([[0, 1], [1, 3], [3, 1], [3, 0]]))
    verdict = judge(window)
    assert draw(window, verdict, report(window, verdict)).endswith("</svg>\n")


def test_the_entry_stands_alone_at_the_top() -> None:
    """Callers stand above callees, and nobody above or beside the entry, not even who is called by nobody."""
    edges = np.array([[0, 1], [1, 2], [3, 2], [4, 1]])
    rows = {v: where.row for v, where in place(5, edges, range(5), entry=0).items()}
    assert [v for v, row in rows.items() if row == 0] == [0]
    assert rows[0] < rows[1] < rows[2]
    assert rows[3] < rows[2]


def test_a_wide_layer_takes_several_rows() -> None:
    """A picture stays as wide as a screen."""
    edges = np.array([[0, v] for v in range(1, 26)])
    places = place(26, edges, range(26), entry=0)
    assert max(where.column for where in places.values()) < ROW_MAX
    assert len({(where.row, where.column) for where in places.values()}) == 26
