/*
 * A server: a judge that answers requests, a folder of runs to look at, or both, behind HTTP. This is what `ste serve`
 * starts and stops.
 */
#ifndef STE_SERVE_SERVICE_H
#define STE_SERVE_SERVICE_H

#include "core/context.h"
#include "judge/session.h"

struct ste_service_params {
    const char *judge; /* as users name it (judge.h), or NULL: there is none */
    const struct ste_judge_options *options;
    const char *runs; /* the folder whose runs can be looked at, or NULL */
    const char *host, *token;
    int port, socket;         /* SOCKET: one that listens already, or -1 */
    struct ste_strings names; /* hosts that requests may name beside this machine's own; for a server without a token */
    long long max_body, max_connections, max_per_address, max_jobs, idle_seconds, request_seconds;
    const struct ste_context *context; /* of the threads that answer */
};
struct ste_service;
/* Opens the judge, then listens. P and what it points to must outlive the server. STE_EUSAGE: without a token it would
 * listen where other machines reach it. */
int ste_service_open(struct ste_service **out, const struct ste_service_params *p, struct ste_err *err);
const char *ste_service_url(const struct ste_service *s);
void ste_service_reload(struct ste_service *s); /* takes the judge's newest adapter; says what came of it */
/* 0, or what ended the server from within: it is to be closed. */
int ste_service_code(const struct ste_service *s);
/* Takes no more requests; those that are there have SECONDS to end. Frees S. NULL is allowed. */
void ste_service_close(struct ste_service *s, double seconds);

#endif
