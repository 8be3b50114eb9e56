#include "net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/context.h"
#include "core/domain.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"

#define CONNECT_SECONDS 10L
#define STALL_SECONDS 30L /* below 1 kB/s for so long is a time-out */
#define MAX_TRIES 4
#define MAX_REDIRECTS 10L
#define MAX_WAIT 60L     /* seconds that a server may ask us to wait */
#define MAX_REASON 65536 /* bytes of an error's body that are read */
#define SHOWN_REASON 300 /* of what it says */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct transfer {
    CURL *curl;
    char problem[CURL_ERROR_SIZE];
    /* into memory */
    struct ste_buf *out;
    size_t max_bytes;
    /* or into a file that holds HAVE bytes */
    int fd;
    uint64_t have, total;
    void (*progress)(void *, uint64_t, uint64_t);
    void *arg;
    struct ste_buf reason; /* the body of an error */
    /* what went wrong on our side */
    bool begun; /* this try's body */
    bool too_large, write_failed, no_memory;
    int write_errno;
};

/* The body of an error (a 404's page) must not land in the file. */
static long status_of(struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* A server that ignores the range answers 200 with the whole: the file starts anew. */
static bool start_of_body(struct transfer *t)
{
    curl_off_t length = -1;
    t->begun = true;
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (status_of(t) == 200 && t->have) {
        if (ftruncate(t->fd, 0) || lseek(t->fd, 0, SEEK_SET) < 0)
            return false;
        t->have = 0;
    }
    t->total = length > 0 ? t->have + (uint64_t)length : 0;
    return true;
}

/* How many were taken; fewer end the transfer. */
static size_t take(struct transfer *t, const char *p, size_t n)
{
    if (status_of(t) >= 300) {
        ste_buf_add(&t->reason, p, n < MAX_REASON - t->reason.len ? n : MAX_REASON - t->reason.len);
        return n;
    }
    if (t->out) {
        if (t->out->len + n > t->max_bytes) {
            t->too_large = true;
            return 0;
        }
        ste_buf_add(t->out, p, n);
        return n;
    }
    if (!t->begun && !start_of_body(t)) {
        t->write_failed = true;
        t->write_errno = errno;
        return 0;
    }
    for (size_t left = n; left;) {
        ssize_t done = write(t->fd, p, left);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            t->write_failed = true;
            t->write_errno = errno;
            return 0;
        }
        p += done;
        left -= (size_t)done;
        t->have += (size_t)done;
    }
    if (t->progress)
        t->progress(t->arg, t->have, t->total);
    return n;
}

struct body {
    struct transfer *t;
    const char *p;
    size_t n, taken;
};

static void take_body(void *arg)
{
    struct body *b = arg;
    b->taken = take(b->t, b->p, b->n);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct body b = {arg, p, size * n, 0};
    if (!ste_domain_try(ste_domain(), take_body, &b))
        b.t->no_memory = true;
    return b.taken;
}

static void end_curl(void *of, size_t n)
{
    curl_easy_cleanup(of);
}

static void end_list(void *of, size_t n)
{
    curl_slist_free_all(of);
}

static int on_tick(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    return ste_cancelled();
}

static const char *first_set(const char *const *names)
{
    for (; *names; names++) {
        const char *v = ste_setting(*names);
        if (v)
            return v;
    }
    return NULL;
}

/* Certificates where pip, requests and OpenSSL would be told of them. */
static void set_certificates(CURL *curl)
{
    static const char *const names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", NULL};
    const char *file = first_set(names);
    if (file && ste_is_folder(file))
        curl_easy_setopt(curl, CURLOPT_CAPATH, file);
    else if (file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, file);
    const char *folder = ste_setting("SSL_CERT_DIR");
    if (folder)
        curl_easy_setopt(curl, CURLOPT_CAPATH, folder);
}

static struct curl_slist *header_list(const char *const *headers)
{
    struct curl_slist *l = NULL;
    for (; headers && *headers; headers++)
        l = curl_slist_append(l, *headers);
    return l;
}

/* What the server cannot do (501 and its like) it cannot do the next time either; 52x are those of proxies. */
static bool passes(long status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504) ||
           (status >= 520 && status < 530);
}

/* Answers that another try may turn: the ones that say so and the ones that never came. */
static bool worth_another_try(CURLcode code, long status)
{
    switch (code) {
    case CURLE_OK:
        return passes(status);
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

/* Sleeps in small steps, so that Ctrl-C is heard. */
static void wait_before_try(int try, long asked)
{
    double seconds = asked > 0 ? (double)asked : 0.5 * (double)(1 << try);
    double end = ste_now() + seconds;
    while (ste_now() < end && !ste_cancelled())
        nanosleep(&(struct timespec){0, 50000000}, NULL);
}

/* The address without user, password and query, which may hold secrets: for messages. */
static char *shown_address(const char *url)
{
    size_t n = strcspn(url, "?#");
    const char *host = strstr(url, "://");
    host = host && host < url + n ? host + 3 : url;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    if (!at)
        return ste_xstrndup(url, n);
    return ste_xasprintf("%.*s%.*s", (int)(host - url), url, (int)(url + n - at - 1), at + 1);
}

/* "error", "message" or "detail" of a JSON body, which may be an object with a message itself. */
static const char *json_reason(const json_t *j)
{
    static const char *const keys[] = {"error", "message", "detail"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *v = json_object_get(j, keys[i]);
        if (json_is_object(v))
            v = json_object_get(v, "message");
        if (json_is_string(v))
            return json_string_value(v);
    }
    return NULL;
}

/* What the server itself says of its refusal, as one short line in brackets; "" where it says nothing. A page of HTML
 * says it in its title. Caller frees. */
static char *reason_of(const struct transfer *t)
{
    json_t *j = json_loadb(t->reason.s, t->reason.len, 0, NULL);
    const char *said = json_reason(j), *text = said ? said : j || !t->reason.len ? "" : t->reason.s;
    size_t n = strlen(text);
    const char *title = strcasestr(text, "<title>");
    if (title) {
        text = title + strlen("<title>");
        n = strcspn(text, "<");
    } else if (text[strspn(text, " \t\r\n")] == '<') {
        n = 0;
    }
    struct ste_buf line = STE_BUF_INIT;
    for (size_t i = 0; i < n && line.len < SHOWN_REASON; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool space = c <= ' ' || c == 0x7F; /* what a terminal would act on, too */
        if (!space)
            ste_buf_addc(&line, (char)c);
        else if (line.len && line.s[line.len - 1] != ' ')
            ste_buf_addc(&line, ' ');
    }
    line.len = ste_utf8_bad(line.s, line.len);
    while (line.len && line.s[line.len - 1] == ' ')
        line.len--;
    char *out = line.len ? ste_xasprintf(" (%.*s)", (int)line.len, line.s) : ste_xstrdup("");
    ste_buf_clear(&line);
    json_decref(j);
    return out;
}

static int refusal(const struct transfer *t, long status, long asked, const char *at, struct ste_err *err)
{
    char *reason = reason_of(t);
    char wait[128] = "; try again later";
    if (asked > 0)
        snprintf(wait, sizeof wait, "; it asks to wait %ld seconds, more than ste waits (%ld): try again then", asked,
                 MAX_WAIT);
    const char *hint = status == 401 ? "; either there is nothing of that name, or it wants a login (HF_TOKEN, or one "
                                       "in the address)"
                       : status == 403  ? "; it wants a login that may read this (HF_TOKEN, or one in the address)"
                       : status == 404  ? "; there is no such file"
                       : passes(status) ? wait
                                        : "";
    int rc = ste_err_set(err, STE_EIO, "cannot get %s: the server answered %ld%s%s", at, status, reason, hint);
    ste_xfree(reason);
    return rc;
}

static int failure(const struct transfer *t, CURLcode code, long status, long asked, const char *url,
                   struct ste_err *err)
{
    char *at = shown_address(url);
    int rc;
    if (ste_cancelled()) {
        rc = ste_cancel_check(err);
    } else if (t->too_large) {
        rc = ste_err_set(err, STE_EIO, "%s sent more than the %zu bytes that it should be", at, t->max_bytes);
    } else if (code == CURLE_OK) {
        rc = refusal(t, status, asked, at, err);
    } else if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR) {
        rc = ste_err_set(err, STE_EIO, "%s was cut off; the same command goes on where it ended", at);
    } else {
        rc = ste_err_set(err, STE_EIO, "cannot get %s: %s", at, t->problem[0] ? t->problem : curl_easy_strerror(code));
    }
    ste_xfree(at);
    return rc;
}

static void prepare(struct transfer *t, const char *url, struct curl_slist *headers)
{
    CURL *c = t->curl;
    char range[32];
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->have);
    curl_easy_reset(c);
    t->problem[0] = 0;
    t->total = 0;
    t->begun = false;
    ste_buf_reset(&t->reason);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "ste/" STE_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->problem);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_tick);
    set_certificates(c);
    if (t->out)
        curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    else if (t->have)
        curl_easy_setopt(c, CURLOPT_RANGE, range);
}

/* Tries until it is done or not worth it. PATH: for the error of a write. */
static int run(struct transfer *t, const char *url, const char *const *headers, const char *path, struct ste_err *err)
{
    pthread_once(&once, init);
    t->curl = curl_easy_init();
    if (!t->curl)
        ste_no_memory(0);
    ste_own(t->curl, 0, end_curl);
    struct curl_slist *list = header_list(headers);
    ste_own(list, 0, end_list);
    size_t out_from = t->out ? t->out->len : 0;
    int rc = 0;
    for (int try = 0;; try++) {
        uint64_t had = t->have;
        prepare(t, url, list);
        CURLcode code = curl_easy_perform(t->curl);
        if (t->no_memory || code == CURLE_OUT_OF_MEMORY)
            ste_no_memory(0);
        long status = status_of(t);
        if (code == CURLE_OK && status == 416 && had)
            break; /* nothing is left to get; the caller's hash decides whether these are the right bytes */
        if (code == CURLE_OK && status < 300)
            break;
        if (t->write_failed) {
            errno = t->write_errno;
            rc = ste_err_errno(err, "cannot write %s", path);
            break;
        }
        curl_off_t asked = 0;
        curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &asked);
        bool moved = t->have > had; /* a transfer that comes in pieces may take as many as it needs */
        if (ste_cancelled() || t->too_large || asked > MAX_WAIT || !worth_another_try(code, status) ||
            (try + 1 >= MAX_TRIES && !moved)) {
            rc = failure(t, code, status, asked > MAX_WAIT ? (long)asked : 0, url, err);
            break;
        }
        if (moved)
            try = 0;
        if (t->out)
            ste_buf_cut(t->out, out_from);
        wait_before_try(try, (long)asked);
    }
    ste_disown(list, end_list);
    curl_slist_free_all(list);
    ste_disown(t->curl, end_curl);
    curl_easy_cleanup(t->curl);
    ste_buf_clear(&t->reason);
    return rc;
}

int ste_http_get(const char *url, const char *const *headers, size_t max_bytes, struct ste_buf *out,
                 struct ste_err *err)
{
    struct transfer t = {.out = out, .max_bytes = max_bytes, .fd = -1, .reason = STE_BUF_INIT};
    return run(&t, url, headers, NULL, err);
}

int ste_http_download(const char *url, const char *const *headers, const char *path,
                      void (*progress)(void *arg, uint64_t have, uint64_t total), void *arg, struct ste_err *err)
{
    int fd = ste_open(path, O_RDWR | O_CREAT);
    if (fd < 0)
        return ste_err_errno(err, "cannot write %s", path);
    off_t end = lseek(fd, 0, SEEK_END);
    struct transfer t = {
        .fd = fd, .have = end > 0 ? (uint64_t)end : 0, .progress = progress, .arg = arg, .reason = STE_BUF_INIT};
    int rc = run(&t, url, headers, path, err);
    if (!rc && fsync(fd))
        rc = ste_err_errno(err, "cannot write %s", path);
    if (ste_close(fd) && !rc)
        rc = ste_err_errno(err, "cannot write %s", path);
    return rc;
}

char *ste_http_join(const char *base, const char *link)
{
    CURLU *u = curl_url();
    char *whole = NULL, *own = NULL;
    if (u && !curl_url_set(u, CURLUPART_URL, base, 0) && !curl_url_set(u, CURLUPART_URL, link, 0) &&
        !curl_url_get(u, CURLUPART_URL, &whole, 0))
        own = ste_xstrdup(whole);
    curl_free(whole);
    curl_url_cleanup(u);
    return own;
}
