#include "llm/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/raw.h"
#include "llm/server.h"
#include "net/http.h"

#define MAX_REQUESTS 50000 /* of a file, */
#define MAX_BYTES 200000000
#define MAX_RESULTS ((size_t)1 << 30) /* bytes of a file of results */
#define PREFIX 48                     /* digits of an address in a custom_id, which may have 64 characters */
#define WARNINGS 5

struct result {
    char id[65];
    const char *file, *line; /* LINE: within the file's bytes */
    size_t n;
    long number; /* of the line, from 1 */
    bool good, seen;
};

struct part {
    struct ste_file_writer *file;
    size_t requests, bytes;
};

struct batch {
    struct ste_llm llm;
    struct ste_batch *b;
    struct ste_server server;
    struct ste_buf *bytes; /* of the files of results */
    struct result *results;
    size_t n_results, cap_results;
    struct part *parts;
    size_t n_parts;
    uint64_t *written; /* (2^BITS) keys of requests, 0: free */
    size_t n_written, cap_written;
    size_t missing; /* requests without a result, which are not written */
    struct ste_err first_missing;
    struct ste_prepared *queue; /* (n_queue) */
    size_t n_queue, cap_queue;
};

static struct batch *of(struct ste_llm *l)
{
    return (struct batch *)l;
}

void ste_batch_clear(struct ste_batch *b)
{
    ste_strings_clear(&b->files);
    *b = (struct ste_batch){0};
}

/* ---- results ---- */

static int at_line(const struct result *r, struct ste_err *err, const char *what)
{
    return ste_err_set(err, STE_EINPUT, "%s, line %ld: %s", r->file, r->number, what);
}

/* CUT: no line end follows. */
static int read_result(struct result *r, bool cut, struct ste_err *err)
{
    json_error_t e;
    json_t *row = json_loadb(r->line, r->n, JSON_ALLOW_NUL, &e);
    const json_t *response = json_object_get(row, "response");
    const char *id = json_string_value(json_object_get(row, "custom_id"));
    int rc = 0;
    if (!row)
        rc = at_line(r, err,
                     cut ? "the file ends within this line: fetch it again, or take the line out, and the request is "
                           "asked again by --batch-out"
                         : "this is no JSON; a file of results has an object in each line");
    else if (!id || strlen(id) >= sizeof r->id)
        rc = at_line(r, err, "this has no custom_id, as each line of a file of results has");
    else if (!json_is_object(response) && !json_is_object(json_object_get(row, "error")))
        rc = at_line(r, err, "this has neither a response nor an error: it is no result (of requests, perhaps)");
    else
        snprintf(r->id, sizeof r->id, "%s", id);
    r->good = json_integer_value(json_object_get(response, "status_code")) == 200;
    json_decref(row);
    return rc;
}

static int read_results(struct batch *t, const char *path, struct ste_buf *bytes, struct ste_err *err)
{
    int rc = ste_file_read(path, MAX_RESULTS, bytes, err);
    const char *p = bytes->s, *end = p + bytes->len;
    for (long number = 1; !rc && p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p)), *next = stop ? stop + 1 : end;
        struct result r = {.file = path, .line = p, .n = (size_t)((stop ? stop : end) - p), .number = number};
        if (strspn(p, " \t\r") < r.n) {
            rc = read_result(&r, !stop, err);
            STE_GROW(t->results, t->cap_results, t->n_results + 1);
            t->results[t->n_results++] = r;
        }
        p = next;
    }
    return rc;
}

static int by_id(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    const int c = strcmp(x->id, y->id);
    return c ? c : (int)y->good - (int)x->good;
}

/* Of several results of one request the good one stays; two of those are an error, since either may be meant. */
static int sort_results(struct batch *t, struct ste_err *err)
{
    size_t n = 0;
    qsort(t->results, t->n_results, sizeof *t->results, by_id);
    for (size_t i = 0; i < t->n_results; i++) {
        const struct result *r = &t->results[i], *last = n ? &t->results[n - 1] : NULL;
        if (!last || strcmp(last->id, r->id) != 0)
            t->results[n++] = *r;
        else if (r->good)
            return ste_err_set(err, STE_EINPUT,
                               "%s, line %ld: %s is answered a second time (first in %s, line %ld): take one of them "
                               "out",
                               r->file, r->number, r->id, last->file, last->number);
    }
    t->n_results = n;
    return 0;
}

/* The first result whose id is not below ID. */
static size_t place_of(const struct batch *t, const char *id)
{
    size_t lo = 0, hi = t->n_results;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (strcmp(t->results[mid].id, id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct result *find(const struct batch *t, const char *id)
{
    const size_t at = place_of(t, id);
    return at < t->n_results && strcmp(t->results[at].id, id) == 0 ? &t->results[at] : NULL;
}

/* Marks what is there of a question. */
static void see(struct batch *t, const char *address)
{
    char id[PREFIX + 1];
    snprintf(id, sizeof id, "%.*s", PREFIX, address);
    for (size_t i = place_of(t, id); i < t->n_results && strncmp(t->results[i].id, id, PREFIX) == 0; i++)
        t->results[i].seen = true;
}

/* ---- requests ---- */

/* False: it was there. */
static bool add_key(struct batch *t, uint64_t key)
{
    if (2 * (t->n_written + 1) > t->cap_written) {
        const size_t cap = t->cap_written;
        uint64_t *old = t->written;
        t->cap_written = cap ? 2 * cap : 1024;
        t->written = ste_xcalloc(t->cap_written, sizeof *t->written);
        t->n_written = 0;
        for (size_t i = 0; i < cap; i++)
            if (old[i])
                add_key(t, old[i]);
        ste_xfree(old);
    }
    size_t i = key % t->cap_written;
    for (; t->written[i]; i = (i + 1) % t->cap_written)
        if (t->written[i] == key)
            return false;
    t->written[i] = key;
    t->n_written++;
    return true;
}

static char *part_name(const struct ste_batch *b, size_t part)
{
    const char *end = ste_ends_in(b->out, ".jsonl") ? ".jsonl" : "";
    const int n = (int)(strlen(b->out) - strlen(end));
    return part ? ste_xasprintf("%.*s.%zu%s", n, b->out, part + 1, end) : ste_xstrdup(b->out);
}

static int begin_part(struct batch *t, struct ste_err *err)
{
    char *name = part_name(t->b, t->n_parts);
    struct ste_file_writer *file;
    int rc = ste_file_create(&file, name, false, err);
    if (!rc) {
        t->parts = ste_xrealloc(t->parts, (t->n_parts + 1) * sizeof *t->parts);
        t->parts[t->n_parts++] = (struct part){.file = file};
        ste_strings_add(&t->b->files, name);
    }
    ste_xfree(name);
    return rc;
}

static int write_request(struct batch *t, const struct ste_ask *a, const char *id, struct ste_err *err)
{
    const size_t max_requests = t->b->max_requests ? t->b->max_requests : MAX_REQUESTS,
                 max_bytes = t->b->max_bytes ? t->b->max_bytes : MAX_BYTES;
    struct ste_raw_object row = STE_RAW_OBJECT;
    char *body;
    ste_raw_set_text(&row, "custom_id", id);
    ste_raw_set_text(&row, "method", "POST");
    ste_raw_set_text(&row, "url", ste_wire_request(&t->server.dialect, a, NULL, &body));
    ste_raw_set(&row, "body", body);
    char *text = ste_raw_done(&row);
    const size_t n = strlen(text);
    const struct part *last = t->n_parts ? &t->parts[t->n_parts - 1] : NULL;
    int rc = 0;
    text[n] = '\n'; /* in place of the NUL */
    if (!last || last->requests == max_requests || last->bytes + n + 1 > max_bytes)
        rc = begin_part(t, err);
    struct part *p = rc ? NULL : &t->parts[t->n_parts - 1];
    if (!rc && !(rc = ste_file_put(p->file, text, n + 1, err))) {
        p->requests++;
        t->b->written++;
        p->bytes += n + 1;
    }
    ste_xfree(text);
    ste_xfree(body);
    return rc;
}

static void add_amount(struct ste_amount *to, const struct ste_amount *a)
{
    to->requests += a->requests;
    to->read += a->read;
    to->written += a->written;
}

/* A's next request, ID, has no reply to be had. */
static int leave(struct batch *t, const struct ste_ask *a, const char *id, struct ste_err *err)
{
    struct ste_batch *b = t->b;
    const bool counts = !b->out && !b->in;
    if (!counts && !b->out) {
        if (!t->missing++)
            ste_err_set(&t->first_missing, STE_EINPUT, "%s", id);
        return 0;
    }
    const uint64_t key = a->key ^ (uint64_t)id[PREFIX + 1];
    if (!counts && !add_key(t, key ? key : 1))
        return 0; /* as another question */
    struct ste_amount most, likely;
    ste_wire_amount(&t->server.dialect, a, true, &most);
    ste_wire_amount(&t->server.dialect, a, false, &likely);
    add_amount(&b->most, &most);
    add_amount(&b->likely, &likely);
    return counts ? 0 : write_request(t, a, id, err);
}

/* ---- questions ---- */

static void free_ask(void *own)
{
    ste_ask_free(own);
}

static int prepare(struct ste_llm *llm, const struct ste_question *question, struct ste_prepared *q,
                   struct ste_err *err)
{
    struct batch *t = of(llm);
    int rc = ste_ask_lacks(&t->server.dialect, llm->about.name, question, err);
    if (rc)
        return rc;
    struct ste_ask *a = ste_ask_new(question);
    ste_ask_address(t->server.model_hash, NULL, question, a, q->address);
    q->own = a;
    q->free_own = free_ask;
    t->b->questions++;
    t->b->known++;
    see(t, q->address);
    if (question->given) { /* of a model of this machine, which is not asked */
        t->b->most.read += (double)strlen(question->given);
        t->b->likely.read += (double)strlen(question->given) / STE_CHARS_PER_TOKEN;
    }
    return 0;
}

static int submit(struct ste_llm *llm, struct ste_prepared *q, struct ste_err *err)
{
    struct batch *t = of(llm);
    STE_GROW(t->queue, t->cap_queue, t->n_queue + 1);
    t->queue[t->n_queue++] = *q;
    *q = (struct ste_prepared){0};
    t->b->known--;
    return 0;
}

static void cancel(struct ste_llm *llm, uint64_t ticket)
{
    struct batch *t = of(llm);
    size_t i = 0;
    while (t->queue[i].ticket != ticket)
        i++;
    ste_prepared_clear(&t->queue[i]);
    memmove(&t->queue[i], &t->queue[i + 1], (--t->n_queue - i) * sizeof *t->queue);
}

enum took {
    TOOK_MORE,   /* another request follows */
    TOOK_ALL,    /* the answer is there, or says that there is none */
    TOOK_NOTHING /* it may be asked again */
};

/* The result R as the reply to A's next request; *WHY, which the caller frees: what is wrong with it, or NULL. */
static enum took take(struct batch *t, struct ste_ask *a, const struct result *r, struct ste_answer *out, char **why)
{
    json_t *row = json_loadb(r->line, r->n, JSON_ALLOW_NUL, NULL), *response = json_object_get(row, "response"),
           *body = json_object_get(response, "body");
    const long status = (long)json_integer_value(json_object_get(response, "status_code"));
    char *text = ste_json_canonical(json_is_object(body) ? body : json_object_get(row, "error"));
    enum took took = TOOK_NOTHING;
    *why = NULL;
    if (status == 200) {
        const enum ste_wire got = ste_wire_take(&t->server.dialect, a, text, strlen(text), why);
        took = got == STE_WIRE_DONE ? TOOK_ALL : got == STE_WIRE_MORE ? TOOK_MORE : TOOK_NOTHING;
        ste_spent_add(&t->b->used, &a->used);
    } else {
        char *reason = ste_http_reason(text, strlen(text));
        const enum ste_refusal what = status ? ste_wire_refusal(status, text, strlen(text)) : STE_REFUSAL_FAULT;
        *why = status ? ste_xasprintf("the server answered %ld%s", status, reason)
                      : ste_xasprintf("there is no response%s", reason);
        ste_xfree(reason);
        if (what == STE_REFUSAL_TOO_LONG)
            out->too_long = ste_xstrdup(*why);
        took = what == STE_REFUSAL_TOO_LONG || what == STE_REFUSAL_QUESTION ? TOOK_ALL : TOOK_NOTHING;
    }
    ste_xfree(text);
    json_decref(row);
    return took;
}

/* Q's answer, or one that failed. */
static int resolve(struct batch *t, struct ste_prepared *q, struct ste_answer *out, struct ste_err *err)
{
    struct ste_ask *a = q->own;
    enum took took = TOOK_MORE;
    char *why = NULL;
    const struct result *r = NULL;
    for (int request = 1; took == TOOK_MORE; request++) {
        char id[sizeof r->id];
        snprintf(id, sizeof id, "%.*s-%d", PREFIX, q->address, request);
        r = find(t, id);
        took = r ? take(t, a, r, out, &why) : TOOK_NOTHING;
        if (took == TOOK_NOTHING && (!r || t->b->out)) {
            ste_xfree(why);
            int rc = leave(t, a, id, err);
            r = NULL;
            why = NULL;
            if (rc)
                return rc;
        }
    }
    t->b->replies += r != NULL;
    if (took == TOOK_ALL && !why)
        ste_wire_answer(a, out);
    else
        ste_answer_fail(out);
    if (why && !out->too_long && t->b->failed++ < WARNINGS)
        ste_warn("%s, line %ld: %s, which counts as failed", r->file, r->number, why);
    ste_xfree(why);
    return 0;
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    struct batch *t = of(llm);
    if (!t->n_queue)
        return 0;
    struct ste_prepared q = t->queue[0];
    memmove(t->queue, t->queue + 1, --t->n_queue * sizeof *t->queue);
    int rc = resolve(t, &q, out, err);
    ste_answer_is_of(out, &q);
    ste_prepared_clear(&q);
    if (rc)
        ste_answer_clear(out);
    return rc ? rc : 1;
}

/* ---- the end ---- */

static int check(struct batch *t, struct ste_err *err)
{
    struct ste_batch *b = t->b;
    size_t unknown = 0;
    const struct result *first = NULL;
    for (size_t i = 0; i < t->n_results; i++)
        if (!t->results[i].seen && ++unknown && (!first || t->results[i].number < first->number))
            first = &t->results[i];
    if (unknown)
        return ste_err_set(err, STE_EINPUT,
                           "%s, line %ld: %s is of no question here (%zu of %zu results are of none): give the pairs, "
                           "pack, seed and model that the requests were made with",
                           first->file, first->number, first->id, unknown, t->n_results);
    if (t->missing)
        return ste_err_set(err, STE_EINPUT,
                           "%zu requests have no result (the first is %s); --batch-out FILE writes them, to be run "
                           "before the same command with all files of results",
                           t->missing, t->first_missing.msg);
    const double most = b->price.batch * ste_price_of(&b->price, &b->most), spent = b->before.cost + b->before.unheard;
    if (b->budget > 0 && b->out && spent + most > b->budget)
        return ste_err_set(err, STE_EUSAGE,
                           "%s: the requests may cost %s, and %s of the budget of %s is spent: raise budget, or take "
                           "fewer pairs",
                           t->llm.about.name, ste_money(most).s, ste_money(spent).s, ste_money(b->budget).s);
    return 0;
}

int ste_batch_finish(struct ste_llm *l, int rc, bool *whole, struct ste_err *err)
{
    struct batch *t = of(ste_llm_innermost(l));
    if (!rc)
        rc = check(t, err);
    *whole = !rc && !t->n_parts;
    for (size_t i = 0; i < t->n_parts; i++) {
        if (rc)
            ste_file_abort(t->parts[i].file);
        else
            rc = ste_file_commit(t->parts[i].file, err);
        t->parts[i].file = NULL;
    }
    t->n_parts = 0;
    return rc;
}

static void amount_line(const struct ste_batch *b, const char *what, const struct ste_amount *a, struct ste_buf *out)
{
    ste_buf_addf(out, "  %-10s%10.0f%14.0f%14.0f", what, a->requests, a->read, a->written);
    if (ste_price_given(&b->price))
        ste_buf_addf(out, "  %10s", ste_money(ste_price_of(&b->price, a)).s);
    ste_buf_addc(out, '\n');
}

void ste_batch_estimate(const struct ste_batch *b, const char *title, struct ste_buf *out)
{
    const bool priced = ste_price_given(&b->price);
    ste_buf_addf(out, "%s: %zu questions", title, b->questions);
    if (b->known)
        ste_buf_addf(out, ", %zu of them answered before", b->known);
    ste_buf_addf(out, "\n  %-10s%10s%14s%14s%s\n", "", "requests", "tokens read", "written",
                 priced ? "        cost" : "");
    amount_line(b, "about", &b->likely, out);
    amount_line(b, "at most", &b->most, out);
    if (priced)
        ste_buf_addf(out, "  by batch files, about %s, at most %s\n",
                     ste_money(b->price.batch * ste_price_of(&b->price, &b->likely)).s,
                     ste_money(b->price.batch * ste_price_of(&b->price, &b->most)).s);
    if (b->budget > 0)
        ste_buf_addf(out, "  %s of the budget of %s is spent\n", ste_money(b->before.cost + b->before.unheard).s,
                     ste_money(b->budget).s);
}

/* ---- opening and closing ---- */

static void spent(struct ste_llm *llm, struct ste_llm_spent *out)
{
    const struct ste_batch *b = of(llm)->b;
    struct ste_price price = b->price;
    *out = (struct ste_llm_spent){.now = b->used, .all = b->used, .priced = ste_price_given(&price)};
    out->now.cost = out->all.cost = price.batch * ste_cost_of(&price, &b->used);
}

static void close_batch(struct ste_llm *llm)
{
    struct batch *t = of(llm);
    for (size_t i = 0; i < t->n_parts; i++)
        ste_file_abort(t->parts[i].file);
    for (size_t i = 0; t->bytes && i < t->b->in->n; i++)
        ste_buf_clear(&t->bytes[i]);
    for (size_t i = 0; i < t->n_queue; i++)
        ste_prepared_clear(&t->queue[i]);
    ste_xfree(t->parts);
    ste_xfree(t->bytes);
    ste_xfree(t->queue);
    ste_xfree(t->results);
    ste_xfree(t->written);
    ste_server_close(&t->server);
    ste_xfree(t);
}

/* Of a dry run, which needs no adapter. */
static int load_adapter(struct ste_llm *l, const char *peft_dir, int *handle, struct ste_err *err)
{
    *handle = 1;
    return 0;
}

static void drop_adapter(struct ste_llm *l, int handle)
{
}

static const char *adapter_hash(const struct ste_llm *l, int handle)
{
    return "";
}

int ste_batch_open(struct ste_llm **out, const char *model, struct ste_batch *b, const char *spent_in,
                   struct ste_err *err)
{
    static const struct ste_llm_ops ops = {.prepare = prepare,
                                           .submit = submit,
                                           .cancel = cancel,
                                           .next = next,
                                           .close = close_batch,
                                           .load_adapter = load_adapter,
                                           .drop_adapter = drop_adapter,
                                           .adapter_hash = adapter_hash,
                                           .spent = spent};
    struct batch *t = ste_xcalloc(1, sizeof *t);
    struct ste_server *s = &t->server;
    const bool here = !ste_endpoint_is(model), counts = !b->in && !b->out;
    *out = NULL;
    t->b = b;
    t->llm.ops = &ops;
    int rc = 0;
    if (here && !counts)
        rc = ste_err_set(
            err, STE_EUSAGE,
            "%s is a model of this machine; batch files are for those of servers: URL#MODEL or a YAML file", model);
    else if (here)
        s->dialect = (struct ste_dialect){.api = STE_API_VLLM, .way = STE_WAY_IDS};
    else
        rc = ste_server_assume(s, model, spent_in, err);
    t->bytes = b->in ? ste_xcalloc(b->in->n + 1, sizeof *t->bytes) : NULL;
    for (size_t i = 0; b->in && i < b->in->n; i++)
        t->bytes[i] = (struct ste_buf)STE_BUF_INIT;
    for (size_t i = 0; b->in && i < b->in->n && !rc; i++)
        rc = read_results(t, b->in->items[i], &t->bytes[i], err);
    if (!rc)
        rc = sort_results(t, err);
    if (rc) {
        close_batch(&t->llm);
        return rc;
    }
    b->price = s->at.price;
    b->budget = s->at.budget;
    b->before = s->meter.all;
    t->llm.about = (struct ste_llm_about){.name = model,
                                          .model_hash = s->model_hash,
                                          .numerics = here ? "counted" : s->numerics,
                                          .can = STE_CAN_CHOICES | (here ? STE_CAN_GIVEN | STE_CAN_ADAPTERS : 0u),
                                          .window = 1,
                                          .late_prompt = true};
    *out = &t->llm;
    return 0;
}
