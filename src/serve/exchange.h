/*
 * What a route sees of HTTP: one whole request, and its reply, which is given at once, later from another thread, or
 * piece by piece. http.c is the only file that knows the library behind it.
 *
 * Every exchange is ended exactly once, by ste_reply... or by ste_stream_end; from then on it is not touched. A client
 * that goes away ends nothing: ste_exchange_gone says so, and the reply is given as ever and thrown away.
 */
#ifndef STE_SERVE_EXCHANGE_H
#define STE_SERVE_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct ste_exchange;

/* The request. Texts live as long as the exchange. */
const char *ste_exchange_method(const struct ste_exchange *x);
const char *ste_exchange_path(const struct ste_exchange *x); /* decoded, valid UTF-8, without the query */
const char *ste_exchange_query(const struct ste_exchange *x, const char *name); /* decoded; NULL: not there */
/* NULL: not there. Lives until the reply begins. */
const char *ste_exchange_header(const struct ste_exchange *x, const char *name);
const char *ste_exchange_part(const struct ste_exchange *x, const char *name); /* what stood for {NAME} in the path */
const char *ste_exchange_body(const struct ste_exchange *x, size_t *n);        /* ends with a NUL behind its N bytes */
const char *ste_exchange_client(const struct ste_exchange *x);                 /* who asks, for fairness: an address */
bool ste_exchange_gone(const struct ste_exchange *x);                          /* the client has hung up; any thread */

/* The reply, whole. */
/* BODY (N bytes, freed with ste_xfree) becomes the exchange's. */
void ste_reply(struct ste_exchange *x, int status, const char *type, char *body, size_t n);
void ste_reply_json(struct ste_exchange *x, int status, json_t *body); /* BODY is given away */
/* {"error": {"message", "type", "code"}}, as OpenAI's clients read it. TYPE by STATUS; CODE may be NULL. */
void ste_reply_error(struct ste_exchange *x, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void ste_reply_failed(struct ste_exchange *x, const struct ste_err *err); /* STATUS by the error's code */
/* Adds a header to the reply to come. */
void ste_reply_header(struct ste_exchange *x, const char *name, const char *value);

/* The reply, piece by piece (server-sent events and the like). */
void ste_stream_begin(struct ste_exchange *x, int status, const char *type);
/* Copies N bytes into what is to be sent, and never waits for the client. False: it is gone, or reads so slowly that it
 * was given up; the work may be dropped, the stream is still to be ended. */
bool ste_stream_write(struct ste_exchange *x, const char *bytes, size_t n);
void ste_stream_end(struct ste_exchange *x);

/* A route. PATH may have parts, as in "/runs/{run}/pairs/{pair}". */
enum ste_route_where {
    STE_ROUTE_HERE,   /* HANDLE is done at once: it runs where connections are read and must not wait */
    STE_ROUTE_WORKER, /* HANDLE may read files and databases: it has a thread of its own for so long */
};
struct ste_route {
    const char *method, *path;
    void (*handle)(void *arg, struct ste_exchange *x);
    void *arg;
    enum ste_route_where where;
    bool open; /* needs no token: /health */
};

#endif
