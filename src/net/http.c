#include "net/http.h"

#include <errno.h>
#include <fcntl.h>
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
#include "net/curl.h"

#define STALL_SECONDS 30L /* below 1 kB/s for so long is a time-out */
#define MAX_TRIES 4
#define MAX_REDIRECTS 10L
#define MAX_WAIT 60L     /* seconds that a server may ask us to wait */
#define MAX_REASON 65536 /* bytes of an error's body that are read */

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

/* A server that ignores the range answers 200 with the whole: the file starts anew. */
static bool start_of_body(struct transfer *t)
{
    curl_off_t length = -1;
    t->begun = true;
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (ste_curl_status(t->curl) == 200 && t->have) {
        if (ftruncate(t->fd, 0) || lseek(t->fd, 0, SEEK_SET) < 0)
            return false;
        t->have = 0;
    }
    t->total = length > 0 ? t->have + (uint64_t)length : 0;
    return true;
}

/* How many were taken; fewer end the transfer. The body of an error (a 404's page) must not land in the file. */
static size_t take(struct transfer *t, const char *p, size_t n)
{
    if (ste_curl_status(t->curl) >= 300) {
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

/* Answers that another try may turn: the ones that say so and the ones that never came. */
static bool worth_another_try(CURLcode code, long status)
{
    switch (code) {
    case CURLE_OK:
        return ste_http_passes(status);
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

static int refusal(const struct transfer *t, long status, long asked, const char *at, struct ste_err *err)
{
    char *reason = ste_http_reason(t->reason.s, t->reason.len);
    char wait[128] = "; try again later";
    if (asked > 0)
        snprintf(wait, sizeof wait, "; it asks to wait %ld seconds, more than ste waits (%ld): try again then", asked,
                 MAX_WAIT);
    const char *hint = status == 401 ? "; either there is nothing of that name, or it wants a login (HF_TOKEN, or one "
                                       "in the address)"
                       : status == 403 ? "; it wants a login that may read this (HF_TOKEN, or one in the address)"
                       : status == 404 ? "; there is no such file"
                       : ste_http_passes(status) ? wait
                                                 : "";
    int rc = ste_err_set(err, STE_EIO, "cannot get %s: the server answered %ld%s%s", at, status, reason, hint);
    ste_xfree(reason);
    return rc;
}

static int failure(const struct transfer *t, CURLcode code, long status, long asked, const char *url,
                   struct ste_err *err)
{
    char *at = ste_http_shown(url);
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
    t->total = 0;
    t->begun = false;
    ste_buf_reset(&t->reason);
    ste_curl_prepare(c, t->problem);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_tick);
    if (t->out)
        curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    else if (t->have)
        curl_easy_setopt(c, CURLOPT_RANGE, range);
}

/* Tries until it is done or not worth it. PATH: for the error of a write. */
static int run(struct transfer *t, const char *url, const char *const *headers, const char *path, struct ste_err *err)
{
    t->curl = ste_curl_new();
    ste_own(t->curl, 0, end_curl);
    struct curl_slist *list = ste_curl_headers(headers);
    ste_own(list, 0, end_list);
    size_t out_from = t->out ? t->out->len : 0;
    int rc = 0;
    for (int try = 0;; try++) {
        uint64_t had = t->have;
        prepare(t, url, list);
        CURLcode code = curl_easy_perform(t->curl);
        if (t->no_memory || code == CURLE_OUT_OF_MEMORY)
            ste_no_memory(0);
        long status = ste_curl_status(t->curl);
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
