"""Which files become an arena, which are one, which are replaced, and which are refused and left as they were."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.adapters.arena import Arena, geometry
from controlplane.adapters.arena import arena as module
from controlplane.adapters.arena.geometry import BEGUN, MAGIC, Geometry
from controlplane.model.errors import ArenaError, ArenaMismatch
from tests.adapters.arena.conftest import REGIONS, WORKERS, Attach


def test_only_its_owner_may_read_or_write_it(attach: Attach, path: Path) -> None:
    """The file and the bells beside it are made with mode 600, whatever the umask."""
    before = os.umask(0)
    try:
        attach()
    finally:
        os.umask(before)
    assert {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {
        "arena": 0o600,
        "arena.bell.0": 0o600,
    }


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(attach: Attach, path: Path, mode: int) -> None:
    """Who writes it steers traffic. The message says what would be right."""
    attach().close()
    path.chmod(mode)
    with pytest.raises(ArenaError, match=rf"others may write it \(mode {mode:o}\); make it 600"):
        attach()


def test_a_file_of_another_user_is_refused(attach: Attach, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns it may make it writable for himself again."""
    attach().close()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(ArenaError, match=f"it belongs to user {user}, not {user + 1}"):
        attach()


def test_a_symbolic_link_is_refused(attach: Attach, path: Path) -> None:
    """And what it leads to is not touched."""
    target = path.with_name("target")
    target.write_text("precious")
    path.symlink_to(target)
    with pytest.raises(ArenaError, match="cannot be opened: it is a symbolic link"):
        attach()
    assert target.read_text() == "precious"


def test_what_is_no_file_is_refused(attach: Attach, path: Path) -> None:
    """A folder, a pipe, a place where nothing can be: each with the system's or our reason, none with a wait."""
    path.mkdir()
    with pytest.raises(ArenaError, match="cannot be opened: Is a directory"):
        attach()
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(ArenaError, match="it is not a regular file"):
        attach()
    with pytest.raises(ArenaError, match="cannot be opened: No such file or directory"):
        Arena.attach(str(path.with_name("absent") / "arena"), REGIONS)


@pytest.mark.parametrize(
    "content",
    [
        b"[arena]\nworkers = 4\n",
        bytes(16) + b"an image that begins with zeros",
        bytes(geometry.HEAD_MAX + 5_000_000) + b"far behind",
        b"controlplane 02\n" + bytes(5000),
        MAGIC[:7],
    ],
    ids=["text", "few zeros", "many zeros", "newer", "short"],
)
def test_a_strangers_file_is_refused_and_left_as_it_was(attach: Attach, path: Path, content: bytes) -> None:
    """A wrong path in a configuration must not cost anybody a file."""
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ArenaError, match="is not an arena of this version; remove it, or name another path"):
        attach()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [b"", bytes(10), bytes(70_000), BEGUN, BEGUN + bytes(9000), BEGUN + b"half a description"],
    ids=["empty", "zeros", "many zeros", "begun", "reserved", "half described"],
)
def test_one_that_was_not_finished_is_made_anew(attach: Attach, path: Path, content: bytes) -> None:
    """Whoever began it was killed, or the machine lost its power: there was nothing in it yet."""
    path.write_bytes(content)
    path.chmod(0o600)
    one, other = attach(), attach()
    one.region("guard db")[6] = 5
    assert other.region("guard db").tolist() == [0] * 6 + [5]
    assert path.read_bytes().startswith(MAGIC)


@pytest.mark.parametrize(
    ("regions", "workers", "difference"),
    [
        ({"guard cart": 101, "guard db": 7}, 4, "'guard cart' in 100 words, not 101"),
        ({"guard cart": 100}, 4, "'guard db' in 7 words, not none"),
        ({**REGIONS, "guard web": 3}, 4, "'guard web' in no words, not 3"),
        ({"guard db": 7, "guard cart": 100}, 4, "its regions in another order"),
        (REGIONS, 5, "places for 4 workers, not 5"),
    ],
    ids=["size", "fewer", "more", "order", "workers"],
)
def test_another_geometry_is_refused_while_it_lives_and_replaced_afterwards(
    attach: Attach, path: Path, regions: dict[str, int], workers: int, difference: str
) -> None:
    """The message says what differs and who is in the way; nobody in the way is disturbed."""
    living = attach(role="steers")
    living.region("guard db")[0] = 7
    with pytest.raises(ArenaMismatch, match=rf"has {difference}, and is in use by {os.getpid()} \(steers\)"):
        attach(regions, workers=workers)
    assert attach().region("guard db")[0] == 7
    for arena in (living, attach()):
        arena.close()
    with pytest.raises(ArenaMismatch, match="follows"):  # the second one is still there
        attach(regions, workers=workers)


def test_one_of_another_geometry_that_nobody_uses_is_replaced(attach: Attach, path: Path) -> None:
    """Its words are gone, and so is everything that lay beside it."""
    old = [attach() for _ in range(WORKERS)]
    old[0].region("guard db")[0] = 7
    for arena in old:
        arena._bell.close(remove=False)  # as a killed process leaves it
        os.close(arena._fd)
        arena.is_attached = False
        module._attached.discard(arena)
    new = attach({"guard db": 7}, workers=2)
    assert new.region("guard db").tolist() == [0] * 7
    assert new.dead() == []
    assert sorted(one.name for one in path.parent.iterdir()) == ["arena", "arena.bell.0"]


def test_one_of_another_boot_is_replaced(attach: Attach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks began anew with the machine: no time in it means anything. While it is in use that cannot be."""
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(module, "_BOOT", boot)
    boot.write_text("one\n")
    old = attach()
    old.region("guard db")[0] = 7
    boot.write_text("two\n")
    with pytest.raises(ArenaMismatch, match="has another boot, and is in use by"):
        attach()
    old.close()
    assert attach().region("guard db")[0] == 0


@pytest.mark.parametrize("size", [-64, 64])
def test_one_of_the_wrong_size_is_refused(attach: Attach, path: Path, size: int) -> None:
    """Reading beyond the end of a mapped file kills; so it is looked at first."""
    attach().close()
    right = path.stat().st_size
    os.truncate(path, right + size)
    with pytest.raises(ArenaError, match=f"is damaged: it has {right + size} bytes, not {right}"):
        attach()


@pytest.mark.parametrize("head", [bytes(1 << 16), BEGUN], ids=["zeros", "begun"])
def test_one_that_lost_its_head_is_not_replaced_under_who_uses_it(attach: Attach, path: Path, head: bytes) -> None:
    """A second file beside theirs would be a second limit; a shorter one would kill them."""
    living = attach()
    with path.open("r+b") as file:
        file.write(head[: path.stat().st_size])
    with pytest.raises(ArenaError, match="it has lost its head; stop all that use it and remove it"):
        attach()
    assert living.region("guard db").tolist() == [0] * 7
    living.close()
    assert attach().region("guard db").tolist() == [0] * 7


def test_a_full_disk_is_told_at_the_start(attach: Attach, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a SIGBUS in the middle of a call; no room is kept, and when there is some it goes on."""

    def full(fd: int, offset: int, length: int) -> None:
        os.ftruncate(fd, length // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(ArenaError, match=r"needs \d+ bytes: No space left on device"):
            attach()
    assert path.stat().st_size == 0
    assert attach().is_attached


def test_a_limit_of_the_system_is_told_at_the_start(path: Path) -> None:
    """The same with a limit that the kernel enforces."""
    program = """
import resource, sys
from controlplane.adapters.arena import Arena
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
Arena.attach(sys.argv[1], {"guard": 10_000})
"""
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60)
    assert ended.stderr.splitlines()[-1].endswith("bytes: File too large")
    assert "ArenaError" in ended.stderr.splitlines()[-1]
    assert ended.returncode == 1


def test_a_file_that_is_replaced_while_one_waits_is_not_attached(
    attach: Attach, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for the lock of a file that is gone by then takes the one that is there."""
    attach().close()
    real, opened = module.lock_exclusive, []

    def replaced(fd: int, name: str) -> None:
        opened.append(os.fstat(fd).st_ino)
        if len(opened) == 1:
            path.rename(path.with_name("old"))
        real(fd, name)

    monkeypatch.setattr(module, "lock_exclusive", replaced)
    arena = attach()
    assert opened == [path.with_name("old").stat().st_ino, path.stat().st_ino]
    assert os.fstat(arena._fd).st_ino == path.stat().st_ino


def test_a_file_that_is_replaced_again_and_again_ends_in_an_error(
    attach: Attach, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a loop."""
    monkeypatch.setattr(module, "lock_exclusive", lambda fd, name: path.unlink())
    with pytest.raises(ArenaError, match="is replaced again and again by others"):
        attach()


def test_who_stays_with_a_removed_file_leaves_the_new_ones_bells_alone(attach: Attach, path: Path) -> None:
    """Somebody removed the file under living processes: those of the new one are still woken when the old ones end."""
    old, gone = attach(), attach()
    gone.close()
    path.unlink()
    new = [attach(), attach()]
    assert [arena.worker for arena in new] == [0, 1]
    assert old.dead() == [1]
    old.vacate(1)
    old.close()
    assert sorted(one.name for one in path.parent.iterdir()) == ["arena", "arena.bell.0", "arena.bell.1"]


def test_four_thousand_regions_are_found_in_no_time(attach: Attach) -> None:
    """Where a region begins is reckoned once, not once for each."""
    regions = {f"guard {number}": 9 for number in range(4096)}
    arena = attach(regions)
    for number, name in enumerate(regions):
        arena.region(name)[8] = number
    assert [attach(regions).region(name)[8] for name in list(regions)[:3]] == [0, 1, 2]
    assert arena.region("guard 4095")[8] == 4095


# fuzz: nothing in a file crashes or hangs whoever attaches


def whole(path: Path) -> bytes:
    """An arena that nobody uses any more."""
    path.unlink(missing_ok=True)
    arena = Arena.attach(str(path), REGIONS, workers=WORKERS)
    arena.region("guard db")[0] = 7
    arena.close()
    return path.read_bytes()


def attach_or_say_why(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        arena = Arena.attach(str(path), REGIONS, workers=WORKERS)
    except ArenaError as error:
        assert str(path) in str(error)  # noqa: PT017 - either way is right
        assert path.read_bytes() == content
    else:
        arena.region("guard cart")[0] = 1
        arena.dead()
        arena.close()


fuzz = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(content=st.binary(max_size=300), begins=st.sampled_from([b"", MAGIC, BEGUN]))
def test_random_bytes_are_refused_or_replaced(path: Path, content: bytes, begins: bytes) -> None:
    """Whatever lies there: an arena afterwards, or a message that names the file, which is then unchanged."""
    attach_or_say_why(path, begins + content)


@fuzz
@given(at=st.integers(0, 600), change=st.binary(min_size=1, max_size=40))
def test_a_damaged_arena_is_refused_or_used(path: Path, at: int, change: bytes) -> None:
    """Some of its first bytes changed: head, description or places."""
    content = whole(path)
    attach_or_say_why(path, content[:at] + change + content[at + len(change) :])


@fuzz
@given(size=st.integers(0, 2000))
def test_an_arena_that_was_cut_short_is_refused_or_replaced(path: Path, size: int) -> None:
    """At any byte."""
    attach_or_say_why(path, whole(path)[:size])


numbers = st.integers(-(1 << 63), 1 << 63) | st.integers(-2, 70)


@fuzz
@given(
    version=numbers,
    workers=numbers,
    boot=st.text(max_size=5),
    regions=st.dictionaries(st.text(max_size=5) | st.sampled_from([*REGIONS]), numbers, max_size=3),
    size=st.integers(0, 3000),
)
def test_a_description_with_a_right_checksum_is_not_believed_either(
    path: Path, version: int, workers: int, boot: str, regions: dict[str, int], size: int
) -> None:
    """Sizes that no file can have are refused before anything is mapped."""
    found = Geometry(version, workers, boot, regions)
    try:
        head = MAGIC + found.head()[16:]
    except (OverflowError, msgspec.MsgspecError):  # beyond what JSON carries
        return
    attach_or_say_why(path, head + bytes(size))
