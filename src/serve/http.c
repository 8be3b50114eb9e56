#include "serve/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "serve/guard.h"

#define WORKERS 4
#define HEADER_BYTES (32 << 10) /* of a request, with its first line */
#define WAITING_BYTES (1 << 20) /* of a stream, that its client has not read: more, and it is given up */
#define SPARE_DESCRIPTORS 128   /* for files, databases and the like */
#define DISCARDED 4             /* times max_body, of a body without a length: then the connection is cut */

const double ste_http_buckets[STE_HTTP_BUCKETS] = {.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000, 1e300};

struct ste_http {
    struct MHD_Daemon *daemon;
    struct ste_http_params p;
    char *url;
    bool quiet; /* its listening socket is closed */
    atomic_size_t exchanges;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct ste_exchange *first, *last; /* that wait for a worker */
    pthread_t workers[WORKERS];
    int n_workers;
    bool ends;
    struct ste_http_count *counts;
    size_t n_counts;
};

struct said {
    enum MHD_ValueKind kind;
    char *name, *value;
};

struct ste_exchange {
    struct ste_http *h;
    struct MHD_Connection *c;
    struct ste_exchange *next; /* that waits for a worker */
    int fd;
    double began;
    char *method, *path, *client;
    struct said *said; /* (n_said): query and headers */
    size_t n_said, n_parts;
    struct ste_part parts[STE_MAX_PARTS];
    const struct ste_route *route;
    struct ste_buf body;
    size_t discarded;
    bool admitted, dispatched;
    /* Its two holders, MHD and who is to reply, meet here. */
    pthread_mutex_t lock;
    int holds;
    bool ready, suspended, over; /* OVER: MHD is done with it */
    bool streams, ended, given_up;
    int status;
    char *type, *reply;
    size_t n_reply;
    struct said *headers;
    size_t n_headers;
    struct ste_buf out; /* of a stream, what MHD has not taken yet begins at TAKEN */
    size_t taken;
};

/* ---- exchanges ---- */

static void say(struct said **list, size_t *n, enum MHD_ValueKind kind, const char *name, const char *value)
{
    *list = ste_xrealloc(*list, (*n + 1) * sizeof **list);
    (*list)[(*n)++] = (struct said){kind, ste_xstrdup(name), ste_xstrdup(value ? value : "")};
}

static void unsay(struct said *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ste_xfree(list[i].name);
        ste_xfree(list[i].value);
    }
    ste_xfree(list);
}

static enum MHD_Result hear(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct ste_exchange *x = arg;
    say(&x->said, &x->n_said, kind, name, value);
    return MHD_YES;
}

static char *address_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char host[64] = "?", port[16] = "";
    if (info && info->client_addr)
        getnameinfo(info->client_addr,
                    info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
                    host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    /* On this machine all have one address: each connection is a client of its own then. */
    return ste_guard_is_loopback(host) ? ste_xasprintf("%s:%s", host, port) : ste_xstrdup(host);
}

static struct ste_exchange *exchange_new(struct ste_http *h, struct MHD_Connection *c, const char *url,
                                         const char *method)
{
    struct ste_exchange *x = ste_xcalloc(1, sizeof *x);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->h = h;
    x->c = c;
    x->fd = info ? info->connect_fd : -1;
    x->began = ste_now();
    x->method = ste_xstrdup(method);
    x->path = ste_xstrdup(url);
    x->client = address_of(c);
    x->body = x->out = (struct ste_buf)STE_BUF_INIT;
    x->holds = 1;
    pthread_mutex_init(&x->lock, NULL);
    MHD_get_connection_values(c, MHD_HEADER_KIND, hear, x);
    MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, hear, x);
    atomic_fetch_add(&h->exchanges, 1);
    return x;
}

static void let_go(struct ste_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool last = --x->holds == 0;
    pthread_mutex_unlock(&x->lock);
    if (!last)
        return;
    struct ste_http *h = x->h;
    pthread_mutex_destroy(&x->lock);
    for (size_t i = 0; i < x->n_parts; i++)
        ste_xfree(x->parts[i].value);
    unsay(x->said, x->n_said);
    unsay(x->headers, x->n_headers);
    ste_xfree(x->method);
    ste_xfree(x->path);
    ste_xfree(x->client);
    ste_xfree(x->type);
    ste_xfree(x->reply);
    ste_buf_clear(&x->body);
    ste_buf_clear(&x->out);
    ste_xfree(x);
    atomic_fetch_sub(&h->exchanges, 1);
}

static const char *heard(const struct ste_exchange *x, enum MHD_ValueKind kind, const char *name)
{
    for (size_t i = 0; i < x->n_said; i++)
        if (x->said[i].kind == kind &&
            (kind == MHD_HEADER_KIND ? strcasecmp(x->said[i].name, name) : strcmp(x->said[i].name, name)) == 0)
            return x->said[i].value;
    return NULL;
}

const char *ste_exchange_method(const struct ste_exchange *x)
{
    return x->method;
}

const char *ste_exchange_path(const struct ste_exchange *x)
{
    return x->path;
}

const char *ste_exchange_query(const struct ste_exchange *x, const char *name)
{
    return heard(x, MHD_GET_ARGUMENT_KIND, name);
}

const char *ste_exchange_header(const struct ste_exchange *x, const char *name)
{
    return heard(x, MHD_HEADER_KIND, name);
}

const char *ste_exchange_part(const struct ste_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_parts; i++)
        if (strlen(name) == x->parts[i].n_name && memcmp(name, x->parts[i].name, x->parts[i].n_name) == 0)
            return x->parts[i].value;
    return NULL;
}

const char *ste_exchange_body(const struct ste_exchange *x, size_t *n)
{
    *n = x->body.len;
    return x->body.s;
}

const char *ste_exchange_client(const struct ste_exchange *x)
{
    return x->client;
}

bool ste_exchange_gone(const struct ste_exchange *x_)
{
    struct ste_exchange *x = (struct ste_exchange *)(uintptr_t)x_;
    char byte;
    pthread_mutex_lock(&x->lock);
    bool gone = x->over || x->given_up;
    if (!gone && x->suspended) { /* MHD does not look at it, nor closes it, while it waits */
        const ssize_t n = recv(x->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    }
    pthread_mutex_unlock(&x->lock);
    return gone;
}

/* With X's lock. */
static void wake(struct ste_exchange *x)
{
    if (!x->suspended)
        return;
    x->suspended = false;
    MHD_resume_connection(x->c);
}

static void is_ready(struct ste_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->ready = true;
    wake(x);
    pthread_mutex_unlock(&x->lock);
}

void ste_reply(struct ste_exchange *x, int status, const char *type, char *body, size_t n)
{
    x->status = status;
    x->type = ste_xstrdup(type);
    x->reply = body;
    x->n_reply = n;
    is_ready(x);
    let_go(x);
}

void ste_reply_header(struct ste_exchange *x, const char *name, const char *value)
{
    say(&x->headers, &x->n_headers, MHD_HEADER_KIND, name, value);
}

void ste_stream_begin(struct ste_exchange *x, int status, const char *type)
{
    x->status = status;
    x->type = ste_xstrdup(type);
    x->streams = true;
    is_ready(x);
}

bool ste_stream_write(struct ste_exchange *x, const char *bytes, size_t n)
{
    pthread_mutex_lock(&x->lock);
    if (x->out.len - x->taken + n > WAITING_BYTES)
        x->given_up = true;
    if (!x->over && !x->given_up)
        ste_buf_add(&x->out, bytes, n);
    const bool ok = !x->over && !x->given_up;
    wake(x);
    pthread_mutex_unlock(&x->lock);
    return ok;
}

void ste_stream_end(struct ste_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->ended = true;
    wake(x);
    pthread_mutex_unlock(&x->lock);
    let_go(x);
}

/* ---- what MHD asks ---- */

static ssize_t read_stream(void *arg, uint64_t at, char *to, size_t most)
{
    struct ste_exchange *x = arg;
    pthread_mutex_lock(&x->lock);
    ssize_t n = 0;
    const size_t waits = x->out.len - x->taken;
    if (x->given_up) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (waits) {
        n = (ssize_t)(waits < most ? waits : most);
        memcpy(to, x->out.s + x->taken, (size_t)n);
        x->taken += (size_t)n;
        if (x->taken == x->out.len) {
            ste_buf_reset(&x->out);
            x->taken = 0;
        }
    } else if (x->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->c);
    }
    pthread_mutex_unlock(&x->lock);
    return n;
}

static enum MHD_Result send_reply(struct ste_exchange *x)
{
    struct MHD_Response *r =
        x->streams
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 << 10, read_stream, x, NULL)
            : MHD_create_response_from_buffer(x->n_reply, x->reply ? x->reply : (void *)"", MHD_RESPMEM_PERSISTENT);
    if (!r)
        return MHD_NO;
    if (x->type && *x->type)
        MHD_add_response_header(r, "Content-Type", x->type);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < x->n_headers; i++)
        if (strcasecmp(x->headers[i].name, "X-Content-Type-Options") != 0)
            MHD_add_response_header(r, x->headers[i].name, x->headers[i].value);
    const enum MHD_Result rc = MHD_queue_response(x->c, (unsigned)x->status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Finds X's route. False: it has replied. */
static bool find_route(struct ste_exchange *x)
{
    const bool head = strcmp(x->method, "HEAD") == 0, options = strcmp(x->method, "OPTIONS") == 0;
    struct ste_buf allowed = STE_BUF_INIT;
    for (size_t t = 0; t < x->h->p.n_tables; t++)
        for (size_t i = 0; i < x->h->p.tables[t].n; i++) {
            const struct ste_route *r = &x->h->p.tables[t].routes[i];
            struct ste_part parts[STE_MAX_PARTS];
            size_t n = 0;
            if (x->route || !ste_route_matches(r->path, x->path, parts, &n))
                continue;
            if (strcmp(x->method, r->method) == 0 || (head && strcmp(r->method, "GET") == 0)) {
                x->route = r;
                x->n_parts = n;
                memcpy(x->parts, parts, sizeof parts);
                continue;
            }
            ste_buf_addf(&allowed, "%s%s", allowed.len ? ", " : "", r->method);
            if (strcmp(r->method, "GET") == 0)
                ste_buf_adds(&allowed, ", HEAD");
            for (size_t k = 0; k < n; k++)
                ste_xfree(parts[k].value);
        }
    const bool found = x->route, known = allowed.len;
    if (!found && known) {
        ste_buf_adds(&allowed, ", OPTIONS");
        ste_reply_header(x, "Allow", allowed.s);
        if (options)
            ste_reply(x, 204, "", NULL, 0);
        else
            ste_reply_error(x, 405, "method_not_allowed", "%s is not for %s; there is %s", x->method, x->path,
                            allowed.s);
    } else if (!found) {
        ste_reply_error(x, 404, "not_found", "there is nothing at %s", x->path);
    }
    ste_buf_clear(&allowed);
    return found;
}

static bool is_utf8(const char *text)
{
    return ste_utf8_bad(text, strlen(text)) == strlen(text);
}

/* Whether the request may be answered, by what its head says. False: it has replied. */
static bool admit(struct ste_exchange *x)
{
    const struct ste_http_params *p = &x->h->p;
    const char *host = ste_exchange_header(x, "Host"), *length = ste_exchange_header(x, "Content-Length"),
               *origin = ste_exchange_header(x, "Origin"), *mode = ste_exchange_header(x, "Sec-Fetch-Mode");
    const bool link = strcmp(x->method, "GET") == 0 && !origin && mode && strcmp(mode, "navigate") == 0;
    for (size_t i = 0; i < x->n_said; i++)
        if (x->said[i].kind == MHD_GET_ARGUMENT_KIND && !(is_utf8(x->said[i].name) && is_utf8(x->said[i].value))) {
            ste_reply_error(x, 400, "bad_request", "the query is not valid UTF-8");
            return false;
        }
    if (!is_utf8(x->path)) {
        ste_xfree(x->path);
        x->path = ste_xstrdup("/");
        ste_reply_error(x, 400, "bad_request", "the path is not valid UTF-8");
        return false;
    }
    if (p->names && !ste_guard_host(host, p->names)) {
        ste_reply_error(x, 403, "unknown_host",
                        "the request names the host \"%s\", which is not this server; --allow-host NAME allows it",
                        host);
        return false;
    }
    if (!link && ste_guard_foreign(origin, ste_exchange_header(x, "Sec-Fetch-Site"), host)) {
        ste_reply_error(x, 403, "foreign_origin", "a page of another site sent this; it may not");
        return false;
    }
    if (!find_route(x))
        return false;
    if (p->token && !x->route->open && !ste_guard_token(ste_exchange_header(x, "Authorization"), p->token)) {
        ste_reply_header(x, "WWW-Authenticate", "Basic realm=\"ste\", charset=\"UTF-8\"");
        ste_reply_error(x, 401, "invalid_api_key",
                        "a token is needed: Authorization: Bearer TOKEN, or TOKEN as the password of any user");
        return false;
    }
    if (length && strtoull(length, NULL, 10) > p->max_body) {
        ste_reply_header(x, "Connection", "close");
        ste_reply_error(x, 413, "too_large", "the body has %s bytes; at most %zu are taken (--max-body)", length,
                        p->max_body);
        return false;
    }
    return true;
}

static void hold(struct ste_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->holds++;
    pthread_mutex_unlock(&x->lock);
}

static void dispatch(struct ste_exchange *x)
{
    struct ste_http *h = x->h;
    x->dispatched = true;
    hold(x);
    if (x->discarded) {
        ste_reply_header(x, "Connection", "close");
        ste_reply_error(x, 413, "too_large", "the body has more than %zu bytes (--max-body)", h->p.max_body);
    } else if (x->route->where == STE_ROUTE_HERE) {
        x->route->handle(x->route->arg, x);
    } else {
        pthread_mutex_lock(&h->lock);
        if (h->last)
            h->last->next = x;
        else
            h->first = x;
        h->last = x;
        pthread_cond_signal(&h->work);
        pthread_mutex_unlock(&h->lock);
    }
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *n, void **own)
{
    struct ste_http *h = arg;
    struct ste_exchange *x = *own;
    if (!x) {
        ste_context_set(h->p.context);
        *own = x = exchange_new(h, c, url, method);
        hold(x);
        x->admitted = admit(x);
        if (!x->admitted)
            return send_reply(x);
        let_go(x);
        return MHD_YES;
    }
    if (*n) {
        if (x->body.len + *n <= h->p.max_body && !x->discarded)
            ste_buf_add(&x->body, bytes, *n);
        else
            x->discarded += *n;
        *n = 0;
        return x->discarded / DISCARDED > h->p.max_body ? MHD_NO : MHD_YES;
    }
    if (!x->admitted)
        return MHD_YES; /* its reply is on its way */
    if (!x->dispatched)
        dispatch(x);
    pthread_mutex_lock(&x->lock);
    const bool ready = x->ready;
    if (!ready) {
        x->suspended = true;
        MHD_suspend_connection(c);
    }
    pthread_mutex_unlock(&x->lock);
    return ready ? send_reply(x) : MHD_YES;
}

static void count(struct ste_exchange *x)
{
    struct ste_http *h = x->h;
    const double took = ste_now() - x->began;
    int b = 0;
    while (took > ste_http_buckets[b] && b < STE_HTTP_BUCKETS - 1)
        b++;
    pthread_mutex_lock(&h->lock);
    size_t i = 0;
    while (i < h->n_counts && (h->counts[i].route != x->route || h->counts[i].status != x->status))
        i++;
    if (i == h->n_counts) {
        h->counts = ste_xrealloc(h->counts, ++h->n_counts * sizeof *h->counts);
        h->counts[i] = (struct ste_http_count){.route = x->route, .status = x->status};
    }
    h->counts[i].requests++;
    h->counts[i].within[b]++;
    h->counts[i].seconds += took;
    pthread_mutex_unlock(&h->lock);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **own, enum MHD_RequestTerminationCode why)
{
    struct ste_exchange *x = *own;
    if (!x)
        return;
    *own = NULL;
    pthread_mutex_lock(&x->lock);
    x->over = true;
    pthread_mutex_unlock(&x->lock);
    if (x->status)
        count(x);
    let_go(x);
}

static void *work(void *arg)
{
    struct ste_http *h = arg;
    ste_context_set(h->p.context);
    pthread_mutex_lock(&h->lock);
    for (;;) {
        struct ste_exchange *x = h->first;
        if (!x && h->ends)
            break;
        if (!x) {
            pthread_cond_wait(&h->work, &h->lock);
            continue;
        }
        h->first = x->next;
        if (!h->first)
            h->last = NULL;
        pthread_mutex_unlock(&h->lock);
        x->route->handle(x->route->arg, x);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* ---- start and end ---- */

static int listen_on(const struct ste_http_params *p, int *fd, struct ste_err *err)
{
    char port[16];
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(port, sizeof port, "%d", p->port);
    const int rc = getaddrinfo(p->host, port, &hints, &list);
    if (rc)
        return ste_err_set(err, STE_EUSAGE, "--host %s is no address of this machine: %s", p->host, gai_strerror(rc));
    *fd = -1;
    int why = 0;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) {
        const int s = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), yes = 1;
        if (s < 0) {
            why = errno;
            continue;
        }
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(s, a->ai_addr, a->ai_addrlen) == 0 && listen(s, 1024) == 0) {
            *fd = s;
        } else {
            why = errno;
            close(s);
        }
    }
    freeaddrinfo(list);
    return *fd >= 0 ? 0
                    : ste_err_set(err, STE_EIO, "cannot listen on port %d of %s: %s%s", p->port, p->host, strerror(why),
                                  why == EADDRINUSE ? "; --port takes another, 0 any that is free" : "");
}

static char *url_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char host[64] = "?", port[16] = "?";
    if (getsockname(fd, (struct sockaddr *)&a, &n) == 0)
        getnameinfo((struct sockaddr *)&a, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    return ste_xasprintf(strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

/* As many descriptors as the system gives; how many connections that allows. */
static unsigned connections_for(unsigned wanted)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return wanted;
    if (r.rlim_cur < wanted + SPARE_DESCRIPTORS) {
        r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > wanted + SPARE_DESCRIPTORS ? wanted + SPARE_DESCRIPTORS
                                                                                            : r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
        getrlimit(RLIMIT_NOFILE, &r);
    }
    if (r.rlim_cur >= wanted + SPARE_DESCRIPTORS)
        return wanted;
    const unsigned have =
        r.rlim_cur > 2 * SPARE_DESCRIPTORS ? (unsigned)r.rlim_cur - SPARE_DESCRIPTORS : SPARE_DESCRIPTORS;
    ste_warn("at most %u connections at a time, since the limit on open files is %llu (ulimit -n)", have,
             (unsigned long long)r.rlim_cur);
    return have;
}

static void no_log(void *arg, const char *fmt, va_list ap)
{
}

int ste_http_start(struct ste_http **out, const struct ste_http_params *p, struct ste_err *err)
{
    struct ste_http *h = ste_xcalloc(1, sizeof *h);
    int fd = p->socket, rc = fd >= 0 ? 0 : listen_on(p, &fd, err);
    *out = NULL;
    if (rc) {
        ste_xfree(h);
        return rc;
    }
    h->p = *p;
    h->p.max_connections = connections_for(p->max_connections);
    h->url = url_of(fd);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->work, NULL);
    while (h->n_workers < WORKERS && pthread_create(&h->workers[h->n_workers], NULL, work, h) == 0)
        h->n_workers++;
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, h, MHD_OPTION_EXTERNAL_LOGGER, no_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, h->p.max_connections, MHD_OPTION_CONNECTION_TIMEOUT, p->idle_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!h->daemon || !h->n_workers) {
        rc = ste_err_set(err, STE_EIO, "cannot start the server: %s", strerror(errno));
        if (!h->daemon)
            close(fd);
        ste_http_stop(h);
        return rc;
    }
    *out = h;
    return 0;
}

const char *ste_http_url(const struct ste_http *h)
{
    return h->url;
}

void ste_http_quiesce(struct ste_http *h)
{
    if (h->quiet)
        return;
    const MHD_socket fd = MHD_quiesce_daemon(h->daemon);
    h->quiet = true;
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

bool ste_http_wait(struct ste_http *h, double seconds)
{
    const struct timespec moment = {0, 10000000};
    const double until = ste_now() + seconds;
    while (atomic_load(&h->exchanges) && ste_now() < until)
        nanosleep(&moment, NULL);
    return !atomic_load(&h->exchanges);
}

void ste_http_stop(struct ste_http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->ends = true;
    pthread_cond_broadcast(&h->work);
    pthread_mutex_unlock(&h->lock);
    for (int i = 0; i < h->n_workers; i++)
        pthread_join(h->workers[i], NULL);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    pthread_cond_destroy(&h->work);
    pthread_mutex_destroy(&h->lock);
    ste_xfree(h->counts);
    ste_xfree(h->url);
    ste_xfree(h);
}

void ste_http_count(struct ste_http *h, struct ste_http_counts *out)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    pthread_mutex_lock(&h->lock);
    *out = (struct ste_http_counts){.connections = info ? info->num_connections : 0,
                                    .exchanges = atomic_load(&h->exchanges),
                                    .max_connections = h->p.max_connections,
                                    .items = ste_xmemdup(h->counts, h->n_counts * sizeof *h->counts),
                                    .n = h->n_counts};
    pthread_mutex_unlock(&h->lock);
}
