/* The table that a seat draws from is made of a standing that another seat rewrites meanwhile: what is drawn afterwards must be
 * the standing in force, and not that mixture for as long as nothing else changes. Built by test_guard_hammer.py.
 *
 * Prints "ok" or what is wrong.
 */
#define Py_GIL_DISABLED 1
#include "pick.h"
#include "window.h"

static void meddle(void);
static void meddle_with_policy(void);
#define window_resize(d, now_ns, window_ns) (meddle_with_policy(), window_resize(d, now_ns, window_ns)) /* within a retune */
#define pick_turn(p) (meddle(), pick_turn(p)) /* the places have been read, the number that says of which standing has not */
#define main hammer_main
#include "guard_hammer.h"
#undef main

static struct seat seats[2];
static int armed, armed_policy;

/* Another seat changes another field of the policy while this one is at it. */
static void meddle_with_policy(void) {
    struct policy other = {.probes_max = 7};
    if (!armed_policy) return;
    armed_policy = 0;
    retune(&seats[1], clock_now_ns(), &other, (uint64_t)1 << offsetof(struct policy, probes_max) / sizeof(int64_t));
}

static int both_retune(void) {
    struct policy mine = {.window_ns = 777770};
    const struct policy *now;
    armed_policy = 1;
    retune(&seats[0], clock_now_ns(), &mine, (uint64_t)1 << offsetof(struct policy, window_ns) / sizeof(int64_t));
    now = &state_standing(g, word_load(&g->current))->policy;
    if (armed_policy) return printf("nobody meddled with the policy\n");
    if (now->window_ns != 777770 || now->probes_max != 7) return printf("a change of the policy was lost\n");
    return 0;
}

/* Two standings: the second is written over the one that the other seat is reading. */
static void meddle(void) {
    if (!armed) return;
    armed = 0;
    order_restore(&seats[1], 0, clock_now_ns());
    order_eject(&seats[1], 1, clock_now_ns(), 1000 * SECOND_NS, 0);
}

/* Who still goes by a cap that another one has replaced neither gives to the new one nor takes from it. */
static int late_for_a_cap(void) {
    struct side late;
    const struct side *now;
    order_side(&seats[1], PART_CAP_RETRIES, 50, 0, clock_now_ns(), SECOND_NS, 0);
    late = state_standing(g, word_load(&g->current))->side[PART_CAP_RETRIES];
    order_side(&seats[1], PART_CAP_RETRIES, 60, 0, clock_now_ns(), SECOND_NS, 0);
    now = &state_standing(g, word_load(&g->current))->side[PART_CAP_RETRIES];
    if (!side_cap_move(g, now, 5 * RETRY_MILLI)) return printf("a cap takes nothing\n");
    if (side_cap_move(g, &late, RETRY_MILLI) || side_cap_move(g, &late, -RETRY_MILLI)) return printf("a cap that is past moves\n");
    if (side_cap_left(word_load(&g->capped_retry), now) != 5 * RETRY_MILLI) return printf("the cap in force was moved\n");
    return 0;
}

/* A call ended under a limit, which another seat takes back between the look whether there is one and its use. */
static void learn_without_a_limit(void) {
    int64_t now_ns = clock_now_ns();
    order_limit(&seats[1], now_ns, 3, 1000 * SECOND_NS, 0);
    word_store(&g->limit_bound_ns, now_ns + 1);
    order_restore_edge(&seats[1], now_ns);
    limit_learn(g, state_standing(g, word_load(&g->current)), now_ns, now_ns + 1, SUCCESS);
    limit_learn(g, state_standing(g, word_load(&g->current)), now_ns, now_ns + 2, TIMEOUT);
}

int main(void) {
    struct ask ask = {FIRST, -1, CRITICAL, NEVER};
    struct policy policy;
    int64_t drawn[ENDPOINTS] = {0};
    lay_out(2);
    for (int64_t w = 0; w < 2; w++) {
        seats[w] = (struct seat){.g = g, .worker = w, .counters = state_counters(g, w), .random = random_seeded(7)};
        draw(&seats[w]);
    }
    policy = state_standing(g, 0)->policy;
    policy.slow_start_ns = policy.concurrency_adapts = 0;
    retune(&seats[1], clock_now_ns(), &policy, ~(uint64_t)0);
    order_eject(&seats[1], 0, clock_now_ns(), 1000 * SECOND_NS, 0);
    armed = 1;
    for (int n = 0; n < 1000; n++) {
        struct ticket t;
        struct refusal why;
        if (!admit(1, &seats[0], &ask, &t, &why)) return printf("refused: %ld\n", (long)why.reason);
        drawn[t.endpoint]++;
        settle_cancel(&seats[0], &t);
    }
    if (armed) return printf("nobody meddled\n");
    if (drawn[1]) return printf("%ld calls went to the endpoint that is out\n", (long)drawn[1]);
    if (!drawn[0]) return printf("no call went to the endpoint that is back\n");
    if (both_retune() || late_for_a_cap()) return 1;
    learn_without_a_limit();
    return printf("ok\n"), 0;
}
