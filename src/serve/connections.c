/* How many connections there are, and how long each may take. */
#include <stdio.h>
#include <sys/socket.h>

#include "core/log.h"
#include "core/mem.h"
#include "serve/http_internal.h"

static void take_out(struct ste_http *h, struct ste_conn *c)
{
    *(c->before ? &c->before->after : &h->oldest) = c->after;
    *(c->after ? &c->after->before : &h->newest) = c->before;
}

static void put_last(struct ste_http *h, struct ste_conn *c)
{
    c->before = h->newest;
    c->after = NULL;
    *(h->newest ? &h->newest->after : &h->oldest) = c;
    h->newest = c;
}

/* The daemon sees the end of its socket, and closes it. */
static void cut(struct ste_conn *c)
{
    c->ended = true;
    shutdown(c->fd, SHUT_RDWR);
}

/* Idle connections go before new ones are kept waiting. */
static void make_room(struct ste_http *h)
{
    if (h->n_conns < h->p.max_connections - h->p.max_connections / 8)
        return;
    for (struct ste_conn *c = h->oldest; c; c = c->after)
        if (c->phase == STE_CONN_IDLE && !c->ended) {
            cut(c);
            h->displaced++;
            return;
        }
}

void ste_conn_notify(void *http, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct ste_http *h = http;
    pthread_mutex_lock(&h->lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        struct ste_conn *c = ste_xcalloc(1, sizeof *c);
        *c = (struct ste_conn){.http = h, .since = ste_now()};
        c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        make_room(h);
        put_last(h, c);
        h->n_conns++;
        *context = c;
    } else if (*context) {
        take_out(h, *context);
        h->n_conns--;
        ste_xfree(*context);
        *context = NULL;
    }
    pthread_mutex_unlock(&h->lock);
}

void ste_conn_phase(struct ste_conn *c, enum ste_phase phase, double until)
{
    struct ste_http *h = c->http;
    pthread_mutex_lock(&h->lock);
    take_out(h, c);
    put_last(h, c);
    c->phase = phase;
    c->since = ste_now();
    c->until = until;
    pthread_mutex_unlock(&h->lock);
}

void ste_conn_refuse(struct ste_conn *c, int status, const char *text)
{
    char body[256], head[512];
    const int n_body =
        snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                 text, status >= 500 ? "server_error" : "invalid_request_error");
    const int n = snprintf(head, sizeof head,
                           "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                           "Connection: close\r\n\r\n%s",
                           status, MHD_get_reason_phrase_for((unsigned)status), n_body, body);
    if (n > 0 && (size_t)n < sizeof head)
        send(c->fd, head, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    cut(c);
}

void ste_conn_watch(struct ste_http *h)
{
    const double now = ste_now();
    pthread_mutex_lock(&h->lock);
    for (struct ste_conn *c = h->oldest; c; c = c->after) {
        const double age = now - c->since;
        if (c->ended)
            continue;
        if (c->phase == STE_CONN_IDLE && (age > h->p.idle_seconds || (h->draining && age > 0.2)))
            cut(c);
        else if (c->phase == STE_CONN_READING && age > h->p.request_seconds)
            ste_conn_refuse(c, 408, "the request did not come in whole within its time");
        else if (c->phase == STE_CONN_SENDING && c->until > 0 && now > c->until)
            cut(c);
    }
    pthread_mutex_unlock(&h->lock);
}
