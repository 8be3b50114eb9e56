/*
 * Many requests in flight from one thread (libcurl's multi interface). Connections are kept and used again, but none
 * that was idle for long, since servers close those. Where many are in flight, their replies are taken every few
 * milliseconds. A request is tried once: its caller knows what may be asked again. Redirects are not followed, as a
 * POST would lose its body. ste_cancelled ends a wait.
 */
#ifndef STE_NET_POOL_H
#define STE_NET_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

struct ste_http_pool;
/* HEADERS: of each request, "Name: value" each, NULL-ended; or NULL. */
struct ste_http_pool *ste_http_pool_new(const char *const *headers);
void ste_http_pool_free(struct ste_http_pool *p); /* drops what is in flight; NULL is allowed */

struct ste_http_request {
    const char *url;
    char *body;       /* of a POST, as JSON, which the pool frees; NULL: a GET */
    double seconds;   /* for the whole of it */
    size_t max_bytes; /* of the answer's body */
    void *tag;        /* comes back with the answer */
};
void ste_http_pool_send(struct ste_http_pool *p, const struct ste_http_request *r);
void ste_http_pool_drop(struct ste_http_pool *p, const void *tag); /* nothing comes back for it */

struct ste_http_reply {
    void *tag;
    long status;  /* 0: no answer came, or not all of it */
    bool passes;  /* another try may turn it */
    bool refused; /* nobody was reached */
    double wait;  /* seconds that the server asks to wait; 0: it asks for nothing */
    const char *body; /* (n) bytes and a NUL, until the pool is used again */
    size_t n;
    char *why; /* what went wrong, without the address; NULL for a status below 300 */
};
void ste_http_reply_clear(struct ste_http_reply *r);
/* 1: *OUT is a reply, which the caller clears; 0: none came within SECONDS; STE_EINTERRUPTED. */
int ste_http_pool_next(struct ste_http_pool *p, double seconds, struct ste_http_reply *out, struct ste_err *err);

#endif
