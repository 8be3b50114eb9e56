/*
 * What is known of one address of a server: how many requests it takes at a time, and whether any. It is asked for less
 * when it has too much to do, and for a little more with each answer, as TCP does with packets.
 */
#ifndef STE_LLM_REPLICA_H
#define STE_LLM_REPLICA_H

#include <stdbool.h>
#include <stddef.h>

struct ste_replica {
    size_t in_flight;    /* requests */
    double window, most; /* as many at a time, and never more than MOST */
    double cut;          /* when the window was cut last */
    double until;        /* nothing is sent before */
    bool doubtful;       /* it may have lost its adapters */
};
bool ste_replica_has_room(const struct ste_replica *p, double now);
void ste_replica_answered(struct ste_replica *p);
/* ASKED: for how many seconds it wants to be left alone, which is then enough; 0: it does not say, and is asked for
 * less at a time. */
void ste_replica_busy(struct ste_replica *p, double asked);

#endif
