#include "serve/exchange.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/mem.h"
#include "serve/http_internal.h"

enum { MAX_UNREAD = 4 << 20, PIECE = 16 << 10 /* bytes of a stream that wait, and that go at once */ };
#define SLOWEST 16384.0 /* bytes a second at which a whole reply must be read */

static char *client_of(struct MHD_Connection *c)
{
    char host[NI_MAXHOST] = "local", port[NI_MAXSERV] = "";
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info ? info->client_addr : NULL;
    if (a && (a->sa_family == AF_INET || a->sa_family == AF_INET6))
        getnameinfo(a, a->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), host,
                    sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    /* On this machine all have one address: each connection is a client of its own then. */
    return ste_guard_is_loopback(host) ? ste_xasprintf("%s:%s", host, port) : ste_xstrdup(host);
}

struct ste_exchange *ste_exchange_new(struct ste_http *h, struct MHD_Connection *c, const char *target)
{
    struct ste_exchange *x = ste_xcalloc(1, sizeof *x);
    x->http = h;
    x->mhd = c;
    x->conn = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    x->target = ste_xstrdup(target);
    x->body = x->out = (struct ste_buf)STE_BUF_INIT;
    x->start = ste_now();
    x->ended = true; /* until a route has it */
    pthread_mutex_init(&x->lock, NULL);
    x->client = client_of(c);
    pthread_mutex_lock(&h->lock);
    h->busy++;
    pthread_mutex_unlock(&h->lock);
    return x;
}

void ste_exchange_release(struct ste_exchange *x, bool daemon)
{
    struct ste_http *h = x->http;
    pthread_mutex_lock(&x->lock);
    *(daemon ? &x->done : &x->ended) = true;
    const bool last = x->done && x->ended;
    pthread_mutex_unlock(&x->lock);
    if (!last)
        return;
    if (x->response)
        MHD_destroy_response(x->response);
    pthread_mutex_lock(&h->lock);
    h->body_bytes -= x->body.len;
    h->busy--;
    pthread_mutex_unlock(&h->lock);
    pthread_mutex_destroy(&x->lock);
    ste_xfree(x->target);
    ste_xfree(x->path);
    ste_xfree(x->method);
    ste_xfree(x->client);
    ste_fields_clear(&x->query);
    ste_fields_clear(&x->parts);
    ste_strings_clear(&x->headers);
    ste_buf_clear(&x->body);
    ste_buf_clear(&x->out);
    ste_xfree(x);
}

/* ---- the request ---- */

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
    return ste_fields_find(&x->query, name);
}

const char *ste_exchange_header(const struct ste_exchange *x, const char *name)
{
    struct ste_exchange *mine = (struct ste_exchange *)x;
    pthread_mutex_lock(&mine->lock);
    const char *value = x->done ? NULL : MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
    pthread_mutex_unlock(&mine->lock);
    return value;
}

const char *ste_exchange_part(const struct ste_exchange *x, const char *name)
{
    return ste_fields_find(&x->parts, name);
}

const char *ste_exchange_body(const struct ste_exchange *x, size_t *n)
{
    if (n)
        *n = x->body.len;
    return x->body.s;
}

const char *ste_exchange_client(const struct ste_exchange *x)
{
    return x->client;
}

bool ste_exchange_gone(const struct ste_exchange *x)
{
    struct ste_exchange *mine = (struct ste_exchange *)x;
    pthread_mutex_lock(&mine->lock);
    bool gone = x->done || x->lost;
    if (!gone) {
        /* A connection that is suspended is watched by nobody else. */
        struct pollfd p = {.fd = x->conn->fd, .events = POLLRDHUP};
        gone = poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
    }
    pthread_mutex_unlock(&mine->lock);
    return gone;
}

/* ---- the reply ---- */

static bool has_header(const struct ste_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->headers.n; i += 2)
        if (!strcasecmp(x->headers.items[i], name))
            return true;
    return false;
}

void ste_reply_header(struct ste_exchange *x, const char *name, const char *value)
{
    if (value[strcspn(value, "\r\n")])
        return;
    ste_strings_add(&x->headers, name);
    ste_strings_add(&x->headers, value);
}

/* What a reply is allowed in a browser, where the route does not say. */
static void default_headers(struct ste_exchange *x, const char *type)
{
    const bool page = !strncmp(type, "text/html", 9);
    const char *const all[][2] = {
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy",
         page ? "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self' data:; "
                "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
              : "default-src 'none'; frame-ancestors 'none'"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!has_header(x, all[i][0]))
            ste_reply_header(x, all[i][0], all[i][1]);
    if (x->status == 503 && !has_header(x, "Retry-After"))
        ste_reply_header(x, "Retry-After", "1");
    if (x->http->draining)
        ste_reply_header(x, "Connection", "close");
    ste_reply_header(x, "Content-Type", type);
    for (size_t i = 0; i < x->headers.n; i += 2)
        MHD_add_response_header(x->response, x->headers.items[i], x->headers.items[i + 1]);
}

enum MHD_Result ste_exchange_send(struct ste_exchange *x)
{
    x->sent = true;
    ste_conn_phase(x->conn, STE_CONN_SENDING,
                   x->streaming ? 0 : ste_now() + x->http->p.idle_seconds + (double)x->out.len / SLOWEST);
    return MHD_queue_response(x->mhd, (unsigned)x->status, x->response);
}

/* RESPONSE is there, and is sent by the daemon's thread. */
static void hand_over(struct ste_exchange *x, int status, const char *type, struct MHD_Response *response)
{
    pthread_mutex_lock(&x->lock);
    x->status = status;
    x->response = response;
    default_headers(x, type);
    if (x->suspended) {
        x->suspended = false;
        MHD_resume_connection(x->mhd);
    }
    pthread_mutex_unlock(&x->lock);
}

void ste_reply(struct ste_exchange *x, int status, const char *type, char *body, size_t n)
{
    /* OUT keeps the body until the daemon is done with it. */
    ste_buf_add(&x->out, body, n);
    ste_xfree(body);
    hand_over(x, status, type, MHD_create_response_from_buffer(n, x->out.s, MHD_RESPMEM_PERSISTENT));
    ste_exchange_release(x, false);
}

/* ---- a stream ---- */

/* The daemon asks for more; with nothing there the connection waits until there is. */
static ssize_t more(void *arg, uint64_t at, char *to, size_t max)
{
    struct ste_exchange *x = arg;
    pthread_mutex_lock(&x->lock);
    const size_t had = x->out.len - x->out_at;
    ssize_t n = (ssize_t)(had < max ? had : max);
    if (x->lost) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (n) {
        memcpy(to, x->out.s + x->out_at, (size_t)n);
        x->out_at += (size_t)n;
    } else if (x->complete) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->mhd);
    }
    if (x->out_at == x->out.len) {
        ste_buf_reset(&x->out);
        x->out_at = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return n;
}

void ste_stream_begin(struct ste_exchange *x, int status, const char *type)
{
    x->streaming = true;
    ste_reply_header(x, "X-Accel-Buffering", "no"); /* proxies of nginx's kind pass each piece on */
    hand_over(x, status, type, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, more, x, NULL));
}

static void wake(struct ste_exchange *x)
{
    if (x->suspended && x->sent) {
        x->suspended = false;
        MHD_resume_connection(x->mhd);
    }
}

bool ste_stream_write(struct ste_exchange *x, const char *bytes, size_t n)
{
    pthread_mutex_lock(&x->lock);
    if (!strcmp(x->method, "HEAD"))
        n = 0; /* nobody will ask for it */
    if (!x->done && !x->lost && x->out.len - x->out_at + n > MAX_UNREAD) {
        x->lost = true;
        shutdown(x->conn->fd, SHUT_RDWR);
    }
    const bool there = !x->done && !x->lost;
    if (there)
        ste_buf_add(&x->out, bytes, n);
    wake(x);
    pthread_mutex_unlock(&x->lock);
    return there && !ste_exchange_gone(x);
}

void ste_stream_end(struct ste_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->complete = true;
    wake(x);
    pthread_mutex_unlock(&x->lock);
    ste_exchange_release(x, false);
}
