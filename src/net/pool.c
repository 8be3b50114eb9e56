#include "net/pool.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "core/context.h"
#include "core/domain.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/curl.h"
#include "net/http.h"

#define IDLE_SECONDS 3L  /* servers close a connection that is idle for 5 */
#define LOOK_SECONDS 0.1 /* between looks at whether the work was cancelled */
#define LANE 32          /* requests at a time */
#define CONNECTIONS 128L /* of a lane that are kept at most */
#define KEPT (1 << 16)   /* bytes of a buffer for the next reply, at most */
#define EVENTS 64        /* that are taken from the system at a time */
#define MANY 32          /* requests in flight, from which on replies are gathered, */
#define GATHER 0.004     /* seconds: to be woken up for a reply costs as much as to read it */

/* A request, or one that is over and whose handle the next will have: a handle is dear. */
struct flight {
    struct flight *next, **at; /* AT: what points to it */
    struct lane *lane;         /* for good */
    CURL *curl;
    void *tag;
    char *sent; /* the request's body */
    size_t max_bytes;
    struct ste_buf body;
    char problem[CURL_ERROR_SIZE];
    bool too_large, no_memory;
};

/* What libcurl drives together. It looks through all of its connections at the beginning and at the end of each
 * request, so that few in each of many lanes cost less than many in one. */
struct lane {
    struct lane *next;
    struct ste_http_pool *pool;
    CURLM *multi;
    double due; /* when it wants to be called without a socket */
    size_t n;   /* flights */
};

/* A socket as libcurl wants it watched and as the system does: events of epoll. */
struct watch {
    struct lane *lane;
    uint32_t wanted, set;
};

/* libcurl says which sockets it waits for. Between two requests it waits for none; the system goes on watching the
 * socket, as it would be told of it again with the next request. */
struct ste_http_pool {
    struct lane *lanes, *reading; /* READING: those before it have no replies that are not taken */
    int epoll;
    double looked; /* when replies were looked for last */
    struct flight *flights, *idle;
    size_t n_flights;
    struct ste_buf told;                       /* the body of the last reply */
    struct curl_slist *headers, *post_headers; /* of a GET, of a POST */
    struct watch *watches;                     /* [cap_watches] by socket */
    size_t cap_watches;
    bool no_memory; /* for them */
};

static void push(struct flight **list, struct flight *f)
{
    f->next = *list;
    f->at = list;
    if (f->next)
        f->next->at = &f->next;
    *list = f;
}

static void take_out(struct flight *f)
{
    *f->at = f->next;
    if (f->next)
        f->next->at = f->at;
}

struct watch_room {
    struct ste_http_pool *p;
    size_t need;
};

static void grow_watches(void *arg)
{
    const struct watch_room *x = arg;
    const size_t had = x->p->cap_watches;
    STE_GROW(x->p->watches, x->p->cap_watches, x->need);
    memset(x->p->watches + had, 0, (x->p->cap_watches - had) * sizeof *x->p->watches);
}

/* What is believed of a socket is relied on for EPOLLIN alone: it connected since, and its end will be told. */
static int set_watch(struct ste_http_pool *p, curl_socket_t fd, uint32_t events)
{
    struct watch *w = &p->watches[fd];
    struct epoll_event e = {.events = events, .data.fd = fd};
    int rc = 0;
    if (!events)
        epoll_ctl(p->epoll, EPOLL_CTL_DEL, fd, NULL);
    else if ((events != EPOLLIN || w->set != EPOLLIN) && epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &e))
        rc = errno == EEXIST ? epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &e) : -1;
    w->set = rc ? 0 : events;
    return rc;
}

/* A socket that connects is not kept watched: it may be closed without a word. */
static int on_socket(CURL *c, curl_socket_t fd, int what, void *lane, void *known)
{
    struct ste_http_pool *p = ((struct lane *)lane)->pool;
    struct watch_room room = {p, (size_t)fd + 1};
    if ((size_t)fd >= p->cap_watches && !ste_domain_try(ste_domain(), grow_watches, &room)) {
        p->no_memory = true;
        return -1;
    }
    const bool in = what == CURL_POLL_IN || what == CURL_POLL_INOUT,
               out = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
    struct watch *w = &p->watches[fd];
    w->lane = lane;
    w->wanted = (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u);
    return w->wanted || w->set != EPOLLIN ? set_watch(p, fd, w->wanted) : 0;
}

/* The system forgets a socket that is closed. */
static int on_close(void *pool, curl_socket_t fd)
{
    struct ste_http_pool *p = pool;
    if ((size_t)fd < p->cap_watches)
        p->watches[fd] = (struct watch){0};
    return close(fd);
}

static int on_timer(CURLM *multi, long ms, void *of)
{
    struct lane *l = of;
    l->due = ms < 0 ? INFINITY : ste_now() + (double)ms / 1000;
    return 0;
}

static void end_flights(const struct flight *f)
{
    for (; f; f = f->next)
        if (f->curl) {
            curl_multi_remove_handle(f->lane->multi, f->curl);
            curl_easy_cleanup(f->curl);
        }
}

/* All that is not memory of ours: so that it may be called when memory ran out as well. */
static void end_pool(void *of, size_t n)
{
    struct ste_http_pool *p = of;
    end_flights(p->flights);
    end_flights(p->idle);
    for (struct lane *l = p->lanes; l; l = l->next)
        curl_multi_cleanup(l->multi);
    curl_slist_free_all(p->headers);
    curl_slist_free_all(p->post_headers);
    close(p->epoll);
}

static void add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    if (!more)
        ste_no_memory(0);
    *list = more;
}

struct ste_http_pool *ste_http_pool_new(const char *const *headers)
{
    struct ste_http_pool *p = ste_xcalloc(1, sizeof *p);
    curl_easy_cleanup(ste_curl_new()); /* the first one sets libcurl up */
    p->told = (struct ste_buf)STE_BUF_INIT;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll < 0)
        ste_no_memory(0);
    ste_own(p, 0, end_pool);
    add_header(&p->post_headers, "Content-Type: application/json");
    add_header(&p->post_headers, "Expect:"); /* a large body goes at once */
    for (; headers && *headers; headers++) {
        add_header(&p->headers, *headers);
        add_header(&p->post_headers, *headers);
    }
    return p;
}

static void free_flights(struct flight *f)
{
    for (struct flight *next; f; f = next) {
        next = f->next;
        ste_buf_clear(&f->body);
        ste_xfree(f->sent);
        ste_xfree(f);
    }
}

void ste_http_pool_free(struct ste_http_pool *p)
{
    if (!p)
        return;
    ste_disown(p, end_pool);
    end_pool(p, 0);
    free_flights(p->flights);
    free_flights(p->idle);
    for (struct lane *l = p->lanes, *next; l; l = next) {
        next = l->next;
        ste_xfree(l);
    }
    ste_buf_clear(&p->told);
    ste_xfree(p->watches);
    ste_xfree(p);
}

/* ---- sending ---- */

struct piece {
    struct flight *f;
    const char *p;
    size_t n;
};

static void add_piece(void *arg)
{
    struct piece *x = arg;
    ste_buf_add(&x->f->body, x->p, x->n);
}

/* Fewer bytes than came end the transfer. */
static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct piece x = {arg, p, size * n};
    if (x.f->body.len + x.n > x.f->max_bytes)
        x.f->too_large = true;
    else if (!ste_domain_try(ste_domain(), add_piece, &x))
        x.f->no_memory = true;
    return x.f->too_large || x.f->no_memory ? 0 : x.n;
}

static void new_lane(struct ste_http_pool *p)
{
    struct lane *l = ste_xcalloc(1, sizeof *l);
    *l = (struct lane){.next = p->lanes, .pool = p, .due = INFINITY};
    p->lanes = l;
    l->multi = curl_multi_init();
    if (!l->multi)
        ste_no_memory(0);
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
}

static void new_flight(struct ste_http_pool *p)
{
    if (!p->lanes || p->lanes->n == LANE)
        new_lane(p);
    struct flight *f = ste_xcalloc(1, sizeof *f);
    f->lane = p->lanes;
    f->lane->n++;
    f->body = (struct ste_buf)STE_BUF_INIT;
    push(&p->idle, f);
    CURL *c = f->curl = ste_curl_new();
    ste_curl_prepare(c, f->problem);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(c, CURLOPT_PRIVATE, f);
    curl_easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(c, CURLOPT_CLOSESOCKETDATA, p);
}

void ste_http_pool_send(struct ste_http_pool *p, const struct ste_http_request *r)
{
    if (!p->idle)
        new_flight(p);
    struct flight *f = p->idle;
    CURL *c = f->curl;
    take_out(f);
    push(&p->flights, f);
    f->tag = r->tag;
    f->max_bytes = r->max_bytes;
    f->too_large = f->no_memory = false;
    f->problem[0] = 0;
    p->n_flights++;
    f->sent = r->body;
    curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
    if (r->body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(r->body));
    }
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->body ? p->post_headers : p->headers);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(1000 * r->seconds));
    if (curl_easy_setopt(c, CURLOPT_URL, r->url) != CURLE_OK || curl_multi_add_handle(f->lane->multi, c) != CURLM_OK)
        ste_no_memory(0);
}

/* F is over; its body stays. Buffers are used again, if they are not large. */
static void land(struct ste_http_pool *p, struct flight *f)
{
    curl_multi_remove_handle(f->lane->multi, f->curl);
    ste_xfree(f->sent);
    f->sent = NULL;
    p->n_flights--;
    take_out(f);
    push(&p->idle, f);
}

void ste_http_pool_drop(struct ste_http_pool *p, const void *tag)
{
    struct flight *f = p->flights;
    while (f && f->tag != tag)
        f = f->next;
    if (!f)
        return;
    land(p, f);
    ste_buf_reset(&f->body);
}

/* ---- replies ---- */

void ste_http_reply_clear(struct ste_http_reply *r)
{
    ste_xfree(r->why);
    *r = (struct ste_http_reply){0};
}

/* Seconds, by either of the headers that say so. */
static double asked_wait(CURL *c)
{
    curl_off_t seconds = 0;
    struct curl_header *h;
    if (curl_easy_header(c, "retry-after-ms", 0, CURLH_HEADER, -1, &h) == CURLHE_OK) {
        const double ms = strtod(h->value, NULL);
        if (ms > 0)
            return ms / 1000;
    }
    curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &seconds);
    return seconds > 0 ? (double)seconds : 0;
}

/* What no other try can turn. */
static bool is_final(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_WRITE_ERROR:
        return true;
    default:
        return false;
    }
}

static void read_status(const struct flight *f, struct ste_http_reply *out)
{
    char *to = NULL;
    out->status = ste_curl_status(f->curl);
    out->passes = ste_http_passes(out->status);
    if (out->status < 300)
        return;
    out->wait = asked_wait(f->curl);
    curl_easy_getinfo(f->curl, CURLINFO_REDIRECT_URL, &to);
    if (to) {
        char *shown = ste_http_shown(to);
        out->why = ste_xasprintf("the server points to %s (redirects are not followed: name that address)", shown);
        ste_xfree(shown);
        return;
    }
    char *reason = ste_http_reason(f->body.s, f->body.len);
    out->why = ste_xasprintf("the server answered %ld%s", out->status, reason);
    ste_xfree(reason);
}

static void read_failure(const struct flight *f, CURLcode code, struct ste_http_reply *out)
{
    out->refused =
        code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY;
    out->passes = !is_final(code);
    const char *problem = f->problem[0] ? f->problem : curl_easy_strerror(code);
    if (f->too_large)
        out->why = ste_xasprintf("the server sent more than the %zu bytes that an answer may have", f->max_bytes);
    else
        out->why = ste_xasprintf("%s%s", problem,
                                 code == CURLE_PEER_FAILED_VERIFICATION
                                     ? " (CURL_CA_BUNDLE names a file with other certificates to trust)"
                                     : "");
}

/* 0: nothing has come. */
static int take(struct ste_http_pool *p, struct ste_http_reply *out)
{
    int left;
    const CURLMsg *m = NULL;
    for (; p->reading; p->reading = p->reading->next) {
        while ((m = curl_multi_info_read(p->reading->multi, &left)) && m->msg != CURLMSG_DONE)
            ;
        if (m)
            break;
    }
    if (!m)
        return 0;
    char *of = NULL;
    const CURLcode code = m->data.result; /* M ends with the handle */
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &of);
    struct flight *f = (struct flight *)(void *)of;
    if (f->no_memory || code == CURLE_OUT_OF_MEMORY)
        ste_no_memory(0);
    *out = (struct ste_http_reply){.tag = f->tag};
    if (code == CURLE_OK)
        read_status(f, out);
    else
        read_failure(f, code, out);
    land(p, f);
    const struct ste_buf read = p->told;
    p->told = f->body;
    f->body = read;
    if (f->body.cap > KEPT)
        ste_buf_clear(&f->body);
    ste_buf_reset(&f->body);
    out->body = p->told.s;
    out->n = p->told.len;
    return 1;
}

static void act(struct lane *l, curl_socket_t fd, int what)
{
    int running;
    if (curl_multi_socket_action(l->multi, fd, what, &running) == CURLM_OUT_OF_MEMORY || l->pool->no_memory)
        ste_no_memory(0);
}

/* Calls the lanes that want it; gives when one wants it next. */
static double act_if_due(struct ste_http_pool *p)
{
    const double now = ste_now();
    double due = INFINITY;
    for (struct lane *l = p->lanes; l; l = l->next) {
        if (l->due <= now) {
            l->due = INFINITY; /* libcurl says when again */
            act(l, CURL_SOCKET_TIMEOUT, 0);
        }
        due = l->due < due ? l->due : due;
    }
    return due;
}

/* Waits for SECONDS at most, and does what there is to do. */
static void turn(struct ste_http_pool *p, double seconds)
{
    struct epoll_event e[EVENTS];
    const double due = act_if_due(p); /* new requests go out before the wait */
    const double now = ste_now(), until_due = due - now, gather = p->looked + GATHER - now;
    double wait = until_due < seconds ? until_due : seconds;
    if (p->n_flights >= MANY && gather > 0 && gather <= wait) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = (long)(1e9 * gather)}, NULL);
        wait -= gather;
    }
    const int n = epoll_wait(p->epoll, e, EVENTS, wait > 0 ? (int)ceil(1000 * wait) : 0);
    p->looked = ste_now();
    for (int i = 0; i < n; i++) {
        const int fd = e[i].data.fd;
        if (!p->watches[fd].wanted)
            set_watch(p, fd, 0); /* an idle connection was closed by the server: libcurl sees it by itself */
        else
            act(p->watches[fd].lane, fd,
                (e[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                    (e[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (e[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0));
    }
    act_if_due(p);
    p->reading = p->lanes;
}

int ste_http_pool_next(struct ste_http_pool *p, double seconds, struct ste_http_reply *out, struct ste_err *err)
{
    const double end = ste_now() + seconds;
    for (bool waited = false;; waited = true) {
        if (take(p, out))
            return 1;
        const double left = end - ste_now();
        int rc = ste_cancel_check(err);
        if (rc || (waited && left <= 0))
            return rc;
        turn(p, left < LOOK_SECONDS ? left : LOOK_SECONDS);
    }
}
