#include "llm/replica.h"

#include "core/log.h"

#define CUT 0.8       /* of the window, when the server has too much to do */
#define CUT_SECONDS 2 /* between two cuts: one burst of refusals is one */

bool ste_replica_has_room(const struct ste_replica *p, double now)
{
    return p->until <= now && p->in_flight + 1 <= (size_t)p->window;
}

void ste_replica_answered(struct ste_replica *p)
{
    p->window = p->window + 1 / p->window < p->most ? p->window + 1 / p->window : p->most;
}

void ste_replica_busy(struct ste_replica *p, double asked)
{
    const double now = ste_now();
    if (asked > 0) {
        p->until = now + asked > p->until ? now + asked : p->until;
    } else if (now - p->cut > CUT_SECONDS) {
        p->window = CUT * p->window > 1 ? CUT * p->window : 1;
        p->cut = now;
    }
}
