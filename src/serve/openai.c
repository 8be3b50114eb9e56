#include "serve/openai.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/buf.h"
#include "core/hash.h"
#include "core/mem.h"
#include "core/strings.h"
#include "llm/local.h"

#define MAX_TOKENS_ELSEWHERE 1024 /* of a server's model, whose context is not known here, where no limit is given */
#define N_ROUTES 5

struct ste_openai {
    struct ste_openai_params p;
    char *base, *judge; /* the names that are listed; JUDGE NULL: there is none */
    long long started;
    uint64_t key; /* of ids and of seeds that are not given */
    atomic_uint_fast64_t asked;
    struct ste_route routes[N_ROUTES];
};

/* One of the texts that are asked for. */
struct choice {
    struct call *call;
    size_t index;
    uint64_t ticket;                    /* 0: none in flight */
    char *text;                         /* whole, once it came */
    size_t text_n, told, n_told, chars; /* of the stream: bytes, tokens and characters that were sent */
    const char *finish;
    struct ste_openai_token *tokens; /* (n_tokens), where log-probabilities are wanted */
    size_t n_tokens, cap_tokens;
};

struct call {
    struct ste_openai *o;
    struct ste_exchange *x;
    struct ste_openai_request r;
    json_t *body;
    struct ste_openai_head head;
    struct ste_llm *llm;
    int adapter;
    bool of_judge, begun; /* BEGUN: the stream */
    struct choice *choices;
    size_t n, asked;
    struct ste_tokens ids; /* of the prompt that is being asked */
    struct ste_openai_usage usage;
};

/* ---- the model's texts ---- */

static const struct ste_tokenizer *tokenizer_of(struct call *c)
{
    const struct ste_engine *e = ste_local_engine(c->llm);
    return e ? ste_engine_model(e)->tokenizer : NULL;
}

static void keep_tokens(struct choice *c, const int32_t *tokens, const float *logprobs, size_t n)
{
    const struct ste_tokenizer *tok = tokenizer_of(c->call);
    for (size_t i = c->n_tokens; i < n && tok; i++) {
        struct ste_buf b = STE_BUF_INIT;
        ste_detokenize(tok, &tokens[i], 1, false, &b);
        STE_GROW(c->tokens, c->cap_tokens, c->n_tokens + 1);
        const size_t len = b.len;
        c->tokens[c->n_tokens++] = (struct ste_openai_token){ste_buf_detach(&b), len, logprobs[i]};
    }
}

/* The log-probabilities of those tokens that begin before byte SAFE and were not told. */
static json_t *logprobs_to(struct choice *c, size_t safe)
{
    size_t begins = 0, n = 0;
    for (; n < c->n_tokens && (n < c->n_told || begins < safe); n++)
        begins += c->tokens[n].n;
    json_t *all = ste_openai_logprobs(c->call->r.chat, c->tokens + c->n_told, n - c->n_told, c->chars);
    for (; c->n_told < n; c->n_told++)
        for (size_t k = 0; k < c->tokens[c->n_told].n; k++)
            c->chars += (c->tokens[c->n_told].bytes[k] & 0xC0) != 0x80;
    return all;
}

/* ---- the stream ---- */

static void send_event(struct call *c, json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_addf(&b, "data: %s\n\n", text);
    ste_stream_write(c->x, b.s, b.len);
    ste_buf_clear(&b);
    ste_xfree(text);
    json_decref(event);
}

static void send_choice(struct choice *c, bool first, const char *text, size_t n, json_t *logprobs)
{
    struct call *call = c->call;
    json_t *one = ste_openai_choice(&call->head, c->index, first, text, n, c->finish, logprobs);
    send_event(call, ste_openai_reply(&call->head, json_pack("[o]", one), NULL, call->r.usage));
}

/* Sends what may be told of the N bytes of TEXT. */
static void tell(struct choice *c, const char *text, size_t n, bool ended)
{
    const size_t safe = ste_openai_safe(&c->call->r, text, n, ended);
    if (safe > c->told || c->finish) {
        const bool some = safe > c->told;
        json_t *logprobs = c->call->r.logprobs ? logprobs_to(c, safe) : NULL;
        send_choice(c, false, some ? text + c->told : NULL, some ? safe - c->told : 0, logprobs);
    }
    c->told = safe > c->told ? safe : c->told;
}

static void grows(void *arg, uint64_t ticket, const struct ste_written *so_far)
{
    struct call *call = arg;
    for (size_t i = 0; i < call->n; i++) {
        struct choice *c = &call->choices[i];
        if (c->ticket != ticket)
            continue;
        if (call->r.logprobs)
            keep_tokens(c, so_far->tokens, so_far->logprobs, so_far->n_tokens);
        tell(c, so_far->text, so_far->n, false);
    }
}

/* ---- the pump ---- */

static int begins(void *arg, struct ste_llm *llm, int adapter, struct ste_pump *pump, struct ste_err *err)
{
    struct call *c = arg;
    const struct ste_llm_about *about = ste_llm_about(llm);
    char all[65];
    c->llm = llm;
    c->adapter = c->of_judge ? adapter : 0;
    if (!c->r.chat && !ste_local_engine(llm))
        return ste_err_set(err, STE_EUSAGE, "%s is on a server: it is asked by /v1/chat/completions alone",
                           about->name);
    if (c->r.logprobs && !ste_local_engine(llm))
        return ste_err_set(err, STE_EUSAGE, "%s is on a server, which tells no log-probabilities here", about->name);
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_adds(h, about->model_hash);
    ste_hasher_adds(h, about->numerics);
    ste_hasher_adds(h, ste_llm_adapter_hash(llm, c->adapter));
    ste_hasher_hex(h, all);
    snprintf(c->head.fingerprint, sizeof c->head.fingerprint, "fp_%.10s", all);
    return 0;
}

/* The ids of a prompt, which all of its samples have. */
static int tokenize(struct call *c, const struct ste_openai_prompt *p, struct ste_err *err)
{
    const struct ste_model *m = ste_engine_model(ste_local_engine(c->llm));
    c->ids.n = 0;
    int rc = 0;
    if (c->r.chat)
        rc = ste_chat_tokenize(m, c->r.messages, c->r.n_messages, NULL, &c->ids, err);
    else if (p->text)
        rc = ste_tokenize_prompt(m->tokenizer, p->text, strlen(p->text), false, &c->ids, err);
    for (size_t i = 0; i < p->n_ids; i++)
        ste_tokens_add(&c->ids, p->ids[i]);
    return rc || c->ids.n ? rc : ste_err_set(err, STE_EINPUT, "the prompt has no token; give it some text");
}

static int next(void *arg, struct ste_question *q, struct ste_err *err)
{
    struct call *c = arg;
    if (c->asked == c->n)
        return 0;
    const size_t i = c->asked++, sample = i % (size_t)c->r.n;
    const int ctx = ste_llm_about(c->llm)->ctx;
    q->max_tokens = c->r.max_tokens ? c->r.max_tokens : MAX_TOKENS_ELSEWHERE;
    if (ste_local_engine(c->llm)) {
        int rc = sample ? 0 : tokenize(c, &c->r.prompts[i / (size_t)c->r.n], err);
        if (rc)
            return rc;
        if (!sample)
            c->usage.prompt += c->ids.n;
        q->ids = c->ids.ids;
        q->n_ids = c->ids.n;
        if (!c->r.max_tokens)
            q->max_tokens = c->ids.n < (size_t)ctx ? ctx - (int)c->ids.n : 1;
    } else {
        q->messages = c->r.messages;
        q->n_messages = c->r.n_messages;
    }
    q->adapter = c->adapter;
    q->sampling = c->r.sampling;
    memcpy(q->stops, c->r.stops, sizeof q->stops);
    q->n_stops = c->r.n_stops;
    q->seed = c->r.seed;
    q->sample = (int)sample;
    q->tag = &c->choices[i];
    return 1;
}

static void submitted(void *arg, void *tag, uint64_t ticket)
{
    struct call *c = arg;
    struct choice *of = tag;
    of->ticket = ticket;
    if (!ticket || !c->r.stream)
        return;
    if (!c->begun)
        ste_stream_begin(c->x, 200, "text/event-stream");
    c->begun = true;
    if (c->r.chat)
        send_choice(of, true, "", 0, NULL);
}

static int too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    return ste_err_set(err, STE_ETOOLONG, "%s", why);
}

static int answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct call *call = arg;
    struct choice *c = a->tag;
    c->ticket = 0;
    if (a->completion.finish == STE_FINISH_FAILED)
        return ste_err_set(err, STE_EIO, "%s gave no answer", ste_llm_about(call->llm)->name);
    c->finish = ste_openai_finish(a->completion.free_finish);
    call->usage.completion += a->completion.n_free;
    if (call->r.logprobs)
        keep_tokens(c, a->completion.tokens, a->completion.logprobs, a->n_written);
    if (!ste_local_engine(call->llm) && c->index % (size_t)call->r.n == 0)
        call->usage.prompt += a->n_prompt;
    c->text_n = strlen(a->text);
    if (call->r.stream) {
        tell(c, a->text, c->text_n, true);
    } else {
        c->text = a->text;
        c->text_n = ste_openai_safe(&call->r, c->text, c->text_n, true);
        a->text = NULL;
    }
    return 0;
}

/* ---- the end ---- */

static void free_call(struct call *c)
{
    for (size_t i = 0; i < c->n; i++) {
        for (size_t k = 0; k < c->choices[i].n_tokens; k++)
            ste_xfree(c->choices[i].tokens[k].bytes);
        ste_xfree(c->choices[i].tokens);
        ste_xfree(c->choices[i].text);
    }
    ste_xfree(c->choices);
    ste_tokens_clear(&c->ids);
    ste_openai_clear(&c->r);
    json_decref(c->body);
    ste_xfree(c);
}

static void reply_error(struct ste_exchange *x, int rc, const char *code, const struct ste_err *err)
{
    if (rc == STE_ETOOLONG)
        ste_reply_error(x, 400, "context_length_exceeded", "%s", err->msg);
    else if (rc == STE_EUSAGE || rc == STE_EINPUT)
        ste_reply_error(x, 400, code ? code : "invalid_request", "%s", err->msg);
    else
        ste_reply_failed(x, err);
}

static void reply_whole(struct call *c)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < c->n; i++) {
        struct choice *of = &c->choices[i];
        json_array_append_new(choices, ste_openai_choice(&c->head, i, true, of->text, of->text_n, of->finish,
                                                         c->r.logprobs ? logprobs_to(of, of->text_n) : NULL));
    }
    ste_reply_json(c->x, 200, ste_openai_reply(&c->head, choices, &c->usage, false));
}

static void end_stream(struct call *c, int rc, const struct ste_err *err)
{
    if (rc)
        send_event(c, json_pack("{s{sssssn}}", "error", "message", err->msg, "type", "server_error", "code"));
    else if (c->r.usage)
        send_event(c, ste_openai_reply(&c->head, json_array(), &c->usage, false));
    if (!rc)
        ste_stream_write(c->x, "data: [DONE]\n\n", strlen("data: [DONE]\n\n"));
    ste_stream_end(c->x);
}

static void over(void *arg, int rc, const struct ste_err *err)
{
    struct call *c = arg;
    if (c->begun)
        end_stream(c, rc, err);
    else if (rc)
        reply_error(c->x, rc, NULL, err);
    else
        reply_whole(c);
    free_call(c);
}

static bool gone(void *arg)
{
    return ste_exchange_gone(((struct call *)arg)->x);
}

/* ---- the routes ---- */

/* 0, or the model is none: what is replied is then said. */
static int choose_model(struct ste_openai *o, struct call *c, struct ste_err *err)
{
    const char *name = c->r.model;
    c->of_judge = o->judge && (strcmp(name, o->judge) == 0 || strcmp(name, o->p.judge) == 0);
    if (c->of_judge || strcmp(name, o->base) == 0 || strcmp(name, o->p.base) == 0) {
        c->head.model = c->of_judge ? o->judge : o->base;
        return 0;
    }
    return ste_err_set(err, STE_ENOTFOUND, "the model \"%.100s\" is not here; there is %s%s%s", name, o->base,
                       o->judge ? " and, with the judge's adapter, " : "", o->judge ? o->judge : "");
}

/* What is known of a call before its model has it. */
static void prepare(struct ste_openai *o, struct call *c)
{
    const uint64_t number = atomic_fetch_add(&o->asked, 1);
    const struct ste_digits count = ste_digits((long long)number), key = ste_digits((long long)o->key);
    const struct ste_id id = ste_id_of("openai", key.s, count.s, NULL);
    c->head.chat = c->r.chat;
    c->head.stream = c->r.stream;
    c->head.created = (long long)time(NULL);
    snprintf(c->head.id, sizeof c->head.id, "%s-%.24s", c->r.chat ? "chatcmpl" : "cmpl", id.s);
    /* Where nothing is drawn, the same question is the same one for the cache. */
    if (!c->r.has_seed && c->r.sampling.temperature > 0)
        c->r.seed = ste_key_of("seed", key.s, count.s, NULL);
    c->n = c->r.n_prompts * (size_t)c->r.n;
    c->choices = ste_xcalloc(c->n, sizeof *c->choices);
    for (size_t i = 0; i < c->n; i++)
        c->choices[i] = (struct choice){.call = c, .index = i};
}

static void complete(struct ste_openai *o, struct ste_exchange *x, bool chat)
{
    size_t size;
    json_error_t where;
    struct ste_err err = {0};
    const char *text = ste_exchange_body(x, &size), *code = NULL;
    struct call *c = ste_xcalloc(1, sizeof *c);
    c->o = o;
    c->x = x;
    c->body = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    int rc = c->body ? ste_openai_read(&c->r, c->body, chat, &code, &err)
                     : ste_err_set(&err, STE_EINPUT, "the body is no JSON: line %d, column %d: %s", where.line,
                                   where.column, where.text);
    if (!rc && choose_model(o, c, &err)) {
        ste_reply_error(x, 404, "model_not_found", "%s", err.msg);
        free_call(c);
        return;
    }
    if (!rc) {
        prepare(o, c);
        const struct ste_job job = {
            .client = ste_exchange_client(x),
            .arg = c,
            .begins = begins,
            .pump = {.arg = c, .next = next, .submitted = submitted, .too_long = too_long, .answer = answer},
            .grows = c->r.stream ? grows : NULL,
            .gone = gone,
            .over = over};
        rc = ste_work_add(o->p.work, &job, &err);
        if (!rc)
            return;
    }
    reply_error(x, rc, code, &err);
    free_call(c);
}

static void chat(void *arg, struct ste_exchange *x)
{
    complete(arg, x, true);
}

static void completion(void *arg, struct ste_exchange *x)
{
    complete(arg, x, false);
}

static json_t *about_model(const struct ste_openai *o, const char *name)
{
    const bool judge = o->judge && strcmp(name, o->judge) == 0;
    json_t *m =
        json_pack("{sssssIss}", "id", name, "object", "model", "created", (json_int_t)o->started, "owned_by", "ste");
    if (judge)
        json_object_set_new(m, "parent", json_string(o->base));
    if (ste_llm_about(o->p.llm)->ctx)
        json_object_set_new(m, "max_model_len", json_integer(ste_llm_about(o->p.llm)->ctx));
    return m;
}

static void models(void *arg, struct ste_exchange *x)
{
    const struct ste_openai *o = arg;
    json_t *list = json_pack("[o]", about_model(o, o->base));
    if (o->judge)
        json_array_append_new(list, about_model(o, o->judge));
    ste_reply_json(x, 200, json_pack("{ssso}", "object", "list", "data", list));
}

static void one_model(void *arg, struct ste_exchange *x)
{
    const struct ste_openai *o = arg;
    const char *name = ste_exchange_part(x, "model");
    if (name && (strcmp(name, o->base) == 0 || (o->judge && strcmp(name, o->judge) == 0)))
        ste_reply_json(x, 200, about_model(o, name));
    else
        ste_reply_error(x, 404, "model_not_found",
                        "the model \"%.100s\" is not here; GET /v1/models lists those that are", name ? name : "");
}

static void reloaded(void *arg, int rc, bool changed, const struct ste_err *err)
{
    if (rc)
        reply_error(arg, rc, NULL, err);
    else
        ste_reply_json(arg, 200, json_pack("{sb}", "changed", changed));
}

static void reload(void *arg, struct ste_exchange *x)
{
    struct ste_err err = {0};
    int rc = ste_work_reload(((struct ste_openai *)arg)->p.work, reloaded, x, &err);
    if (rc)
        reply_error(x, rc, NULL, &err);
}

/* The last part of a path, without what a model's file ends in: names in requests and addresses. */
static char *short_name(const char *name)
{
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && name[from - 1] != '/')
        from--;
    if (n - from > 5 && memcmp(name + n - 5, ".gguf", 5) == 0)
        n -= 5;
    return ste_xstrndup(name + from, n - from);
}

struct ste_openai *ste_openai_new(const struct ste_openai_params *p)
{
    struct ste_openai *o = ste_xcalloc(1, sizeof *o);
    o->p = *p;
    o->base = short_name(p->base);
    o->judge = p->judge ? short_name(p->judge) : NULL;
    if (o->judge && strcmp(o->judge, o->base) == 0) {
        char *other = ste_xasprintf("%s-judge", o->judge);
        ste_xfree(o->judge);
        o->judge = other;
    }
    o->started = (long long)time(NULL);
    if (getrandom(&o->key, sizeof o->key, 0) != sizeof o->key)
        o->key = (uint64_t)o->started;
    const struct ste_route routes[N_ROUTES] = {
        {"GET", "/v1/models", models, o, STE_ROUTE_HERE, false},
        {"GET", "/v1/models/{model}", one_model, o, STE_ROUTE_HERE, false},
        {"POST", "/v1/chat/completions", chat, o, STE_ROUTE_HERE, false},
        {"POST", "/v1/completions", completion, o, STE_ROUTE_HERE, false},
        {"POST", "/v1/reload", reload, o, STE_ROUTE_HERE, false},
    };
    memcpy(o->routes, routes, sizeof routes);
    return o;
}

void ste_openai_free(struct ste_openai *o)
{
    if (!o)
        return;
    ste_xfree(o->base);
    ste_xfree(o->judge);
    ste_xfree(o);
}

const struct ste_route *ste_openai_table(struct ste_openai *o, size_t *n)
{
    *n = N_ROUTES;
    return o->routes;
}
