/* Threads record into one recorder while others take from it, with nothing that holds them apart: a program that
 * test_histogram_hammer.py compiles. It prints "ok" when every value is in exactly one place.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "recorder.h"
#include "summary.h"

enum { RECORDERS = 3, TAKERS = 2, LOWEST = 1, HIGHEST = 100000, DIGITS = 2 };

static struct hdr shape;
static uint64_t limit;
static struct recorder *all, *taken[TAKERS];
static int64_t calls;
static atomic_int recording = RECORDERS;

static struct recorder *recorder_new(void) {
    struct recorder *r = malloc(recorder_words(&shape) * sizeof(int64_t));
    recorder_lay_out(r, &shape, LOWEST, HIGHEST, DIGITS);
    return r;
}

static void *record(void *unused) {
    for (int64_t i = 0; i < calls; i++) {
        recorder_count(1, all, &shape, limit, i % HIGHEST, 1);
        if (i % 100 == 0) recorder_count(1, all, &shape, limit, -1 - i, 1);
    }
    recording--;
    return unused;
}

static void *take(void *into) {
    while (recording) {
        recorder_move(1, all, into, &shape);
        if (hdr_quantile(&shape, all->counts, 990) > 2 * HIGHEST) abort(); /* read while all others write */
    }
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t threads[RECORDERS + TAKERS];
    int64_t total = 0, out_of_range = 0;
    calls = count > 1 ? atoll(arguments[1]) : 100000;
    shape = hdr_shape(LOWEST, HIGHEST, DIGITS);
    limit = (uint64_t)hdr_high(&shape, shape.counters - 1) + 1;
    all = recorder_new();
    for (int i = 0; i < TAKERS; i++) taken[i] = recorder_new();
    for (int i = 0; i < RECORDERS; i++) pthread_create(&threads[i], NULL, record, NULL);
    for (int i = 0; i < TAKERS; i++) pthread_create(&threads[RECORDERS + i], NULL, take, taken[i]);
    for (int i = 0; i < RECORDERS + TAKERS; i++) pthread_join(threads[i], NULL);
    recorder_move(1, all, taken[0], &shape);
    for (int i = 0; i < TAKERS; i++) {
        total += hdr_total(&shape, taken[i]->counts);
        out_of_range += taken[i]->out_of_range;
        free(taken[i]);
    }
    free(all);
    int right = total == RECORDERS * calls && out_of_range == RECORDERS * ((calls + 99) / 100);
    printf("%s %lld %lld\n", right ? "ok" : "lost", (long long)total, (long long)out_of_range);
    return !right;
}
