#include "serve/metrics.h"

static void head(struct ste_buf *out, const char *name, const char *type, const char *help)
{
    ste_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct ste_buf *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    ste_buf_addf(out, "%s %.17g\n", name, value);
}

static void label(struct ste_buf *out, const struct ste_http_count *c)
{
    ste_buf_addf(out, "method=\"%s\",route=\"%s\"", c->route ? c->route->method : "",
                 c->route ? c->route->path : "none");
}

void ste_metrics_text(const struct ste_http_counts *h, const struct ste_work_state *w, struct ste_buf *out)
{
    one(out, "ste_connections", "gauge", "Connections that are open.", (double)h->connections);
    one(out, "ste_connections_max", "gauge", "Connections that may be open.", (double)h->max_connections);
    one(out, "ste_requests_open", "gauge", "Requests without a whole reply.", (double)h->exchanges);
    one(out, "ste_connections_displaced_total", "counter", "Idle connections that had to go for new ones.",
        (double)h->displaced);
    head(out, "ste_requests_total", "counter", "Requests with a reply.");
    for (size_t i = 0; i < h->n; i++) {
        ste_buf_adds(out, "ste_requests_total{");
        label(out, &h->items[i]);
        ste_buf_addf(out, ",status=\"%d\"} %llu\n", h->items[i].status, (unsigned long long)h->items[i].requests);
    }
    head(out, "ste_request_seconds", "histogram", "From the request's head to the end of its reply.");
    for (size_t i = 0; i < h->n; i++) {
        const struct ste_http_count *c = &h->items[i];
        unsigned long long within = 0;
        for (int b = 0; b < STE_HTTP_BUCKETS; b++) {
            within += c->within[b];
            ste_buf_adds(out, "ste_request_seconds_bucket{");
            label(out, c);
            ste_buf_addf(out, ",status=\"%d\",le=\"", c->status);
            if (b < STE_HTTP_BUCKETS - 1)
                ste_buf_addf(out, "%g", ste_http_buckets[b]);
            else
                ste_buf_adds(out, "+Inf");
            ste_buf_addf(out, "\"} %llu\n", within);
        }
        for (int k = 0; k < 2; k++) {
            ste_buf_addf(out, "ste_request_seconds_%s{", k ? "count" : "sum");
            label(out, c);
            ste_buf_addf(out, ",status=\"%d\"} %.17g\n", c->status, k ? (double)c->requests : c->seconds);
        }
    }
    if (!w)
        return;
    one(out, "ste_jobs", "gauge", "Requests to the model that wait or are worked on.", (double)w->jobs);
    one(out, "ste_clients", "gauge", "Clients that they are of.", (double)w->clients);
    one(out, "ste_questions_in_flight", "gauge", "Questions that the model works on.", (double)w->in_flight);
    one(out, "ste_jobs_done_total", "counter", "Requests to the model that ended.", (double)w->jobs_done);
    one(out, "ste_jobs_failed_total", "counter", "Of these, those that failed or whose client left.",
        (double)w->jobs_failed);
    one(out, "ste_jobs_refused_total", "counter", "Requests refused since too many waited.", (double)w->refused);
    one(out, "ste_answers_total", "counter", "Answers of the model.", (double)w->answers);
    one(out, "ste_tokens_read_total", "counter", "Tokens of their prompts.", (double)w->read);
    one(out, "ste_tokens_written_total", "counter", "Tokens of their texts.", (double)w->written);
    one(out, "ste_reloads_total", "counter", "Times that another adapter took the judge's place.", (double)w->reloads);
}
