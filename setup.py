"""The compiled half of the build: every `_native/*.pyx` becomes `controlplane._native.<name>`."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# Paths stay relative: setuptools refuses absolute ones, and builds always run from the project's root.
sources = sorted(Path("_native").glob("*.pyx"))
shared = [str(path) for pattern in ("*.h", "*.pxi") for path in sorted(Path("_native").glob(pattern))]

# A new permit is cleared by a memset of a hundred bytes, for which gcc takes an instruction that needs 8 ns to begin.
UNROLLED = "-mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign"


def compiles(flag: str) -> bool:
    """Whether the compiler of this build knows `flag`."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, flag, "-fsyntax-only", "-xc", os.devnull]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


flags = ["-O3", "-fno-math-errno", "-fno-plt", "-fvisibility=hidden", "-Wno-unreachable-code"]
if compiles(UNROLLED):
    flags.append(UNROLLED)

extensions = [
    Extension(
        f"controlplane._native.{source.stem}",
        [str(source)],
        depends=[str(source), *shared],  # named here so that the sdist carries them
        include_dirs=["_native"],
        extra_compile_args=flags,
        libraries=["m"],
    )
    for source in sources
]

setup(
    ext_modules=cythonize(
        extensions,
        language_level=3,
        build_dir="build/cython",
        compiler_directives={
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            # keyword support costs 7-9 ns a call on the methods that run per request
            "binding": False,
            "always_allow_keywords": False,
            "auto_pickle": False,
            "autotestdict": False,
        },
    ),
)
