/* Threads of several seats make calls and retries under standing orders while leases are renewed and fields retuned; then it
 * is counted what was shed, how many retries went, and whether anybody's change of the policy was lost. Built by
 * test_guard_hammer.py.
 *
 * usage: hammer SEATS THREADS_PER_SEAT CALLS
 * Prints "ok" or what is wrong.
 */
#define main hammer_main
#include "guard_hammer.h"
#undef main

#define SHED_PERCENT 30
#define CAP_PERCENT 10
#define FOREVER_NS (1000 * SECOND_NS)

static int64_t asked, shed, firsts, retries, lost;

static void renew(struct seat *s) {
    int64_t now_ns = clock_now_ns();
    order_side(s, PART_SHED, SHED_PERCENT, CRITICAL, now_ns, FOREVER_NS, now_ns);
    order_side(s, PART_CAP_RETRIES, CAP_PERCENT, 0, now_ns, FOREVER_NS, now_ns);
}

/* Each thread changes a field of its own, and must find what it wrote before. */
static void turn_field(struct seat *s, int64_t field, int64_t *last) {
    struct policy p;
    const struct standing *st;
    int64_t current, is;
    do {
        st = lapse(s, clock_now_ns(), &current);
        is = ((const int64_t *)&st->policy)[field];
    } while (!state_still(1, g, current));
    if (*last && is != *last) __atomic_fetch_add(&lost, 1, __ATOMIC_RELAXED);
    *last = 1 + *last % 1000;
    ((int64_t *)&p)[field] = *last;
    retune(s, clock_now_ns(), &p, (uint64_t)1 << field);
}

static void *call(void *given) {
    static const size_t fields[] = {
        offsetof(struct policy, window_calls_min), offsetof(struct policy, open_max_ns), offsetof(struct policy, eject_max_ns),
        offsetof(struct policy, slow_start_ns), offsetof(struct policy, probe_successes), offsetof(struct policy, open_ns),
        offsetof(struct policy, probe_timeout_ns), offsetof(struct policy, eject_ns),
    };
    const struct job *job = given;
    struct seat *s = job->seat;
    int64_t last = 0;
    for (int64_t n = 0; n < calls; n++) {
        struct ask first = {FIRST, -1, SHEDDABLE, NEVER}, again = {AGAIN, -1, DEFAULT, NEVER};
        struct ticket t;
        struct refusal why;
        if (n % 301 == 0) renew(s);
        if (n % 59 == 0) turn_field(s, (int64_t)(fields[job->index] / sizeof(int64_t)), &last);
        __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
        if (admit(1, s, &first, &t, &why)) {
            __atomic_fetch_add(&firsts, 1, __ATOMIC_SEQ_CST);
            settle(1, s, &t, SUCCESS);
        } else {
            __atomic_fetch_add(why.reason == SHED ? &shed : &lost, 1, __ATOMIC_RELAXED);
        }
        if (admit(1, s, &again, &t, &why)) {
            __atomic_fetch_add(&retries, 1, __ATOMIC_SEQ_CST);
            settle(1, s, &t, SUCCESS);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    int64_t seats = argc > 3 ? atoll(argv[1]) : 4, threads = argc > 3 ? atoll(argv[2]) : 2, total = seats * threads;
    struct seat places[WORKERS_MAX];
    struct job jobs[8];
    pthread_t ids[8];
    struct policy *p;
    calls = argc > 3 ? atoll(argv[3]) : 10000;
    if (total > 8) return printf("at most eight threads: each has a field\n");
    lay_out(seats);
    p = &state_standing(g, 0)->policy;
    p->concurrency_max = p->concurrency_adapts = p->rate_interval_ns = 0;
    p->retry_percent = 100;
    p->retry_floor_per_s = 1000000;
    memset(places, 0, sizeof places);
    for (int64_t w = 0; w < seats; w++) {
        places[w] = (struct seat){.g = g, .worker = w, .counters = state_counters(g, w), .random = random_seeded((uint64_t)w)};
        draw(&places[w]);
    }
    renew(&places[0]);
    for (int64_t k = 0; k < total; k++) {
        jobs[k] = (struct job){&places[k % seats], k};
        if (pthread_create(&ids[k], NULL, call, &jobs[k])) return 2;
    }
    for (int64_t k = 0; k < total; k++) pthread_join(ids[k], NULL);
    if (lost) return printf("%ld changes lost, or calls refused for another reason\n", (long)lost);
    /* a call that has to look again takes its turn again: a few in a thousand may be shed more or less */
    if (shed * 1000 < asked * (10 * SHED_PERCENT - 10) || shed * 1000 > asked * (10 * SHED_PERCENT + 10))
        return printf("%ld of %ld were shed\n", (long)shed, (long)asked);
    if (retries * 100 > firsts * CAP_PERCENT) return printf("%ld retries of %ld calls\n", (long)retries, (long)firsts);
    if (retries * 100 < firsts * (CAP_PERCENT - 1)) return printf("only %ld retries of %ld calls\n", (long)retries, (long)firsts);
    printf("ok %ld asked, %ld shed, %ld retries\n", (long)asked, (long)shed, (long)retries);
    return 0;
}
