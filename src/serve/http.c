#include "serve/http.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "serve/http_internal.h"

enum {
    POOL = 32 << 10, /* bytes that a connection has for its headers and what it sends */
    MAX_TARGET = 8 << 10,
    MAX_HEADERS = 16 << 10,
    MAX_QUEUED = 256, /* requests that wait for a worker */
    BODIES = 64,      /* how many bodies of the largest size there may be at once */
};

const double ste_http_buckets[STE_HTTP_BUCKETS] = {.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000, 1e300};

/* ---- a request's way ---- */

static const char *header(struct ste_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

/* The route of X; NULL: *ALLOWED lists the methods of the path, empty where there is no such path. HEAD is GET whose
 * body is not sent. */
static const struct ste_route *find_route(struct ste_exchange *x, size_t n_path, struct ste_buf *allowed)
{
    const struct ste_http_params *p = &x->http->p;
    const char *method = strcmp(x->method, "HEAD") ? x->method : "GET";
    for (size_t t = 0; t < p->n_tables; t++)
        for (size_t i = 0; i < p->tables[t].n; i++) {
            const struct ste_route *r = &p->tables[t].routes[i];
            struct ste_fields parts = {0};
            const bool path = ste_path_match(r->path, x->target, n_path, &parts);
            if (path && !strcmp(r->method, method)) {
                x->parts = parts;
                return r;
            }
            if (path)
                ste_buf_addf(allowed, "%s%s%s", allowed->len ? ", " : "", r->method,
                             strcmp(r->method, "GET") ? "" : ", HEAD");
            ste_fields_clear(&parts);
        }
    return NULL;
}

static enum MHD_Result count_header(void *size, enum MHD_ValueKind kind, const char *key, const char *value)
{
    *(size_t *)size += strlen(key) + (value ? strlen(value) : 0) + 4;
    return MHD_YES;
}

static void no_route(struct ste_exchange *x, const struct ste_buf *allowed)
{
    if (!allowed->len) {
        ste_reply_error(x, 404, "not_found", "there is nothing at %s", x->path);
        return;
    }
    char *list = ste_xasprintf("%s, OPTIONS", allowed->s);
    ste_reply_header(x, "Allow", list);
    if (!strcmp(x->method, "OPTIONS"))
        ste_reply(x, 204, "text/plain", NULL, 0);
    else
        ste_reply_error(x, 405, "method_not_allowed", "%s takes %s", x->path, list);
    ste_xfree(list);
}

static bool let_in(struct ste_exchange *x)
{
    const char *token = x->http->p.token;
    if (!token || x->route->open || ste_guard_token(header(x, "Authorization"), token))
        return true;
    ste_reply_header(x, "WWW-Authenticate", "Basic realm=\"ste\", charset=\"UTF-8\"");
    ste_reply_error(x, 401, "invalid_api_key",
                    "a token is needed: Authorization: Bearer TOKEN, or TOKEN as the password of any user");
    return false;
}

static bool is_json(const char *type)
{
    const size_t n = strcspn(type, "; \t");
    return (n == 16 && !strncasecmp(type, "application/json", n)) ||
           (n > 5 && !strncasecmp(type, "application/", 12) && !strncasecmp(type + n - 5, "+json", 5));
}

static bool from_other_site(struct ste_exchange *x, const char *version)
{
    const struct ste_http_params *p = &x->http->p;
    const char *host = header(x, "Host"), *origin = header(x, "Origin"), *mode = header(x, "Sec-Fetch-Mode");
    const bool get = !strcmp(x->method, "GET") || !strcmp(x->method, "HEAD");
    const bool link = get && !origin && mode && !strcmp(mode, "navigate");
    if (!host && strcmp(version, "HTTP/1.0"))
        ste_reply_error(x, 400, NULL, "the Host header is missing");
    else if (p->names && !ste_guard_host(host, p->names))
        ste_reply_error(x, 403, "unknown_host",
                        "the request names the host \"%s\", which is not this server; --allow-host NAME allows it",
                        host);
    else if (!link && ste_guard_foreign(origin, header(x, "Sec-Fetch-Site"), host))
        ste_reply_error(x, 403, "foreign_origin", "a page of another site sent this; it may not");
    else
        return false;
    return true;
}

/* What is wrong with the body that is announced. */
static bool bad_body(struct ste_exchange *x)
{
    const char *length = header(x, "Content-Length"), *coding = header(x, "Transfer-Encoding");
    const char *type = header(x, "Content-Type"), *encoding = header(x, "Content-Encoding");
    const bool takes = !strcmp(x->method, "POST") || !strcmp(x->method, "PUT");
    char *end = NULL;
    const unsigned long long n = length ? strtoull(length, &end, 10) : 0;
    if (length && (coding || *length < '0' || *length > '9' || *end))
        ste_reply_error(x, 400, NULL, "the length of the body is not clear");
    else if (n > x->http->p.max_body)
        ste_reply_error(x, 413, "body_too_large", "a body may have %zu bytes (--max-body-mb)", x->http->p.max_body);
    else if (takes && !length && !coding)
        ste_reply_error(x, 411, NULL, "the body's length is missing (Content-Length)");
    else if (takes && type && !is_json(type))
        ste_reply_error(x, 415, NULL, "%s is not taken; send JSON with Content-Type: application/json", type);
    else if (takes && encoding && strcasecmp(encoding, "identity"))
        ste_reply_error(x, 415, NULL, "a body in the encoding %s is not taken", encoding);
    else
        return false;
    return true;
}

/* Finds who answers once the body is here, or replies at once. */
static bool read_head(struct ste_exchange *x, const char *method, const char *version)
{
    const size_t n_path = strcspn(x->target, "?");
    struct ste_buf allowed = STE_BUF_INIT;
    size_t n_headers = 0;
    x->method = ste_xstrdup(method);
    x->path = ste_percent_decode(x->target, n_path, false);
    x->ended = false; /* what is wrong is replied here */
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, count_header, &n_headers);
    bool go = false;
    if (strlen(x->target) > MAX_TARGET)
        ste_reply_error(x, 414, NULL, "a target may have %d bytes", MAX_TARGET);
    else if (n_headers > MAX_HEADERS)
        ste_reply_error(x, 431, NULL, "headers may have %d bytes", MAX_HEADERS);
    else if (!x->path || *x->target != '/' ||
             !ste_query_read(&x->query, x->target[n_path] ? x->target + n_path + 1 : ""))
        ste_reply_error(x, 400, NULL, "the target cannot be read: it is a path, UTF-8, with %%XX for what is special");
    else if (from_other_site(x, version))
        ;
    else if (x->http->draining)
        ste_reply_error(x, 503, "stopping", "the server stops");
    else if (!(x->route = find_route(x, n_path, &allowed)))
        no_route(x, &allowed);
    else
        go = let_in(x) && !bad_body(x);
    ste_buf_clear(&allowed);
    if (go)
        x->ended = true; /* until the body is here, nobody has it who would reply */
    return go;
}

static enum MHD_Result take_body(struct ste_exchange *x, const char *data, size_t n)
{
    struct ste_http *h = x->http;
    pthread_mutex_lock(&h->lock);
    const bool room = h->body_bytes + n <= h->p.max_body * BODIES;
    h->body_bytes += room && x->body.len + n <= h->p.max_body ? n : 0;
    pthread_mutex_unlock(&h->lock);
    if (room && x->body.len + n <= h->p.max_body) {
        ste_buf_add(&x->body, data, n);
        return MHD_YES;
    }
    x->status = room ? 413 : 503;
    pthread_mutex_lock(&h->lock);
    ste_conn_refuse(x->conn, x->status, room ? "the body is too large" : "too many bodies are under way");
    pthread_mutex_unlock(&h->lock);
    return MHD_NO;
}

static void queue(struct ste_exchange *x)
{
    struct ste_http *h = x->http;
    pthread_mutex_lock(&h->lock);
    *h->queue_end = x;
    h->queue_end = &x->queued;
    h->n_queued++;
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->lock);
}

/* A route takes X, unless the server stops or too many wait. */
static bool enter(struct ste_exchange *x)
{
    struct ste_http *h = x->http;
    pthread_mutex_lock(&h->lock);
    const bool stops = h->draining, full = x->route->where == STE_ROUTE_WORKER && h->n_queued >= MAX_QUEUED;
    h->handling += !stops && !full;
    pthread_mutex_unlock(&h->lock);
    if (stops)
        ste_reply_error(x, 503, "stopping", "the server stops");
    else if (full)
        ste_reply_error(x, 503, "busy", "too many requests wait");
    return !stops && !full;
}

/* Runs X's route, for which the daemon's thread or a worker is lent. */
static void handle(struct ste_http *h, struct ste_exchange *x)
{
    x->route->handle(x->route->arg, x);
    pthread_mutex_lock(&h->lock);
    if (!--h->handling)
        pthread_cond_broadcast(&h->none);
    pthread_mutex_unlock(&h->lock);
}

static void *work(void *http)
{
    struct ste_http *h = http;
    ste_context_set(h->p.context);
    pthread_mutex_lock(&h->lock);
    while (!h->stopping || h->queue) {
        struct ste_exchange *x = h->queue;
        if (!x) {
            pthread_cond_wait(&h->work, &h->lock);
            continue;
        }
        h->queue = x->queued;
        if (!h->queue)
            h->queue_end = &h->queue;
        h->n_queued--;
        pthread_mutex_unlock(&h->lock);
        handle(h, x);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static void *watch(void *http)
{
    struct ste_http *h = http;
    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += (until.tv_nsec += 200000000) / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&h->over, &h->lock, &until);
        pthread_mutex_unlock(&h->lock);
        ste_conn_watch(h);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* The request is whole. X may end at once, elsewhere; it stays until the daemon is done with it. */
static void answer(struct ste_exchange *x)
{
    ste_conn_phase(x->conn, STE_CONN_WORKING, 0);
    x->ended = false;
    if (!enter(x))
        return;
    if (x->route->where == STE_ROUTE_WORKER) {
        queue(x);
        return;
    }
    const struct ste_context *was = ste_context_set(x->http->p.context);
    handle(x->http, x);
    ste_context_set(was);
}

/* Sends what was replied, or waits for it. */
static enum MHD_Result send_or_wait(struct ste_exchange *x)
{
    enum MHD_Result rc = MHD_YES;
    pthread_mutex_lock(&x->lock);
    if (x->response) {
        rc = ste_exchange_send(x);
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->mhd);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

static enum MHD_Result on_request(void *http, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *n, void **context)
{
    struct ste_exchange *x = *context;
    if (!x->seen) {
        x->seen = true;
        return read_head(x, method, version) ? MHD_YES : send_or_wait(x);
    }
    if (*n) {
        const size_t had = *n;
        *n = 0;
        return take_body(x, data, had);
    }
    if (x->conn->phase == STE_CONN_READING)
        answer(x);
    return send_or_wait(x);
}

static void *on_target(void *http, const char *target, struct MHD_Connection *c)
{
    struct ste_exchange *x = ste_exchange_new(http, c, target);
    ste_conn_phase(x->conn, STE_CONN_READING, 0);
    return x;
}

static void count(struct ste_exchange *x)
{
    struct ste_http *h = x->http;
    const double took = ste_now() - x->start;
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

static void on_completed(void *http, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode why)
{
    struct ste_exchange *x = *context;
    if (!x)
        return;
    *context = NULL;
    if (x->status)
        count(x);
    ste_conn_phase(x->conn, STE_CONN_IDLE, 0);
    ste_exchange_release(x, true);
}

/* Targets are read here, as they were sent (read_head). */
static size_t leave_as_it_is(void *arg, struct MHD_Connection *c, char *s)
{
    return strlen(s);
}

static void quiet(void *arg, const char *format, va_list ap)
{
}

/* ---- the daemon ---- */

int ste_http_start(struct ste_http **out, const struct ste_http_params *p, struct ste_err *err)
{
    int fd = p->socket, rc = fd >= 0 ? 0 : ste_listen(p->host, p->port, &fd, err);
    *out = NULL;
    if (rc)
        return rc;
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 1 << 20); /* large bodies go back to the system with their requests */
#endif
    struct ste_http *h = ste_xcalloc(1, sizeof *h);
    h->p = *p;
    h->p.max_connections = ste_connections_for(p->max_connections);
    h->url = ste_url_of(fd);
    h->queue_end = &h->queue;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->work, NULL);
    pthread_cond_init(&h->over, NULL);
    pthread_cond_init(&h->none, NULL);
    *out = h; /* routes may ask for it from the first request on */
    while (h->n_threads < STE_HTTP_THREADS &&
           !pthread_create(&h->threads[h->n_threads], NULL, h->n_threads ? work : watch, h))
        h->n_threads++;
    if (h->n_threads == STE_HTTP_THREADS)
        h->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL,
            on_request, h, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
            MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, ste_conn_notify, h,
            MHD_OPTION_URI_LOG_CALLBACK, on_target, h, MHD_OPTION_UNESCAPE_CALLBACK, leave_as_it_is, NULL,
            MHD_OPTION_CONNECTION_LIMIT, h->p.max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, p->max_per_address,
            MHD_OPTION_CONNECTION_TIMEOUT, p->idle_seconds + 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,
            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!h->daemon) {
        rc = ste_err_errno(err, "cannot start the server");
        close(fd);
        ste_http_stop(h);
        *out = NULL;
        return rc;
    }
    return 0;
}

const char *ste_http_url(const struct ste_http *h)
{
    return h->url;
}

void ste_http_quiesce(struct ste_http *h)
{
    pthread_mutex_lock(&h->lock);
    const bool was = h->draining;
    h->draining = true;
    pthread_mutex_unlock(&h->lock);
    const MHD_socket fd = was ? MHD_INVALID_SOCKET : MHD_quiesce_daemon(h->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    pthread_mutex_lock(&h->lock);
    while (h->handling)
        pthread_cond_wait(&h->none, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

bool ste_http_wait(struct ste_http *h, double seconds)
{
    const struct timespec moment = {0, 10000000};
    const double until = ste_now() + seconds;
    for (;;) {
        pthread_mutex_lock(&h->lock);
        const bool none = !h->busy;
        pthread_mutex_unlock(&h->lock);
        if (none || ste_now() >= until)
            return none;
        nanosleep(&moment, NULL);
    }
}

void ste_http_stop(struct ste_http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->work);
    pthread_cond_broadcast(&h->over);
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < h->n_threads; i++)
        pthread_join(h->threads[i], NULL);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    pthread_cond_destroy(&h->work);
    pthread_cond_destroy(&h->over);
    pthread_cond_destroy(&h->none);
    pthread_mutex_destroy(&h->lock);
    ste_xfree(h->counts);
    ste_xfree(h->url);
    ste_xfree(h);
}

void ste_http_count(struct ste_http *h, struct ste_http_counts *out)
{
    pthread_mutex_lock(&h->lock);
    *out = (struct ste_http_counts){.connections = h->n_conns,
                                    .exchanges = h->busy,
                                    .displaced = h->displaced,
                                    .max_connections = h->p.max_connections,
                                    .items = ste_xmemdup(h->counts, h->n_counts * sizeof *h->counts),
                                    .n = h->n_counts};
    pthread_mutex_unlock(&h->lock);
}
