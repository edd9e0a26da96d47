"""What a user installs: an sdist that builds, and a wheel from it with the compiled half, its stubs and its pages."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent
NOT_SOURCE = (".*", "__pycache__", "build", "dist", "*.egg-info", "*.so", "*.c", "results")
NATIVE = sorted(path.stem for path in (ROOT / "_native").glob("*.pyx"))


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of `command`; its whole output is the message of a failure."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command} in {cwd}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of a clean copy of the sources, and the wheel that was built from that sdist."""
    top = tmp_path_factory.mktemp("packaging")
    source = top / "a copy without git"  # the spaces are on purpose
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    (top / "dist").mkdir()
    # not isolated: the build's own requirements are in the test environment, and isolation would download them again
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", top / "dist", source, cwd=top)
    return top / "dist"


@pytest.fixture(scope="module")
def installed(dist: Path) -> Path:
    """The interpreter of a fresh environment into which the wheel was installed; it borrows dependencies from ours."""
    environment = dist.parent / "env"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=dist)
    python = environment / "bin" / "python"
    (wheel,) = dist.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=dist)
    # a plain path line: the editable install of the project, which is a .pth file in there, does not come along
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=dist).strip()
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_sdist_carries_sources_and_nothing_generated(dist: Path) -> None:
    """The sdist has the Cython sources, the stubs, the tests and the documents, and no C file or compiled module."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert NATIVE
    assert {f"_native/{name}.pyx" for name in NATIVE} <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "_native").iterdir() if path.is_file()} <= names
    assert {"pyproject.toml", "setup.py", "README.md", "CHANGELOG.md", "LICENSE", "controlplane/py.typed"} <= names
    assert {"tests/test_packaging.py", "docs/index.md"} <= names
    assert sorted(name for name in names if name.endswith((".c", ".so", ".pyc")) or name.startswith("build/")) == []


def test_the_wheel_carries_compiled_modules_stubs_and_pages(dist: Path) -> None:
    """The wheel has every package file that is not Python too: compiled modules, stubs, the typing mark, pages."""
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert {f"controlplane/_native/{name}{suffix}" for name in NATIVE} <= names
    beside = [
        path for path in (ROOT / "controlplane").rglob("*") if path.suffix in {".pyi", ".html", ".lua", ".py", ".typed"}
    ]
    assert {path.relative_to(ROOT).as_posix() for path in beside} <= names
    assert [name for name in names if not name.startswith(("controlplane/", "controlplane-"))] == []
    assert [name for name in names if name.endswith((".c", ".pyx"))] == []


def test_the_installed_package_is_complete(installed: Path, tmp_path: Path) -> None:
    """From the wheel alone: the compiled modules import, and come from there, and the public names resolve."""
    script = (
        "import importlib, controlplane\n"
        f"modules = [importlib.import_module('controlplane._native.' + name) for name in {NATIVE!r}]\n"
        "for name in controlplane.__all__: getattr(controlplane, name)\n"
        "print(*(module.__file__ for module in [controlplane, *modules]), sep='\\n')\n"
    )
    places = run(installed, "-c", script, cwd=tmp_path).split("\n")
    assert all(place.startswith(str(installed.parent.parent)) for place in places if place)


def test_the_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    """`controlplane --version` runs from the wheel and tells the version of its metadata."""
    assert version("controlplane") in run(installed.parent / "controlplane", "--version", cwd=tmp_path)
