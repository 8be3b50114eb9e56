/* What the doors of libste share: an open judge, a call within its domain and its caller's context, texts that become
 * the caller's. */
#ifndef STE_LIBRARY_DOOR_H
#define STE_LIBRARY_DOOR_H

#include "core/context.h"
#include "core/json.h"
#include "judge/session.h"

struct ste_judge {
    struct ste_context context;
    struct ste_domain *domain;
    char *name; /* the session borrows it */
    struct ste_session session;
    uint64_t seed;
    bool references; /* rows have reference answers, which are shown */
};

/* FN(ARG, ERR) in D and CONTEXT (NULL: none). */
int ste_door_call(struct ste_domain *d, const struct ste_context *context, int (*fn)(void *arg, struct ste_err *err),
                  void *arg, struct ste_err *err);
int ste_door_scores(const struct ste_judge *j, struct ste_err *err); /* whether J scores single answers */
/* TEXT, which is freed, as a copy that is the caller's own and not of the domain. */
char *ste_door_give(char *text);

#endif
