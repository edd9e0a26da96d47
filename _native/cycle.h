/* How much blame passes through each member of a cycle: docs/concepts/blame.md, equation 3, solved at once.
 *
 * State by state is taken out and its flow given to those that are left (Grassmann, Taksar and Heyman, 1985). Nothing is
 * ever subtracted, so a leak of a billionth of the flow is known to all its digits, where going around the cycle would take
 * a billion rounds.
 */
#ifndef CONTROLPLANE_CYCLE_H
#define CONTROLPLANE_CYCLE_H

#include <stdint.h>

#define CYCLE_EXACT_MAX 32 /* members; the work grows with their third power, and larger cycles are gone around */

struct cycle_system {
    int32_t count;
    double pass[CYCLE_EXACT_MAX][CYCLE_EXACT_MAX]; /* share of a member's flow that goes to each other one */
    double leave[CYCLE_EXACT_MAX];                 /* share that stays with it or goes outside */
    double arriving[CYCLE_EXACT_MAX];              /* mass from outside */
    double through[CYCLE_EXACT_MAX];               /* filled: all the mass that passes through */
};

/* Fill `through`; returns the mass that comes to where it cannot leave. */
static double cycle_solve(struct cycle_system *c) {
    double onward[CYCLE_EXACT_MAX], lost = 0; /* of what a member has when its turn comes: what goes to those before it */
    for (int32_t i = c->count - 1; i >= 0; i--) {
        double exit = c->leave[i];
        for (int32_t j = 0; j < i; j++)
            exit += c->pass[i][j];
        onward[i] = exit;
        for (int32_t j = 0; j < i; j++) {
            double part = c->pass[j][i];
            if (exit == 0) { /* whatever comes here is lost, which for those before it is a way out */
                c->leave[j] += part;
                continue;
            }
            c->arriving[j] += c->arriving[i] * (c->pass[i][j] / exit);
            c->leave[j] += part * (c->leave[i] / exit);
            for (int32_t k = 0; part > 0 && k < i; k++)
                c->pass[j][k] += part * (c->pass[i][k] / exit);
        }
    }
    for (int32_t i = 0; i < c->count; i++) {
        double mass = c->arriving[i];
        for (int32_t j = 0; j < i; j++)
            mass += c->through[j] * c->pass[j][i];
        c->through[i] = onward[i] > 0 ? mass / onward[i] : 0;
        lost += onward[i] > 0 ? 0 : mass;
    }
    return lost;
}

#endif
