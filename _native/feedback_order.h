/* An order in which callers come before callees, and the loop's arrays in that order. */
#ifndef CONTROLPLANE_FEEDBACK_ORDER_H
#define CONTROLPLANE_FEEDBACK_ORDER_H

#include <stdint.h>
#include <string.h>

/* Fills order[place] = service, all callers first where that is possible; where circles keep every service that is left
   waiting, the one of the lowest number goes on. `waits` (n): scratch, how many callers are still to come. */
static void feedback_order(int64_t services, const int64_t *indptr, const int64_t *indices, int64_t *order,
                           int64_t *waits) {
    int64_t placed = 0, done = 0, next = 0;
    memset(waits, 0, services * sizeof(int64_t));
    for (int64_t e = 0; e < indptr[services]; e++)
        waits[indices[e]]++;
    for (int64_t v = 0; v < services; v++)
        if (waits[v] == 0) {
            waits[v] = -1; /* has its place */
            order[placed++] = v;
        }
    while (placed < services || done < placed) {
        if (done == placed) {
            while (waits[next] < 0)
                next++;
            waits[next] = -1;
            order[placed++] = next;
        }
        for (int64_t v = order[done++], e = indptr[v]; e < indptr[v + 1]; e++)
            if (waits[indices[e]] > 0 && --waits[indices[e]] == 0) {
                waits[indices[e]] = -1;
                order[placed++] = indices[e];
            }
    }
}

#endif
