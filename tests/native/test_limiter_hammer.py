"""Threads without an interpreter's lock hammer one table of keys, and pause where it hurts: between two words."""

import shlex
import subprocess
import sysconfig
from array import array
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

NATIVE = Path(__file__).parent.parent.parent / "_native"
CC = shlex.split(sysconfig.get_config_var("CC") or "cc")
INTERVAL_NS, THREADS, CALLS = 20_000, 4, 200_000
HAMMER = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "atomic.h"
#include "random.h"
static __thread int64_t dice;
static void sometimes(void) {
    struct timespec longer = {0, 20000};
    if (random_below(&dice, 40) == 0) sched_yield();
    if (random_below(&dice, 2000) == 0) nanosleep(&longer, 0);
}
#define word_load(word) (sometimes(), word_load(word))
#define word_swap(shared, word, expected, wanted) (sometimes(), word_swap(shared, word, expected, wanted))
#define word_fence(shared) (sometimes(), word_fence(shared))
#include "keyed.h"
#define ROWS_MAX (1 << 20)
enum { THREADS_RUN = %(threads)d, CALLS = %(calls)d, KEYS = 24 };
static struct { struct keyed t; struct keyed_set s[2]; } table __attribute__((aligned(64)));
static int64_t rows[THREADS_RUN][ROWS_MAX][3], used[THREADS_RUN];
static void *hammer(void *mine) {
    int64_t me = (int64_t)(intptr_t)mine, full_ns;
    dice = random_seeded((uint64_t)me + 1);
    for (int64_t k = 0; k < CALLS && used[me] < ROWS_MAX; k++) {
        int64_t key = random_below(&dice, KEYS), *row = rows[me][used[me]];
        row[0] = clock_now_ns();
        if (keyed_take(1, &table.t, siphash(table.t.secret, 8, &key, 8), &full_ns)) continue;
        row[1] = clock_now_ns();
        row[2] = key;
        used[me]++;
    }
    return 0;
}
int main(void) {
    pthread_t threads[THREADS_RUN];
    terms_lay_out(&table.t.terms, %(interval_ns)d, 1);
    table.t.sets = 2;
    for (int64_t k = 0; k < THREADS_RUN; k++) pthread_create(threads + k, 0, hammer, (void *)(intptr_t)k);
    for (int64_t k = 0; k < THREADS_RUN; k++) pthread_join(threads[k], 0);
    for (int64_t k = 0; k < THREADS_RUN; k++) fwrite(rows[k], sizeof rows[k][0], (size_t)used[k], stdout);
    return 0;
}
"""


@pytest.mark.parametrize("flags", ["-O3", "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"])
def test_no_key_is_admitted_twice_within_its_interval(tmp_path: Path, flags: str) -> None:
    """Twenty-four keys claim and lose sixteen slots all the time; between two calls of a key an interval lies."""
    source, binary = tmp_path / "hammer.c", tmp_path / "hammer"
    source.write_text(HAMMER % {"threads": THREADS, "calls": CALLS, "interval_ns": INTERVAL_NS})
    built = subprocess.run(
        [*CC, *flags.split(), "-pthread", f"-I{NATIVE}", str(source), "-o", str(binary)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "sanitize" in flags and built.returncode and "asan" in built.stderr:
        pytest.skip("this compiler came without sanitizers")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(binary)], capture_output=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stderr
    words = array("q", ran.stdout)
    admitted = defaultdict(list)
    for k in range(0, len(words), 3):
        admitted[words[k + 2]].append((words[k], words[k + 1]))
    assert len(admitted) == 24
    assert sum(map(len, admitted.values())) > 10_000
    twice = []
    for key, spans in admitted.items():
        spans.sort()
        for first, second in pairwise(spans):
            # each call's own time lies within its span
            if max(first[1], second[1]) - first[0] < INTERVAL_NS:
                twice.append((key, first, second))
    assert twice == []
