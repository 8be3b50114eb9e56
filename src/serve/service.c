#include "serve/service.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "data/embedded.h"
#include "serve/guard.h"
#include "serve/http.h"
#include "serve/judging.h"
#include "serve/metrics.h"
#include "serve/openai.h"
#include "serve/view.h"

enum { N_OWN = 4 };

struct ste_service {
    const struct ste_service_params *p;
    bool open; /* JUDGE is */
    struct ste_session judge;
    struct ste_work *work;
    struct ste_openai *openai;
    struct ste_judging_service judging;
    struct ste_view *view;
    struct ste_http *http;
    struct ste_route own[N_OWN];
};

static void health(void *arg, struct ste_exchange *x)
{
    const struct ste_service *s = arg;
    struct ste_work_state w = {0};
    if (s->work)
        ste_work_state(s->work, &w);
    const bool well = !w.code;
    ste_reply_json(x, well ? 200 : 503,
                   json_pack("{s:s, s:s?, s:I, s:I}", "status", well ? "ok" : "failed", "judge", s->p->judge, "jobs",
                             (json_int_t)w.jobs, "in_flight", (json_int_t)w.in_flight));
}

static void metrics(void *arg, struct ste_exchange *x)
{
    const struct ste_service *s = arg;
    struct ste_work_state w;
    struct ste_http_counts h;
    struct ste_buf out = STE_BUF_INIT;
    ste_http_count(s->http, &h);
    if (s->work)
        ste_work_state(s->work, &w);
    ste_metrics_text(&h, s->work ? &w : NULL, &out);
    ste_xfree(h.items);
    const size_t n = out.len;
    ste_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", ste_buf_detach(&out), n);
}

static void description(void *arg, struct ste_exchange *x)
{
    const struct ste_embedded *f = ste_embedded_find("src/serve/page/openapi.json");
    ste_reply(x, 200, "application/json", ste_xmemdup(f->bytes, f->size), f->size);
}

/* Where there are no runs to look at. */
static void start_page(void *arg, struct ste_exchange *x)
{
    const struct ste_service *s = arg;
    ste_reply_json(x, 200,
                   json_pack("{s:s, s:s, s:s?, s:s}", "name", "ste", "version", STE_VERSION, "judge", s->p->judge,
                             "routes",
                             "/health, /metrics, /openapi.json, /v1/models, /v1/judge, /v1/score, /v1/rank, "
                             "/v1/group, /v1/chat/completions, /v1/completions, /get_reward, /remote_rm"));
}

static int open_judge(struct ste_service *s, struct ste_err *err)
{
    const struct ste_service_params *p = s->p;
    int rc = ste_session_open(&s->judge, p->judge, p->options, STE_JUDGE_PAIRS, err);
    if (rc)
        return rc;
    s->open = true;
    if ((rc = ste_session_load(&s->judge, p->options, err)) != 0)
        return rc;
    const struct ste_work_params w = {.llm = s->judge.llm,
                                      .adapter = s->judge.setting.adapter,
                                      .folder = s->judge.spec.adapter,
                                      .judge = p->judge,
                                      .max_jobs = (size_t)p->max_jobs,
                                      .context = p->context};
    if ((rc = ste_work_start(&s->work, &w, err)) != 0)
        return rc;
    s->judging = (struct ste_judging_service){s->work, &s->judge, p->options};
    if (s->judge.llm) {
        const struct ste_openai_params o = {s->work, s->judge.llm, s->judge.spec.model,
                                            s->judge.setting.adapter ? p->judge : NULL};
        s->openai = ste_openai_new(&o);
    }
    return 0;
}

static int start_http(struct ste_service *s, struct ste_err *err)
{
    const struct ste_service_params *p = s->p;
    struct ste_http_params h = {.host = p->host,
                                .port = p->port,
                                .socket = p->socket,
                                .token = p->token,
                                .names = p->token ? NULL : &p->names,
                                .max_body = (size_t)p->max_body,
                                .max_connections = (unsigned)p->max_connections,
                                .max_per_address = (unsigned)p->max_per_address,
                                .idle_seconds = (unsigned)p->idle_seconds,
                                .request_seconds = (unsigned)p->request_seconds,
                                .context = p->context};
    struct ste_http_table *t = h.tables;
    s->own[0] = (struct ste_route){"GET", "/health", health, s, STE_ROUTE_HERE, true};
    s->own[1] = (struct ste_route){"GET", "/metrics", metrics, s, STE_ROUTE_HERE, false};
    s->own[2] = (struct ste_route){"GET", "/openapi.json", description, s, STE_ROUTE_HERE, false};
    s->own[3] = (struct ste_route){"GET", "/", start_page, s, STE_ROUTE_HERE, false};
    *t++ = (struct ste_http_table){s->own, s->view ? N_OWN - 1 : N_OWN};
    if (s->openai) {
        t->routes = ste_openai_table(s->openai, &t->n);
        t++;
    }
    if (s->work) {
        t->routes = ste_judging_table(&s->judging, &t->n);
        t++;
    }
    if (s->view) {
        t->routes = ste_view_routes(s->view, &t->n);
        t++;
    }
    h.n_tables = (size_t)(t - h.tables);
    return ste_http_start(&s->http, &h, err);
}

int ste_service_open(struct ste_service **out, const struct ste_service_params *p, struct ste_err *err)
{
    *out = NULL;
    bool here = ste_guard_is_loopback(p->host);
    int rc = p->socket < 0 ? 0 : ste_http_given(p->socket, &here, err);
    if (!rc && !p->token && !here)
        rc = ste_err_set(err, STE_EUSAGE,
                         "%s is reached by other machines: name a file with a token that they must show "
                         "(--token-file), or listen on 127.0.0.1",
                         p->socket < 0 ? p->host : "the socket of LISTEN_FDS");
    if (rc)
        return rc;
    struct ste_service *s = ste_xcalloc(1, sizeof *s);
    s->p = p;
    rc = p->judge ? open_judge(s, err) : 0;
    if (!rc && p->runs)
        s->view = ste_view_new(p->runs);
    if (!rc)
        rc = start_http(s, err);
    if (rc) {
        ste_service_close(s, 0);
        return rc;
    }
    *out = s;
    return 0;
}

const char *ste_service_url(const struct ste_service *s)
{
    return ste_http_url(s->http);
}

static void reloaded(void *arg, int rc, bool changed, const struct ste_err *err)
{
    if (rc)
        ste_warn("the judge is as it was: %s", err->msg);
    else
        ste_info("the judge %s", changed ? "has its newest adapter now" : "has its newest adapter already");
}

void ste_service_reload(struct ste_service *s)
{
    struct ste_err err = {0};
    const int rc =
        s->work ? ste_work_reload(s->work, reloaded, NULL, &err) : ste_err_set(&err, STE_EUSAGE, "no judge is served");
    if (rc)
        reloaded(NULL, rc, false, &err);
}

int ste_service_code(const struct ste_service *s)
{
    struct ste_work_state w = {0};
    if (s->work)
        ste_work_state(s->work, &w);
    return w.code;
}

#define LAST_SECONDS 5 /* to send what is there */

void ste_service_close(struct ste_service *s, double seconds)
{
    if (!s)
        return;
    if (s->http)
        ste_http_quiesce(s->http);
    ste_work_stop(s->work, seconds);
    if (s->http)
        ste_http_wait(s->http, LAST_SECONDS);
    ste_http_stop(s->http);
    ste_openai_free(s->openai);
    ste_view_free(s->view);
    if (s->open)
        ste_session_close(&s->judge);
    ste_xfree(s);
}
