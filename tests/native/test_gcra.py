"""gcra.h and siphash.h by themselves, called from Python: returns that race with takings, a hash that CPython knows."""

import ctypes
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

NATIVE = Path(__file__).parent.parent.parent / "_native"
CC = shlex.split(sysconfig.get_config_var("CC") or "cc")
FACE = """
#include "gcra.h"
#include "siphash.h"
static const int64_t current;
static struct gcra terms(int64_t interval_ns, int64_t burst) {
    struct gcra r = {&current, 0, interval_ns, burst, interval_ns, 0};
    return r;
}
int64_t take(int64_t *at, int64_t now_ns, int64_t interval_ns, int64_t burst, int64_t count, int64_t *wrote) {
    struct gcra r = terms(interval_ns, burst);
    clock_test_ns = now_ns;
    return gcra_take(1, at, now_ns, &r, burst, count, wrote);
}
int give_back(int64_t *at, int64_t interval_ns, int64_t count, int64_t wrote) {
    struct gcra r = terms(interval_ns, 1);
    return gcra_return(1, at, &r, count, wrote);
}
uint64_t hash_of(const int64_t *secret, uint64_t domain, const void *bytes, int64_t length) {
    return siphash(secret, domain, bytes, length);
}
"""


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The headers' functions, compiled for this run."""
    folder = tmp_path_factory.mktemp("gcra")
    (folder / "face.c").write_text(FACE)
    library = folder / "face.so"
    built = subprocess.run(
        [*CC, "-O2", "-shared", "-fPIC", f"-I{NATIVE}", str(folder / "face.c"), "-o", str(library)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    face = ctypes.CDLL(str(library))
    face.take.restype = ctypes.c_int64
    face.take.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 4, ctypes.c_void_p]
    face.give_back.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 3]
    face.hash_of.restype = ctypes.c_uint64
    face.hash_of.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_int64]
    return face


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 12), st.integers(1, 3)),
            st.tuples(st.just("return"), st.integers(0, 12), st.integers(0, 5)),
        ),
        max_size=60,
    ),
    burst=st.integers(1, 5),
)
@settings(max_examples=500, deadline=None)
def test_what_is_returned_never_lets_more_through(
    native: ctypes.CDLL, steps: list[tuple[str, int, int]], burst: int
) -> None:
    """Calls made, that is taken and not returned: in any window at most burst + floor(T / interval), whoever
    returns when; and what was taken last comes back wholly."""
    interval, now = 10, 1_000
    tat, wrote = ctypes.c_int64(0), ctypes.c_int64(0)
    made: list[list[int]] = []  # time, number of calls, what the taking wrote
    undoes: dict[int, int] = {}
    for kind, gap, number in steps:
        now += gap
        if kind == "take":
            before = tat.value
            if native.take(ctypes.byref(tat), now, interval, burst, number, ctypes.byref(wrote)) == 0:
                made.append([now, number, wrote.value])
                undoes[wrote.value] = max(before, now << 1)
        elif number < len(made):
            _, calls, written = made[-1 - number]
            is_last = tat.value == written
            came_back = native.give_back(ctypes.byref(tat), interval, calls, written)
            assert bool(came_back) == is_last
            if is_last:
                assert tat.value == undoes[written]
            del made[-1 - number]
    for first, start in enumerate(made):
        for last in range(first, len(made)):
            calls = sum(one[1] for one in made[first : last + 1])
            assert calls <= burst + (made[last][0] - start[0]) // interval


def test_siphash_is_what_cpython_hashes_bytes_with(native: ctypes.CDLL) -> None:
    """Without a secret, for every length of a tail."""
    if sys.hash_info.algorithm != "siphash13":
        pytest.skip("this CPython hashes differently")
    texts = [bytes(range(1, length + 1)) for length in range(1, 40)]
    printed = subprocess.run(
        [sys.executable, "-c", f"print([hash(text) for text in {texts!r}])"],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    secret = (ctypes.c_int64 * 2)(0, 0)
    ours = [ctypes.c_int64(native.hash_of(secret, 0, text, len(text))).value for text in texts]
    assert str([-2 if number == -1 else number for number in ours]) == printed.strip()
    assert native.hash_of(secret, 1, texts[0], 1) != native.hash_of(secret, 0, texts[0], 1)
