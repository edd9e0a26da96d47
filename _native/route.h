/* Who may be drawn, and how often: all that changes seldom (health, weights, ramps, priorities, localities, panic) folded
 * into one alias table (alias.h). Each formula is in docs/concepts/endpoint-choice.md.
 *
 * The result is a pure function of sites and policy. Shares are dealt as integers, from the whole to the levels, to their
 * localities, to the sites; whatever rounding leaves goes to the largest, so that the sum is always exact.
 */
#ifndef CONTROLPLANE_ROUTE_H
#define CONTROLPLANE_ROUTE_H

#include "alias.h"

#define ROUTE_SITES_MAX 4096 /* with the weights below, no product here leaves 63 bits, or 127 where said */
#define ROUTE_LEVELS_MAX 16
#define ROUTE_LOCALITIES_MAX 256
#define ROUTE_WEIGHT_MAX 100000
#define ROUTE_OVERPROVISION_MAX 1000
#define ROUTE_ONE ((int64_t)1 << 58) /* all of the traffic; so fine because a little that is left is shared in proportion */
#define ROUTE_FAIR ((int64_t)1 << 16) /* the burden of a call where the site has a mean share */
#define ROUTE_BURDEN_MAX (ROUTE_FAIR << 10)

struct site {
    int64_t priority, locality;
    int64_t weight;  /* capacity, 1 .. ROUTE_WEIGHT_MAX, in any unit */
    int64_t percent; /* of its share, 0..100: an order, or slow start */
    int64_t usable;  /* 0: ejected, or known to be down */
};

struct route_policy {
    int64_t levels, localities; /* priorities are 0 .. levels - 1, localities 0 .. localities - 1 */
    int64_t overprovision_percent, panic_percent;
    int64_t local, local_percent; /* the caller's own locality or -1; the share of all callers there, 0: as elsewhere */
    int64_t fail_over_percent;    /* by order: of what the first level takes, to those that stand by */
};

struct route {
    int64_t drawable; /* sites that have a share; 0: the table must not be drawn from */
    int64_t panic;    /* bit k: level k uses all its sites, whatever their health */
    int64_t load[ROUTE_LEVELS_MAX]; /* in 1 / ROUTE_ONE */
    int64_t first, moved;           /* the first level that takes any; what an order has moved away from it */
};

struct route_group { /* the sites of a level in one locality, or of a whole level; weights in hundredths */
    int64_t capacity, usable, available;
    int64_t units, times, rest, carry; /* the group's share, and how it is dealt: `times` for each, the rest evenly */
};

static inline int64_t route_scratch_words(int64_t n, int64_t levels, int64_t localities) {
    return n + levels * (localities + 1) * (int64_t)(sizeof(struct route_group) / sizeof(int64_t)) + 2 * localities;
}

static inline int64_t route_part(int64_t whole, int64_t of, int64_t all) {
    return (int64_t)((unsigned __int128)whole * (uint64_t)of / (uint64_t)all);
}

/* Divides `whole` in the proportion of `weights`; exact in sum. Nothing where all are 0. */
static void route_divide(int64_t whole, const int64_t *weights, int64_t n, int64_t *parts) {
    int64_t all = 0, left = whole, most = 0;
    for (int64_t k = 0; k < n; k++) all += weights[k];
    for (int64_t k = 0; k < n; k++) {
        parts[k] = all ? route_part(whole, weights[k], all) : 0;
        left -= parts[k];
        if (weights[k] > weights[most]) most = k;
    }
    if (all) parts[most] += left;
}

/* What there is, by level and locality. The last group of a level is the level. */
static void route_sum(
    const struct site *sites, int64_t n, const struct route_policy *p, int as_ramped, struct route_group *groups
) {
    int64_t width = p->localities + 1;
    for (int64_t k = 0; k < p->levels * width; k++) groups[k] = (struct route_group){0};
    for (int64_t i = 0; i < n; i++) {
        const struct site *s = &sites[i];
        struct route_group *level = groups + s->priority * width + p->localities;
        struct route_group *group = groups + s->priority * width + s->locality;
        int64_t available = s->usable ? s->weight * (as_ramped ? s->percent : 100) : 0;
        group->capacity += 100 * s->weight;
        level->capacity += 100 * s->weight;
        level->usable += s->usable ? 100 * s->weight : 0;
        group->available += available;
        level->available += available;
    }
}

/* What so much available capacity can bear of the traffic for `capacity`, at most all. */
static inline int64_t route_reach(const struct route_policy *p, int64_t available, int64_t capacity) {
    int64_t reach = p->overprovision_percent * available;
    return !reach ? 0 : reach >= 100 * capacity ? ROUTE_ONE : route_part(ROUTE_ONE, reach, 100 * capacity);
}

/* By order a part of what the first level takes goes to those that stand by, the next one first. None of them takes more
 * than its health allows, nor more than its capacity can bear of what the first level is made for: who stands by with less
 * is not drowned. What finds no room stays. */
static void route_fail_over(
    const struct route_policy *p, const struct route_group *groups, const int64_t *health, struct route *r
) {
    int64_t width = p->localities + 1, left, capacity;
    while (r->first < p->levels - 1 && !r->load[r->first]) r->first++;
    left = route_part(r->load[r->first], p->fail_over_percent, 100);
    capacity = groups[r->first * width + p->localities].capacity;
    for (int64_t k = r->first + 1; k < p->levels && left; k++) {
        int64_t room = route_reach(p, groups[k * width + p->localities].available, capacity);
        if (room > health[k]) room = health[k];
        room -= r->load[k];
        if (room <= 0) continue;
        if (room > left) room = left;
        r->load[k] += room;
        r->load[r->first] -= room;
        r->moved += room;
        left -= room;
    }
}

/* How much of the traffic each level takes: its health times the overprovisioning factor, the rest flows to the next.
 * Returns 0 where no site is available (and nobody may panic). */
static int route_levels(const struct route_policy *p, const struct route_group *groups, struct route *r) {
    int64_t health[ROUTE_LEVELS_MAX] = {0}, capacity[ROUTE_LEVELS_MAX] = {0};
    int64_t width = p->localities + 1, sum = 0, left = ROUTE_ONE;
    int all_panic = 1;
    r->panic = 0;
    for (int64_t k = 0; k < p->levels; k++) {
        const struct route_group *level = groups + k * width + p->localities;
        capacity[k] = level->capacity;
        health[k] = route_reach(p, level->available, level->capacity);
        sum += health[k];
    }
    if (sum + p->levels >= ROUTE_ONE) { /* each level's health is rounded down by less than one */
        for (int64_t k = 0; k < p->levels; k++) {
            r->load[k] = health[k] < left ? health[k] : left;
            left -= r->load[k];
        }
        if (p->fail_over_percent) route_fail_over(p, groups, health, r);
        return 1;
    }
    for (int64_t k = 0; k < p->levels; k++) {
        const struct route_group *level = groups + k * width + p->localities;
        if (!level->capacity) continue;
        if (100 * level->usable < p->panic_percent * level->capacity) r->panic |= (int64_t)1 << k;
        else all_panic = 0;
    }
    route_divide(ROUTE_ONE, all_panic ? capacity : health, p->levels, r->load);
    return sum || all_panic;
}

/* Divides a level's units among its localities; the caller's own keeps its callers as long as it has the capacity. */
static void route_localities(const struct route_policy *p, struct route_group *level, int panics, int64_t *scratch) {
    struct route_group *groups = level - p->localities;
    int64_t *weights = scratch, *parts = scratch + p->localities, sum = 0, present = 0, local = p->local, mine, all;
    for (int64_t k = 0; k < p->localities; k++) {
        int64_t reach = p->overprovision_percent * groups[k].available, full = 100 * groups[k].capacity;
        weights[k] = panics ? full : reach < full ? reach : full;
        sum += weights[k];
        present += full > 0;
    }
    /* mine / all: the callers' share that is at home here */
    mine = p->local_percent ? p->local_percent : 1;
    all = p->local_percent ? 100 : present;
    if (panics || local < 0 || local >= p->localities || !groups[local].capacity || present < 2 || mine == all) {
        route_divide(level->units, weights, p->localities, parts);
    } else if (weights[local] * all >= mine * sum) {
        for (int64_t k = 0; k < p->localities; k++) parts[k] = k == local ? level->units : 0;
    } else { /* the rest goes where capacity exceeds what callers there need, taken to be equal among the others */
        int64_t stays = route_part(level->units, weights[local] * all, sum * mine), needs = (all - mine) * sum;
        for (int64_t k = 0; k < p->localities; k++) {
            int64_t spare = k == local || !groups[k].capacity ? 0 : weights[k] * all * (present - 1) - needs;
            weights[k] = spare > 0 ? spare : 0;
        }
        route_divide(level->units - stays, weights, p->localities, parts);
        parts[local] += stays;
    }
    for (int64_t k = 0; k < p->localities; k++) {
        struct route_group *group = groups + k;
        int64_t of = panics ? group->capacity : group->available;
        group->units = parts[k];
        group->times = of ? parts[k] / of : 0;
        group->rest = of ? parts[k] % of : 0;
    }
}

/* Fills `table` (n words, alias.h) and `burden` (n words: what one call in flight weighs on a site, cost.h). Neither the
 * sites nor the scratch (route_scratch_words) may be seen by others while this runs. O(n). */
static struct route route_build(
    const struct site *sites, int64_t n, const struct route_policy *p, int64_t *table, int64_t *burden, int64_t *scratch
) {
    int64_t *units = scratch, *division = scratch + n, width = p->localities + 1, parts[ROUTE_LEVELS_MAX];
    struct route_group *groups = (struct route_group *)(scratch + n + 2 * p->localities);
    struct route r = {0};
    int as_ramped = 1;
    route_sum(sites, n, p, 1, groups);
    for (int64_t k = 0, any = 0; k < p->levels; k++) {
        any |= groups[k * width + p->localities].available;
        if (k == p->levels - 1 && !any) as_ramped = 0; /* a ramp moves load to others; without any it says nothing */
    }
    if (!as_ramped) route_sum(sites, n, p, 0, groups);
    if (!route_levels(p, groups, &r)) return r;
    route_divide(n * ALIAS_COLUMN, r.load, p->levels, parts);
    for (int64_t k = 0; k < p->levels; k++) {
        struct route_group *level = groups + k * width + p->localities;
        level->units = parts[k];
        route_localities(p, level, (int)(r.panic >> k & 1), division);
    }
    for (int64_t i = 0; i < n; i++) {
        const struct site *s = &sites[i];
        struct route_group *group = groups + s->priority * width + s->locality;
        int panics = (int)(r.panic >> s->priority & 1);
        int64_t of = panics ? group->capacity : group->available;
        int64_t share = panics ? 100 * s->weight : s->usable ? s->weight * (as_ramped ? s->percent : 100) : 0;
        units[i] = 0;
        if (share) {
            group->carry += group->rest * share;
            units[i] = group->times * share + group->carry / of;
            group->carry %= of;
        }
        r.drawable += units[i] > 0;
        burden[i] = units[i] > ALIAS_COLUMN >> 10 ? ROUTE_FAIR * ALIAS_COLUMN / units[i] : ROUTE_BURDEN_MAX;
    }
    alias_build(units, n, table);
    return r;
}

#endif
