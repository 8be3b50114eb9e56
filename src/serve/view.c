/* Which page an address is, and what is kept between pages: reports, which take long, and how far runs were. */
#include "serve/view.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/embedded.h"
#include "report/report.h"
#include "report/beside.h"
#include "report/html.h"
#include "serve/view_page.h"
#include "store/run.h"

enum { KEPT = 32, READING_SECONDS = 10, MOST_REPORT = 64 << 20 };

struct kept {
    char *dir;
    double used; /* by ste_now */
    json_t *report, *beside;
    double written, made, took; /* the store's time; when, and how long it took */
    int64_t n[2];               /* rows at two times, for a rate */
    double at[2];
};

struct route {
    struct ste_view *view;
    int (*fill)(struct view_page *p, struct ste_err *err);
};

enum { N_PAGES = 11, N_FILES = 3 };
struct ste_view {
    char *folder;
    struct ste_route routes[N_PAGES + N_FILES];
    struct route of[N_PAGES];
    pthread_mutex_t lock; /* guards KEPT */
    struct kept kept[KEPT];
};

const char *view_folder(const struct ste_view *v)
{
    return v->folder;
}

/* What is kept of the run in DIR; the one that was not used for longest gives way. The lock is held. */
static struct kept *kept_of(struct ste_view *v, const char *dir)
{
    struct kept *oldest = &v->kept[0];
    for (int i = 0; i < KEPT; i++) {
        struct kept *k = &v->kept[i];
        if (k->dir && strcmp(k->dir, dir) == 0) {
            k->used = ste_now();
            return k;
        }
        if (!k->dir || (oldest->dir && k->used < oldest->used))
            oldest = k;
    }
    json_decref(oldest->report);
    json_decref(oldest->beside);
    ste_xfree(oldest->dir);
    *oldest = (struct kept){.dir = ste_xstrdup(dir), .used = ste_now()};
    return oldest;
}

static json_t *report_of_file(const char *dir)
{
    struct ste_buf bytes = STE_BUF_INIT;
    char *path = ste_path_join(dir, STE_RUN_REPORT);
    json_t *report = NULL;
    if (ste_file_read(path, MOST_REPORT, &bytes, NULL) == 0)
        report = ste_json_parse(bytes.s, bytes.len, path, NULL);
    ste_buf_clear(&bytes);
    ste_xfree(path);
    return report;
}

/* What is kept of the run, as far as it is good for a store that was written at WRITTEN. */
static bool recall(struct ste_view *v, const char *dir, double written, json_t **report, json_t **beside)
{
    pthread_mutex_lock(&v->lock);
    const struct kept *k = kept_of(v, dir);
    /* One of a run that goes on is made again once it is as old as twenty times what it took. */
    const bool good =
        k->report && (!beside || k->beside) && (k->written == written || ste_now() - k->made < 20 * k->took);
    *report = good ? json_incref(k->report) : NULL;
    if (beside)
        *beside = good ? json_incref(k->beside) : NULL;
    pthread_mutex_unlock(&v->lock);
    return good;
}

static void keep(struct ste_view *v, const char *dir, double written, double began, json_t *report, json_t *beside)
{
    pthread_mutex_lock(&v->lock);
    struct kept *k = kept_of(v, dir);
    json_decref(k->report);
    json_decref(k->beside);
    k->report = json_incref(report);
    k->beside = json_incref(beside);
    k->written = written;
    k->made = ste_now();
    k->took = k->made - began;
    pthread_mutex_unlock(&v->lock);
}

int view_report(struct ste_view *v, const char *dir, json_t **report, json_t **beside, struct ste_err *err)
{
    const double written = ste_run_written(dir), began = ste_now();
    if (recall(v, dir, written, report, beside))
        return 0;
    /* A run that ended wrote its report last: nothing in it has changed since. */
    int rc = 0;
    if (ste_run_works(dir) || !ste_run_reported(dir) || !(*report = report_of_file(dir)))
        rc = ste_report_read(report, dir, err);
    if (rc == 0 && beside && (rc = ste_beside_run(beside, dir, *report, err)) != 0) {
        json_decref(*report);
        *report = NULL;
    }
    if (rc == 0)
        keep(v, dir, written, began, *report, beside ? *beside : NULL);
    return rc;
}

double view_rate(struct ste_view *v, const char *dir, int64_t n)
{
    const double now = ste_now();
    pthread_mutex_lock(&v->lock);
    struct kept *k = kept_of(v, dir);
    if (k->at[1] == 0 || n < k->n[1]) {
        k->n[0] = k->n[1] = n;
        k->at[0] = k->at[1] = now;
    } else if (now - k->at[1] >= 20) { /* the time that a rate is over: 20 to 40 seconds */
        k->n[0] = k->n[1];
        k->at[0] = k->at[1];
        k->n[1] = n;
        k->at[1] = now;
    }
    const double seconds = now - k->at[0];
    const double rate = seconds >= 1 && n > k->n[0] ? (double)(n - k->n[0]) / seconds : (double)NAN;
    pthread_mutex_unlock(&v->lock);
    return rate;
}

/* Opens the run that the path names. 1: it is none. */
static int open_run(struct view_page *p, struct ste_err *err)
{
    p->dir = ste_run_named(p->view->folder, p->run);
    if (!p->dir)
        return 1;
    int rc = ste_store_open(&p->s, p->dir, 0, 1, err);
    if (rc == 0)
        ste_store_limit(p->s, READING_SECONDS);
    return rc;
}

static int status_of(int rc)
{
    switch (rc) {
    case STE_ENOTFOUND:
        return 404;
    case STE_EUSAGE:
        return 400;
    case STE_EINPUT:
        return 422;
    case STE_EBUSY:
        return 503;
    default:
        return 500;
    }
}

static void failed(struct view_page *p, const char *title, int status, const char *why)
{
    ste_buf_reset(&p->out);
    view_begin(p, title, NULL);
    ste_html_printf(&p->out, "<h1>%s</h1>\n<p>%s</p>\n<p><a href=\"/\">To the runs</a></p>\n", title, why);
    view_send(p, status);
}

static void answer(void *arg, struct ste_exchange *x)
{
    const struct route *r = arg;
    struct view_page p = {.view = r->view, .x = x, .out = STE_BUF_INIT, .run = ste_exchange_part(x, "run")};
    struct ste_err err = {0};
    int rc = p.run ? open_run(&p, &err) : 0;
    if (rc == 1) {
        p.run = NULL;
        failed(&p, "No such run", 404, "There is no run of this name in the folder that is served.");
    } else if (rc == 0 && (rc = r->fill(&p, &err)) == 0) {
        view_send(&p, 200);
    }
    if (rc < 0) {
        /* A run that cannot be opened has no parts to go to. */
        p.run = p.s ? p.run : NULL;
        failed(&p, rc == STE_ENOTFOUND ? "Not found" : "This cannot be shown", status_of(rc), err.msg);
    }
    ste_store_close(p.s);
    ste_xfree(p.dir);
    ste_buf_clear(&p.out);
}

static const struct {
    const char *path, *name, *type;
} files[N_FILES] = {{"/static/style.css", STE_HTML_STYLE, "text/css; charset=utf-8"},
                    {"/static/view.css", "src/serve/page/view.css", "text/css; charset=utf-8"},
                    {"/static/view.js", "src/serve/page/view.js", "text/javascript; charset=utf-8"}};

static void give_file(void *arg, struct ste_exchange *x)
{
    const struct ste_embedded *f = ste_embedded_find(arg);
    const char *type = strstr(f->name, ".js") ? files[2].type : files[0].type;
    ste_reply_header(x, "Cache-Control", "max-age=600");
    ste_reply_header(x, "X-Content-Type-Options", "nosniff");
    ste_reply(x, 200, type, ste_xmemdup(f->bytes, f->size), f->size);
}

struct ste_view *ste_view_new(const char *folder)
{
    static const struct {
        const char *path;
        int (*fill)(struct view_page *p, struct ste_err *err);
    } pages[N_PAGES] = {
        {"/", view_runs},
        {"/diff", view_diff},
        {"/runs/{run}", view_run},
        {"/runs/{run}/report", view_whole_report},
        {"/runs/{run}/live", view_live},
        {"/runs/{run}/instructions", view_instructions},
        {"/runs/{run}/instructions/{id}", view_instruction},
        {"/runs/{run}/pairs", view_pairs},
        {"/runs/{run}/pairs/{id}", view_pair},
        {"/runs/{run}/judgments", view_judgments},
        {"/runs/{run}/text/{what}/{id}", view_raw},
    };
    struct ste_view *v = ste_xcalloc(1, sizeof *v);
    v->folder = ste_xstrdup(folder);
    pthread_mutex_init(&v->lock, NULL);
    for (int i = 0; i < N_PAGES; i++) {
        v->of[i] = (struct route){v, pages[i].fill};
        v->routes[i] = (struct ste_route){
            .method = "GET", .path = pages[i].path, .handle = answer, .arg = &v->of[i], .where = STE_ROUTE_WORKER};
    }
    for (int i = 0; i < N_FILES; i++)
        v->routes[N_PAGES + i] = (struct ste_route){.method = "GET",
                                                    .path = files[i].path,
                                                    .handle = give_file,
                                                    .arg = (void *)files[i].name,
                                                    .where = STE_ROUTE_HERE};
    return v;
}

void ste_view_free(struct ste_view *v)
{
    if (!v)
        return;
    for (int i = 0; i < KEPT; i++) {
        json_decref(v->kept[i].report);
        json_decref(v->kept[i].beside);
        ste_xfree(v->kept[i].dir);
    }
    pthread_mutex_destroy(&v->lock);
    ste_xfree(v->folder);
    ste_xfree(v);
}

const struct ste_route *ste_view_routes(const struct ste_view *v, size_t *n)
{
    *n = N_PAGES + N_FILES;
    return v->routes;
}
