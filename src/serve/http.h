/*
 * The HTTP server (libmicrohttpd): one thread reads and writes all connections; routes that may read files have a few
 * threads of their own; replies that come later are given from anywhere (exchange.h). What a client may take is
 * bounded: connections, the time one is idle, bytes of headers and of a body, and what waits for a slow reader.
 */
#ifndef STE_SERVE_HTTP_H
#define STE_SERVE_HTTP_H

#include <stdint.h>

#include "core/context.h"
#include "core/strings.h"
#include "serve/exchange.h"

struct ste_http_table {
    const struct ste_route *routes; /* stay the caller's */
    size_t n;
};
struct ste_http_params {
    const char *host;  /* address or name to listen on */
    int port;          /* 0: any that is free */
    int socket;        /* one that listens already, in place of host and port; -1: none */
    const char *token; /* what clients must show, or NULL */
    const struct ste_strings
        *names; /* hosts, beside loopback, that requests may name; NULL: any, as a token is shown */
    struct ste_http_table tables[8];
    size_t n_tables;
    size_t max_body;                   /* bytes */
    unsigned max_connections;          /* lowered, with a warning, to what the system allows */
    unsigned max_per_address;          /* of them; 0: as many as there are */
    unsigned idle_seconds;             /* after which a connection that sends or takes nothing is closed */
    unsigned request_seconds;          /* in which a request must be whole */
    const struct ste_context *context; /* of the threads that routes run in */
};
struct ste_http;
int ste_http_start(struct ste_http **out, const struct ste_http_params *p, struct ste_err *err);
/* No other machine reaches the socket FD. */
bool ste_socket_is_local(int fd);
const char *ste_http_url(const struct ste_http *h); /* "http://127.0.0.1:8080" */
/* No connection is taken any more; exchanges that are there go on. */
void ste_http_quiesce(struct ste_http *h);
/* Waits up to SECONDS until none is there. */
bool ste_http_wait(struct ste_http *h, double seconds);
/* Frees H; no exchange may wait for its reply. NULL is allowed. */
void ste_http_stop(struct ste_http *h);

/* Counts, for /metrics. */
#define STE_HTTP_BUCKETS 14
extern const double ste_http_buckets[STE_HTTP_BUCKETS]; /* upper bounds in seconds; the last is infinite */
struct ste_http_count {
    const struct ste_route *route; /* NULL: none matched */
    int status;
    uint64_t requests, within[STE_HTTP_BUCKETS]; /* that took at most so long, each in one bucket */
    double seconds;
};
struct ste_http_counts {
    size_t connections, exchanges; /* now */
    uint64_t displaced;            /* idle connections that had to go for new ones */
    unsigned max_connections;
    struct ste_http_count *items; /* (n), caller frees */
    size_t n;
};
void ste_http_count(struct ste_http *h, struct ste_http_counts *out);

#endif
