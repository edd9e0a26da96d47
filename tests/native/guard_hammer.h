/* Threads hammer one guard from several seats, several threads to a seat, as threads of processes do without an
 * interpreter's lock; then everything is counted. Built by test_guard_hammer.py as a C program, with and without sanitizers.
 *
 * usage: hammer SEATS THREADS_PER_SEAT CALLS
 * Prints "ok" or what is wrong.
 */
#define Py_GIL_DISABLED 1 /* several threads to a seat */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "orders.h"
#include "retune.h"
#include "settle.h"

#define ENDPOINTS 4
#define LIMIT 5

static struct edge *g;
static int64_t calls, admitted_by[64], refused_by[64], ended_by[64], cancelled_by[64], under_way, above, torn;

struct job {
    struct seat *seat;
    int64_t index;
};

static int64_t aligned(int64_t words) { return (words + 7) / 8 * 8; }

static void lay_out(int64_t workers) {
    struct edge shape;
    struct standing *st;
    memset(&shape, 0, sizeof shape);
    shape.hdr = hdr_shape(LATENCY_LOWEST_NS, LATENCY_HIGHEST_NS, LATENCY_DIGITS);
    shape.endpoints = ENDPOINTS;
    shape.workers = workers;
    shape.counters_at = aligned(sizeof shape / 8);
    shape.adaptive_at = shape.counters_at + workers * 8;
    shape.in_flight_at = shape.adaptive_at + aligned(ADAPTIVE_WORDS);
    shape.endpoints_at = shape.in_flight_at + aligned((1 + ENDPOINTS) * workers);
    shape.counts_at = shape.endpoints_at + aligned(ENDPOINTS * (int64_t)sizeof(struct endpoint) / 8);
    shape.events_at = shape.counts_at + aligned(shape.hdr.counters);
    shape.standings_at = shape.events_at + aligned(EVENTS_MAX * EVENT_WORDS);
    shape.standing_words = aligned((int64_t)(sizeof(struct standing) + ENDPOINTS * sizeof(struct place)) / 8);
    shape.words = shape.standings_at + 2 * workers * shape.standing_words;
    if (posix_memalign((void **)&g, 64, (size_t)shape.words * 8)) exit(2);
    memset(g, 0, (size_t)shape.words * 8);
    *g = shape;
    st = state_standing(g, 0);
    st->policy = (struct policy){
        .rate_interval_ns = 1, .rate_burst = 1000000000, .concurrency_max = LIMIT, .concurrency_min = 1, .concurrency_adapts = 1, .breaker_consecutive = 12,
        .window_ns = 100000, .window_calls_min = 20, .failure_percent = 60, .slow_percent = 90, .slow_ns = SECOND_NS,
        .open_ns = 2000, .open_max_ns = 20000, .probes_max = 2, .probe_successes = 2, .probe_timeout_ns = SECOND_NS,
        .endpoint_consecutive = 3, .endpoint_evidence_mnat = 9000, .eject_ns = 3000, .eject_max_ns = 9000,
        .ejected_percent_max = 50, .overprovision_percent = 140, .slow_start_ns = 5000, .retry_percent = 20, .retry_floor_per_s = 1000, .enforced = 1, .enforced_percent = 100,
    };
    struct adaptive_policy limits = concurrency_policy(&st->policy);
    adaptive_begin(concurrency_adaptive(g), &limits, clock_now_ns());
    evidence_believe(st, rung_of(FAILURE_SHARE_LOWEST));
    st->due_ns = NEVER;
    st->window_width_ns = st->policy.window_ns / 10;
    st->weight = 100;
    for (int64_t i = 0; i < ENDPOINTS; i++) state_place(st, i)->weight = state_place(st, i)->ramp = 100;
    st->routes = 1;
}

static struct room {
    int64_t table[ENDPOINTS], burden[ENDPOINTS], trials[ENDPOINTS], scratch[256];
    struct site sites[ENDPOINTS];
} rooms[WORKERS_MAX];

static void draw(struct seat *s) {
    struct pick *p = &s->pick;
    struct room *room = &rooms[s->worker];
    p->endpoints = ENDPOINTS;
    p->workers = g->workers;
    p->in_flight = state_in_flight(g, 0);
    p->latency = &state_endpoint(g, 0)->latency;
    p->latency_step = sizeof(struct endpoint) / 8;
    p->policy = (struct route_policy){.levels = 2, .localities = 1, .local = -1};
    p->random = random_seeded((uint64_t)s->worker + 99);
    p->table = room->table;
    p->burden = room->burden;
    p->sites = room->sites;
    p->scratch = room->scratch;
    s->trials = room->trials;
    if (route_scratch_words(ENDPOINTS, 2, 1) > (int64_t)(sizeof room->scratch / 8)) exit(2);
    for (int64_t i = 0; i < ENDPOINTS; i++) p->sites[i] = (struct site){.weight = 1, .priority = i >= ENDPOINTS / 2};
}

static void order(struct seat *s, uint64_t dice, int64_t now_ns) {
    int64_t i = (int64_t)(dice >> 8) % ENDPOINTS;
    switch (dice % 13) {
    case 0: order_eject(s, i, now_ns, 2000, now_ns); break;
    case 1: order_probe(s, i, now_ns, 2000); break;
    case 2: order_weigh(s, i, now_ns, 25, 2000); break;
    case 3: order_restore(s, i, now_ns); break;
    case 4: order_isolate(s, now_ns, 1000, now_ns); break;
    case 5: order_limit(s, now_ns, 3, 3000, now_ns); break;
    case 6: order_restore_edge(s, now_ns); break;
    case 7: order_side(s, PART_FAIL_OVER, 1 + (int64_t)(dice >> 16) % 100, 0, now_ns, 2000, now_ns); break;
    case 8: order_side(s, PART_CAP_RETRIES, (int64_t)(dice >> 16) % 101, 0, now_ns, 2000, now_ns); break;
    case 9: order_side(s, PART_SHED, 1 + (int64_t)(dice >> 16) % 100, CRITICAL, now_ns, 2000, now_ns); break;
    case 10: order_side(s, PART_TIGHTEN, 1000, 1 + (int64_t)(dice >> 16) % 100, now_ns, 2000, now_ns); break;
    case 11: order_restore_side(s, 1 + i); break;
    default: {
        struct policy p = state_standing(g, word_load(&g->current))->policy;
        p.concurrency_max = LIMIT;
        p.window_ns = 100000 + (int64_t)(dice >> 16 & 1) * 50000;
        if (p.probes_max == 2) retune(s, now_ns, &p, ~(uint64_t)0); /* what was read may have been torn; a torn policy is not put in force */
    }
    }
}

static void *hammer(void *given) {
    const struct job *job = given;
    struct seat *s = job->seat;
    int64_t random = random_seeded((uint64_t)job->index + 1), rows[EVENT_WORDS * 16];
    for (int64_t n = 0; n < calls; n++) {
        uint64_t dice = random_next(&random) >> 16;
        struct ask ask = {dice % 11 == 0 ? AGAIN : FIRST, -1, (int64_t)(dice % 3), NEVER};
        struct ticket t;
        struct refusal why;
        int64_t deadline_ns = dice % 17 ? 0 : admit_deadline_ns(s);
        if (deadline_ns && deadline_ns != 1000) __atomic_fetch_add(&torn, 1, __ATOMIC_RELAXED);
        if (dice % 501 == 0) order(s, dice >> 10, clock_now_ns());
        if (dice % 97 == 0 && job->index % 2 == 0) {
            DRAFT(lock); /* one reader a seat */
            lock.s = s;
            draft_lock(&lock, s);
            event_drain(s, clock_now_ns(), rows, 16);
        }
        if (!admit(1, s, &ask, &t, &why)) {
            refused_by[job->index]++;
            continue;
        }
        admitted_by[job->index]++;
        if (__atomic_add_fetch(&under_way, 1, __ATOMIC_SEQ_CST) > LIMIT) __atomic_fetch_add(&above, 1, __ATOMIC_RELAXED);
        if (dice % 5 == 0) sched_yield();
        __atomic_sub_fetch(&under_way, 1, __ATOMIC_SEQ_CST);
        if (dice % 13 == 0) {
            settle_cancel(s, &t);
            cancelled_by[job->index]++;
            continue;
        }
        settle(1, s, &t, dice % 7 < 2 ? ERROR + (int64_t)(dice % 3) : SUCCESS);
        settle(1, s, &t, SUCCESS); /* once is once */
        ended_by[job->index]++;
    }
    return NULL;
}

int main(int argc, char **argv) {
    int64_t seats = argc > 3 ? atoll(argv[1]) : 4, threads = argc > 3 ? atoll(argv[2]) : 2, total = seats * threads;
    int64_t admitted = 0, refused = 0, ended = 0, cancelled = 0, sum = 0, probes = 0, out = 0;
    struct seat places[WORKERS_MAX];
    struct job jobs[64];
    pthread_t ids[64];
    const struct standing *st;
    calls = argc > 3 ? atoll(argv[3]) : 10000;
    lay_out(seats);
    memset(places, 0, sizeof places);
    for (int64_t w = 0; w < seats; w++) {
        places[w].g = g;
        places[w].worker = w;
        places[w].counters = state_counters(g, w);
        places[w].random = random_seeded((uint64_t)w);
        draw(&places[w]);
    }
    for (int64_t k = 0; k < total; k++) {
        jobs[k] = (struct job){&places[k % seats], k};
        if (pthread_create(&ids[k], NULL, hammer, &jobs[k])) return 2;
    }
    for (int64_t k = 0; k < total; k++) pthread_join(ids[k], NULL);
    for (int64_t k = 0; k < total; k++) {
        admitted += admitted_by[k];
        refused += refused_by[k];
        ended += ended_by[k];
        cancelled += cancelled_by[k];
    }
    for (int64_t w = 0; w < seats; w++) {
        const struct counters *c = state_counters(g, w);
        sum += c->calls + c->cancelled;
    }
    for (int64_t k = 0; k < REASONS_END; k++) out += g->refused_by[k];
    st = state_standing(g, g->current);
    for (int64_t i = 0; i < ENDPOINTS; i++) probes += state_place(st, i)->probing;
    if (sum != admitted || out != refused || ended + cancelled != admitted)
        return printf("counts: %ld ended, %ld refused of %ld and %ld\n", (long)sum, (long)out, (long)admitted, (long)refused);
    if (state_flying(g, EDGE)) return printf("in flight: %ld\n", (long)state_flying(g, EDGE));
    for (int64_t i = 0; i < ENDPOINTS; i++)
        if (state_flying(g, i)) return printf("in flight at %ld: %ld\n", (long)i, (long)state_flying(g, i));
    if (torn) return printf("a deadline that nobody ordered: %ld times\n", (long)torn);
    if (side_cap_left(g->capped_retry, &st->side[PART_CAP_RETRIES]) > CAP_MAX_MILLI) return printf("more than a cap keeps\n");
    if (above) return printf("above the limit: %ld times\n", (long)above);
    if (probes + st->probing != __builtin_popcountll((uint64_t)st->busy) || st->busy) return printf("probes: %ld\n", (long)probes);
    if (admitted < total * calls / 100) return printf("hardly anything was admitted: %ld\n", (long)admitted);
    printf("ok %ld admitted, %ld refused, %ld moves, %ld rows\n", (long)admitted, (long)refused, (long)(g->current >> 8),
           (long)g->events_written);
    return 0;
}
