/* What http.c (the daemon and a request's way), exchange.c (replies) and connections.c (time and numbers) share. */
#ifndef STE_SERVE_HTTP_INTERNAL_H
#define STE_SERVE_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/buf.h"
#include "serve/guard.h"
#include "serve/http.h"

#define STE_HTTP_THREADS 5

enum ste_phase { STE_CONN_IDLE, STE_CONN_READING, STE_CONN_WORKING, STE_CONN_SENDING };

/* In the order of their last change of phase, the oldest first. */
struct ste_conn {
    struct ste_conn *before, *after;
    struct ste_http *http;
    int fd;
    enum ste_phase phase;
    bool ended;          /* was told to go */
    double since, until; /* UNTIL: of sending, 0: as long as it takes */
};

/* One request. Two hold it: the daemon (until DONE) and whoever replies (until ENDED); the last one frees it. LOCK
 * guards what both touch, from RESPONSE on. */
struct ste_exchange {
    struct ste_http *http;
    struct MHD_Connection *mhd;
    struct ste_conn *conn;
    char *target; /* as it was sent */
    char *path, *method, *client;
    struct ste_fields query, parts;
    const struct ste_route *route;
    struct ste_buf body;
    double start;
    bool seen;                   /* its headers were */
    struct ste_exchange *queued; /* for a worker */
    pthread_mutex_t lock;
    struct MHD_Response *response;
    struct ste_strings headers; /* name, value, name, value... */
    int status;
    bool suspended, done, ended, sent;
    bool streaming, complete, lost; /* COMPLETE: nothing follows; LOST: the client read too slowly */
    struct ste_buf out;
    size_t out_at;
};

struct ste_http {
    struct ste_http_params p;
    struct MHD_Daemon *daemon;
    char *url;
    struct ste_http_count *counts;
    size_t n_counts;
    pthread_mutex_t lock;            /* of what follows */
    pthread_cond_t work, over, none; /* OVER: it ends; NONE: no route's function runs */
    struct ste_conn *oldest, *newest;
    size_t n_conns, busy, body_bytes, n_queued, handling;
    uint64_t displaced;
    struct ste_exchange *queue, **queue_end;
    bool stopping;
    atomic_bool draining;
    pthread_t threads[STE_HTTP_THREADS]; /* the first one watches the time, the others work */
    size_t n_threads;
};

/* connections.c */
void ste_conn_notify(void *http, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode what);
void ste_conn_phase(struct ste_conn *c, enum ste_phase phase, double until);
/* Sends what a client that is cut off in the middle of its request may still read, and ends the connection. */
void ste_conn_refuse(struct ste_conn *c, int status, const char *text);

/* Ends connections that are over their time; to be called a few times a second. */
void ste_conn_watch(struct ste_http *h);

/* exchange.c */
struct ste_exchange *ste_exchange_new(struct ste_http *h, struct MHD_Connection *c, const char *target);
/* The daemon is done with X, or who replies is. */
void ste_exchange_release(struct ste_exchange *x, bool daemon);
/* Queues the response that is there; X->lock is held. */
enum MHD_Result ste_exchange_send(struct ste_exchange *x);

/* listen.c */
int ste_listen(const char *host, int port, int *fd, struct ste_err *err);
char *ste_url_of(int fd); /* caller frees */
/* As many connections as the limit of open files allows, of WANTED; it is raised as far as need be and it goes. */
unsigned ste_connections_for(unsigned wanted);

#endif
