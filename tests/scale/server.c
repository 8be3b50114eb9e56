/*
 * A server of paper for scale.py: it answers thousands of requests a second from one thread, with the fields of vLLM's
 * replies, after the time that they would stand in the queue of a server with so many places. Of the questions a share
 * meets a fault, once. What was answered, and what was asked again after its answer, is counted. The servers of
 * lib_endpoint.py commit every fault; this one is for what a client costs.
 *
 *   scale_server PORT_FILE [places=256] [mean=0.05] [faults=0.01] [words=40]
 *
 * MEAN: seconds in a place, by an exponential law; FAULTS: the share; WORDS: of each answer. GET /stats tells the
 * counts.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define VOCABULARY 49152
#define END_OF_TURN 2

struct bytes {
    char *s;
    size_t n, cap;
};

enum fault { NONE, BUSY, BUSY_AFTER, BROKEN, LOADING, RESET, RESET_BODY, CUT, GARBAGE, NULL_CONTENT, ERROR, N_FAULTS };

struct conn {
    int fd;
    struct bytes in, out;
    size_t sent;
    uint64_t of, serial; /* the question's hash; SERIAL: of the connection, since a place here is used again */
    bool answer, close, reset;
};

static struct conn *conns; /* by file descriptor */
static size_t n_conns;
static struct {
    double due;
    uint64_t serial;
    int fd;
} * heap;
static size_t n_heap, cap_heap;
static double *places; /* when each is free again, the first one first: a heap too */
static int n_places = 256, words = 40, epoll;
static double mean = 0.05, fault_share = 0.01;
static uint64_t last_serial, draws, requests, answered, again, faults;
static uint64_t *seen; /* by open addressing; the lowest bits: FAULTED, ANSWERED */
static size_t n_seen, cap_seen;
enum { FAULTED = 1, ANSWERED = 2 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t hash(const char *s, size_t n, uint64_t h)
{
    for (; n >= 8; s += 8, n -= 8) {
        uint64_t x;
        memcpy(&x, s, 8);
        h = (h ^ x) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    for (; n; s++, n--)
        h = (h ^ (unsigned char)*s) * 0x9E3779B97F4A7C15u;
    return mix(h);
}

static double share(uint64_t h)
{
    return (double)(mix(h) >> 11) * 0x1p-53;
}

static void *need(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void add(struct bytes *b, const void *s, size_t n)
{
    if (b->n + n + 1 > b->cap)
        b->s = need(realloc(b->s, b->cap = 2 * (b->n + n + 1)));
    memcpy(b->s + b->n, s, n);
    b->n += n;
    b->s[b->n] = 0;
}

static void adds(struct bytes *b, const char *s)
{
    add(b, s, strlen(s));
}

static void add_number(struct bytes *b, uint64_t x)
{
    char s[24], *p = s + sizeof s;
    do
        *--p = (char)('0' + x % 10);
    while (x /= 10);
    add(b, p, (size_t)(s + sizeof s - p));
}

/* ---- what was asked before ---- */

static uint64_t *place_of(uint64_t h)
{
    if (2 * (n_seen + 1) > cap_seen) {
        uint64_t *was = seen;
        const size_t had = cap_seen;
        cap_seen = had ? 2 * had : 1 << 16;
        seen = need(calloc(cap_seen, sizeof *seen));
        n_seen = 0;
        for (size_t i = 0; i < had; i++)
            if (was[i])
                *place_of(was[i]) = was[i];
        free(was);
    }
    h |= 4; /* not 0 without the lowest bits */
    size_t i = (h >> 2) & (cap_seen - 1);
    while (seen[i] && (seen[i] ^ h) >> 2)
        i = (i + 1) & (cap_seen - 1);
    if (!seen[i]) {
        seen[i] = h & ~(uint64_t)3;
        n_seen++;
    }
    return &seen[i];
}

/* ---- replies ---- */

/* A token for four bytes. */
static void add_ids(struct bytes *b, const char *text, size_t n)
{
    adds(b, "[");
    for (size_t i = 0; i < n; i += 4) {
        if (i)
            adds(b, ",");
        add_number(b, 3 + hash(text + i, n - i < 4 ? n - i : 4, 1) % (VOCABULARY - 3));
    }
}

/* The raw JSON behind KEY; NULL. A quoted key within a text has backslashes, so that it is not found. */
static const char *behind(const char *body, const char *key)
{
    const char *p = strstr(body, key);
    return p ? p + strlen(key) : NULL;
}

static size_t text_length(const char *p)
{
    size_t n = 0;
    while (p[n] && p[n] != '"')
        n += p[n] == '\\' ? 2 : 1;
    return n;
}

static void add_usage(struct bytes *b, size_t prompt, size_t written)
{
    adds(b, "\"usage\":{\"prompt_tokens\":");
    add_number(b, prompt);
    adds(b, ",\"total_tokens\":");
    add_number(b, prompt + written);
    adds(b, ",\"completion_tokens\":");
    add_number(b, written);
    adds(b, ",\"prompt_tokens_details\":null}");
}

/* WORDS words, then the stop that was asked for, or a verdict. */
static void add_text(struct bytes *b, const char *body, uint64_t h, bool *stopped)
{
    static const char *const some[] = {"answer", "the",   "request", "is",   "A",    "right",
                                       "and",    "short", "B",       "asks", "more", "of"};
    const char *stop = behind(body, "\"stop\":[\"");
    for (int i = 0; i < words; i++) {
        adds(b, some[mix(h + (uint64_t)i) % (sizeof some / sizeof *some)]);
        adds(b, " ");
    }
    *stopped = stop != NULL;
    if (stop)
        add(b, stop, text_length(stop));
    else
        adds(b, h & 1 ? "[[A]]" : "[[B]]");
}

static void chat(struct bytes *b, const char *body, uint64_t h)
{
    bool stopped;
    struct bytes text = {0};
    const char *messages = behind(body, "\"messages\":"), *end = strstr(messages ? messages : "", "}],\"m");
    const size_t n = end ? (size_t)(end - messages) : 0;
    const bool ids = behind(body, "\"return_token_ids\":true") != NULL;
    add_text(&text, body, h, &stopped);
    adds(b, "{\"id\":\"chatcmpl-");
    add_number(b, h);
    adds(b, "\",\"object\":\"chat.completion\",\"created\":1750000000,\"model\":\"paper\",\"choices\":[{\"index\":0,"
            "\"message\":{\"role\":\"assistant\",\"content\":\"");
    add(b, text.s, text.n);
    adds(b, "\",\"refusal\":null,\"annotations\":null,\"audio\":null,\"function_call\":null,\"tool_calls\":[],"
            "\"reasoning\":null},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":");
    if (stopped) {
        const char *stop = behind(body, "\"stop\":[\"");
        add(b, stop - 1, text_length(stop) + 2);
    } else {
        adds(b, "null");
    }
    adds(b, ",\"token_ids\":");
    if (ids) {
        add_ids(b, text.s, text.n);
        adds(b, stopped ? "]" : ",2]");
    } else {
        adds(b, "null");
    }
    adds(b, "}],\"service_tier\":null,\"system_fingerprint\":null,");
    add_usage(b, n / 4, text.n / 4);
    adds(b, ",\"prompt_logprobs\":null,\"prompt_token_ids\":");
    if (ids) {
        add_ids(b, messages, n);
        adds(b, "]");
    } else {
        adds(b, "null");
    }
    adds(b, ",\"kv_transfer_params\":null}");
    free(text.s);
}

/* One token with the log-probabilities of the ids that are asked for. */
static void labels(struct bytes *b, const char *body, uint64_t h)
{
    const char *p = behind(body, "\"logprob_token_ids\":[");
    adds(b, "{\"id\":\"cmpl-");
    add_number(b, h);
    adds(b, "\",\"object\":\"text_completion\",\"created\":1750000000,\"model\":\"paper\",\"choices\":[{\"index\":0,"
            "\"text\":\" A\",\"logprobs\":{\"text_offset\":[0],\"token_logprobs\":[-0.4],\"tokens\":[\"token_id:44\"],"
            "\"top_logprobs\":[{");
    for (int i = 0; p && *p != ']'; i++) {
        char *end, one[64];
        const long id = strtol(p, &end, 10);
        const double lp = log(0.95 * (i == 0 ? 0.1 + 0.8 * share(h) : i == 1 ? 0.9 - 0.8 * share(h) : 0.01));
        add(b, one, (size_t)snprintf(one, sizeof one, "%s\"token_id:%ld\":%.15g", i ? "," : "", id, lp));
        p = *end == ',' ? end + 1 : end;
        if (end == p && *p != ']')
            break;
    }
    adds(b, "}]},\"finish_reason\":\"length\",\"stop_reason\":null,\"token_ids\":null,\"prompt_logprobs\":null,"
            "\"prompt_token_ids\":null}],\"service_tier\":null,\"system_fingerprint\":null,");
    add_usage(b, 500, 1);
    adds(b, ",\"kv_transfer_params\":null}");
}

static void tokens(struct bytes *b, const char *body)
{
    const char *messages = behind(body, "\"messages\":"), *prompt = behind(body, "\"prompt\":\"");
    const char *end = messages ? strstr(messages, "}],\"m") : NULL;
    adds(b, "{\"count\":1,\"max_model_len\":8192,\"tokens\":");
    if (messages)
        add_ids(b, messages, end ? (size_t)(end - messages) : 0);
    else
        add_ids(b, prompt ? prompt : "", prompt ? text_length(prompt) : 0);
    adds(b, "],\"token_strs\":null}");
}

static void stats(struct bytes *b)
{
    struct rusage u;
    char s[400];
    getrusage(RUSAGE_SELF, &u);
    add(b, s,
        (size_t)snprintf(s, sizeof s,
                         "{\"requests\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"again\": %" PRIu64
                         ", \"faults\": %" PRIu64 ", \"cpu\": %.3f}",
                         requests, answered, again, faults,
                         (double)u.ru_utime.tv_sec + 1e-6 * (double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_sec +
                             1e-6 * (double)u.ru_stime.tv_usec));
}

static void head(struct conn *c, int status, const char *more, size_t length)
{
    char s[300];
    add(&c->out, s,
        (size_t)snprintf(s, sizeof s,
                         "HTTP/1.1 %d %s\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: paper\r\n%s"
                         "content-length: %zu\r\ncontent-type: application/json\r\n\r\n",
                         status, status == 200 ? "OK" : "Refused", more, length));
}

static void reply(struct conn *c, int status, const char *more, const char *body, size_t n)
{
    head(c, status, more, n);
    add(&c->out, body, n);
}

static void commit(struct conn *c, enum fault f)
{
    static const char busy[] = "{\"error\":{\"message\":\"too busy\",\"type\":\"error\",\"code\":429}}",
                      empty[] = "{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"content\":null},"
                                "\"text\":null}]}",
                      part[] = "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"wro";
    const size_t n_busy = sizeof busy - 1;
    faults++;
    switch (f) {
    case BUSY:
        reply(c, 429, "", busy, n_busy);
        break;
    case BUSY_AFTER:
        reply(c, 429, "Retry-After: 1\r\n", busy, n_busy);
        break;
    case BROKEN:
        reply(c, 500, "", busy, n_busy);
        break;
    case LOADING:
        reply(c, 503, "", busy, n_busy);
        break;
    case GARBAGE:
        reply(c, 200, "", "<html>", 6);
        break;
    case NULL_CONTENT:
        reply(c, 200, "", empty, sizeof empty - 1);
        break;
    case ERROR:
        reply(c, 200, "", busy, n_busy);
        break;
    case CUT:
    case RESET_BODY:
        head(c, 200, "", 500);
        adds(&c->out, part);
        c->close = true;
        c->reset = f == RESET_BODY;
        break;
    default:
        c->close = c->reset = true;
    }
}

/* ---- the queue ---- */

static void schedule(struct conn *c, double due)
{
    if (n_heap == cap_heap)
        heap = need(realloc(heap, (cap_heap = cap_heap ? 2 * cap_heap : 1024) * sizeof *heap));
    size_t i = n_heap++;
    for (; i && heap[(i - 1) / 2].due > due; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i].due = due;
    heap[i].serial = c->serial;
    heap[i].fd = c->fd;
}

static void drop_first(void)
{
    const size_t last = --n_heap;
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < last; i = k) {
        k += k + 1 < last && heap[k + 1].due < heap[k].due;
        if (heap[last].due <= heap[k].due)
            break;
        heap[i] = heap[k];
    }
    heap[i] = heap[last];
}

/* When a request that comes now is done: it waits for the place that is free first. */
static double time_done(void)
{
    const double t = now(), from = places[0] > t ? places[0] : t,
                 done = from - mean * log(1 - share(++draws * 0x9E3779B97F4A7C15u));
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < (size_t)n_places; i = k) {
        k += k + 1 < (size_t)n_places && places[k + 1] < places[k];
        if (done <= places[k])
            break;
        places[i] = places[k];
    }
    places[i] = done;
    return done;
}

/* ---- connections ---- */

static void hang_up(struct conn *c)
{
    if (c->reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(c->fd);
    free(c->in.s);
    free(c->out.s);
    *c = (struct conn){.fd = -1};
}

static void send_out(struct conn *c)
{
    while (c->sent < c->out.n) {
        const ssize_t n = write(c->fd, c->out.s + c->sent, c->out.n - c->sent);
        if (n < 0) { /* what does not fit waits: replies are small, so that this is rare */
            schedule(c, now() + 0.001);
            return;
        }
        c->sent += (size_t)n;
    }
    if (c->answer) {
        uint64_t *place = place_of(c->of);
        again += (*place & ANSWERED) != 0;
        answered += !(*place & ANSWERED);
        *place |= ANSWERED;
    }
    c->out.n = c->sent = 0;
    c->answer = false;
    if (c->close)
        hang_up(c);
}

static void route(struct conn *c, const char *path, const char *body, size_t n)
{
    const uint64_t h = hash(body, n, (uint64_t)path[4]) & ~(uint64_t)3;
    const bool asks = strncmp(path, "/v1/", 4) == 0 && n > 300; /* not those of a probe */
    struct bytes b = {0};
    requests++;
    if (strncmp(path, "/stats ", 7) == 0)
        stats(&b);
    else if (strncmp(path, "/v1/models ", 11) == 0)
        adds(&b, "{\"object\":\"list\",\"data\":[{\"id\":\"paper\",\"object\":\"model\",\"owned_by\":\"vllm\","
                 "\"root\":\"/models/paper\",\"max_model_len\":8192}]}");
    else if (strncmp(path, "/version ", 9) == 0)
        adds(&b, "{\"version\":\"0.0.1\"}");
    else if (strncmp(path, "/tokenize ", 10) == 0)
        tokens(&b, body);
    else if (strncmp(path, "/v1/chat/completions ", 21) == 0)
        chat(&b, body, h);
    else if (strncmp(path, "/v1/completions ", 16) == 0)
        labels(&b, body, h);
    else
        adds(&b, "{}");
    c->of = h;
    uint64_t *place = asks ? place_of(h) : NULL;
    if (asks && share(h) < fault_share && !(*place & FAULTED)) {
        *place |= FAULTED;
        commit(c, (enum fault)(1 + mix(h + 1) % (N_FAULTS - 1)));
    } else {
        c->answer = asks;
        reply(c, 200, "", b.s, b.n);
    }
    free(b.s);
    schedule(c, asks ? time_done() : 0);
}

/* Takes a whole request out of what came; one at a time is in work on a connection. */
static void read_requests(struct conn *c)
{
    char *end = c->in.n ? strstr(c->in.s, "\r\n\r\n") : NULL;
    if (!end || c->out.n)
        return;
    const char *length = strcasestr(c->in.s, "\r\ncontent-length:");
    const size_t n = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    const char *body = end + 4, *path = strchr(c->in.s, ' ');
    const size_t whole = (size_t)(body - c->in.s) + n;
    if (c->in.n < whole)
        return;
    route(c, path + 1, body, n);
    c->in.n = 0; /* nothing is sent before its reply */
    c->in.s[0] = 0;
}

static void take(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if ((size_t)fd >= n_conns) {
            conns = need(realloc(conns, (size_t)(fd + 64) * sizeof *conns));
            for (; n_conns < (size_t)fd + 64; n_conns++)
                conns[n_conns] = (struct conn){.fd = -1};
        }
        conns[fd] = (struct conn){.fd = fd, .serial = ++last_serial};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
    }
}

static void hear(struct conn *c)
{
    static char piece[1 << 16];
    const ssize_t n = read(c->fd, piece, sizeof piece);
    if (n <= 0) {
        hang_up(c);
        return;
    }
    add(&c->in, piece, (size_t)n);
    read_requests(c);
}

static int listen_on(const char *port_file)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    char name[4096];
    snprintf(name, sizeof name, "%s.new", port_file);
    FILE *f = fopen(name, "w");
    if (fd < 0 || !f || bind(fd, (struct sockaddr *)&a, n) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&a, &n)) {
        perror("scale_server");
        exit(1);
    }
    fprintf(f, "%d", ntohs(a.sin_port));
    fclose(f);
    rename(name, port_file);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    for (int i = 2; i < argc; i++)
        if (sscanf(argv[i], "places=%d", &n_places) + sscanf(argv[i], "mean=%lf", &mean) +
                sscanf(argv[i], "faults=%lf", &fault_share) + sscanf(argv[i], "words=%d", &words) <
            1)
            return fprintf(stderr, "scale_server: what is %s?\n", argv[i]), 2;
    signal(SIGPIPE, SIG_IGN);
    places = need(calloc((size_t)n_places, sizeof *places));
    const int listener = listen_on(argv[1]);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    for (;;) {
        struct epoll_event e[256];
        const double wait = n_heap ? heap[0].due - now() : 1;
        const int n = epoll_wait(epoll, e, 256, wait > 0 ? (int)(1000 * wait) + 1 : 0);
        for (int i = 0; i < n; i++) {
            if (e[i].data.fd == listener)
                take(listener);
            else if (conns[e[i].data.fd].fd >= 0)
                hear(&conns[e[i].data.fd]);
        }
        const double t = now();
        while (n_heap && heap[0].due <= t) {
            struct conn *c = &conns[heap[0].fd];
            const bool same = c->serial == heap[0].serial;
            drop_first();
            if (same)
                send_out(c);
        }
    }
}
