"""Playbooks in files: each seeded fault is found, on its line, and nothing else is."""

import re
import time
from pathlib import Path

import pytest

from controlplane.cli import main
from controlplane.config import load_config, load_linted, parse_config
from controlplane.model.errors import ConfigError

HERE = Path(__file__).parent
FAULT = re.compile(r"# FAULT: (.*)$")
SERVICES, DIZZY = (HERE / "shop.toml").read_text(), (HERE / "dizzy.toml").read_text()


def seeded(path: Path) -> dict[int, list[str]]:
    """What the comments of the file say is wrong with each line, several divided by a bar."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {number: found[1].split(" | ") for number, line in lines if (found := FAULT.search(line))}


def shop(folder: Path, playbooks: str, more: str = "") -> Path:
    """The shop's configuration, and `more` of it, with those playbooks in a file of their own."""
    (folder / "playbooks").mkdir(exist_ok=True)
    (folder / "playbooks" / "ours.toml").write_text(playbooks)
    file = folder / "controlplane.toml"
    file.write_text('playbooks = ["playbooks/*.toml"]\n' + SERVICES + more)
    return file


def told(found: tuple[ConfigError, ...]) -> dict[int, list[str]]:
    lines: dict[int, list[str]] = {}
    for one in found:
        assert one.source.endswith("playbooks/ours.toml"), one
        lines.setdefault(one.line, []).append(one.reason)
    return lines


def agree(found: dict[int, list[str]], wanted: dict[int, list[str]]) -> None:
    assert {line: len(reasons) for line, reasons in found.items()} == {
        line: len(one) for line, one in wanted.items()
    }, found
    for line, words in wanted.items():
        for word in words:
            assert any(word in reason for reason in found[line]), (line, word, found[line])


def test_each_fault_of_a_broken_file_is_found_on_its_line(tmp_path: Path) -> None:
    """Playbooks that do not fit their topology, policy, people or each other; no line is accused that is right."""
    broken = HERE / "broken.toml"
    wanted = seeded(broken)
    assert sum(map(len, wanted.values())) >= 20
    _, findings = load_linted(shop(tmp_path, broken.read_text(), DIZZY))
    agree(told(findings), wanted)


def test_a_ladder_that_goes_round_is_named_though_no_playbook_leads_to_it(tmp_path: Path) -> None:
    """In the configuration itself, on its line; every ladder of the circle."""
    file = shop(tmp_path, (HERE / "good.toml").read_text(), DIZZY)
    _, findings = load_linted(file)
    text = file.read_text().splitlines()
    assert [text[one.line - 1].split()[0] for one in findings] == ["then", "then"]
    assert [one.reason.endswith("round -> and-round -> round") for one in findings] == [True, False]


def test_each_fault_of_a_misshapen_file_is_found_on_its_line(tmp_path: Path) -> None:
    """Words that contradict themselves refuse the whole configuration, all of them at once."""
    broken = HERE / "misshapen.toml"
    with pytest.raises(ConfigError) as refused:
        load_config(shop(tmp_path, broken.read_text()))
    agree(told(refused.value.problems), seeded(broken))


def test_check_names_file_and_line_and_says_that_the_process_would_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an editor understands it: file, colon, line; with exit status 1."""
    file = shop(tmp_path, (HERE / "broken.toml").read_text())
    assert main(["check", str(file)]) == 1
    said = capsys.readouterr().err
    for line in seeded(HERE / "broken.toml"):
        assert f"{tmp_path / 'playbooks' / 'ours.toml'}:{line}: playbooks." in said
    assert "the process would start" in said
    assert load_config(file).playbooks


def test_a_good_file_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent, and the summary counts."""
    file = shop(tmp_path, (HERE / "good.toml").read_text())
    assert main(["check", str(file)]) == 0
    answer = capsys.readouterr()
    assert answer.err == ""
    assert "playbooks  3, 2 of them in shadow" in answer.out


@pytest.mark.parametrize("pattern", ["/etc/*.toml", "../*.toml", "playbooks/../../x.toml", ""])
def test_no_file_beyond_the_folder_is_read(tmp_path: Path, pattern: str) -> None:
    """An absolute path, or one that climbs, is refused with the line that names it."""
    file = tmp_path / "controlplane.toml"
    file.write_text(f'playbooks = [\n  "{pattern}",\n]\n{SERVICES}')
    with pytest.raises(ConfigError, match="leaves the folder") as refused:
        load_config(file)
    assert refused.value.line == 2


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    """A link to a file elsewhere is as good as its path."""
    (tmp_path / "secret.toml").write_text("[[playbooks]]\n")
    inner = tmp_path / "shop"
    inner.mkdir()
    (inner / "linked.toml").symlink_to(tmp_path / "secret.toml")
    file = inner / "controlplane.toml"
    file.write_text(f'playbooks = ["linked.toml"]\n{SERVICES}')
    with pytest.raises(ConfigError, match="leads out of the folder"):
        load_config(file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('playbooks = ["none/*.toml"]', "no file is named"),
        ('playbooks = ["a**b.toml"]', "is no pattern of files"),
        ("playbooks = 7", "is no list of tables"),
        ('playbooks = [ "a.toml", { name = "x" } ]', "is no list of tables"),
        ('[[playbooks]]\nname = "x"\nsteps = []', "is missing"),
        ('[[playbooks]]\nname = "x"\nmatch = 3\nsteps = []', "is not a table"),
        ('[[playbooks]]\nname = "a b"\nmatch = {service = "orders"}\nsteps = [{do = "isolate"}]', "is no name"),
    ],
)
def test_what_is_no_list_of_playbooks_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    """Whatever stands under that key."""
    file = tmp_path / "controlplane.toml"
    file.write_text(f"{text}\n{SERVICES}")
    with pytest.raises(ConfigError, match=reason):
        load_config(file)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[[playbooks", b"other = 1\n", b"", b"playbooks = ['a.toml']\n"])
def test_a_file_that_is_no_playbook_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    """Other encodings, other formats, other keys, nothing at all, files that name files."""
    file = shop(tmp_path, "")
    (tmp_path / "playbooks" / "ours.toml").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert all("ours.toml" in str(one) for one in refused.value.problems)


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    """A playbook is known by its name, wherever it stands; the message says where the other one is."""
    good = (HERE / "good.toml").read_text()
    file = shop(tmp_path, good)
    (tmp_path / "playbooks" / "theirs.toml").write_text(good)
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert len(refused.value.problems) == 3
    assert all("is there already, at" in one.reason and "ours.toml:" in one.reason for one in refused.value.problems)


def test_playbooks_stand_in_the_configuration_itself_too() -> None:
    """As `[[playbooks]]`, where no file is at hand."""
    config = parse_config(SERVICES + (HERE / "good.toml").read_text())
    assert [one.name for one in config.playbooks] == ["zone-b-out", "bad-release", "payments-down"]
    assert [one.enforce for one in config.playbooks] == [True, False, False]


def test_hundreds_of_playbooks_are_checked_in_a_moment(tmp_path: Path) -> None:
    """`check` answers before a person notices, although each playbook is held against every other one."""
    one = '[[playbooks]]\nname = "p{0}"\nowner = "shop-team"\nmatch = {{ service = "orders" }}\n'
    one += 'steps = [{{ do = "tell", text = "{0}" }}]\n'
    file = shop(tmp_path, "".join(one.format(number) for number in range(300)))
    began = time.perf_counter()
    _, findings = load_linted(file)
    assert findings == ()
    assert time.perf_counter() - began < 5
