#include "llm/server.h"

#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "llm/adapters.h"
#include "net/pool.h"

#define MAX_TRIES 6       /* of a call here */
#define SHORT 16          /* tokens of its answers; some take no fewer */
#define PROBE_SECONDS 120 /* for the reply to a short question */

/* ---- calls ---- */

/* An address without a path is that of a server whose API is at /v1. */
char *ste_server_url(const struct ste_server *s, size_t which, const char *path)
{
    const char *url = s->at.urls.items[which], *host = strstr(url, "://") + 3;
    const size_t n = strlen(url);
    const bool v1 = ste_ends_in(url, "/v1"), bare = !strchr(host, '/'), api = strncmp(path, "/v1/", 4) == 0;
    if (v1)
        return ste_xasprintf("%.*s%s", (int)n - 3, url, path);
    return ste_xasprintf("%s%s", url, api && !bare ? path + 3 : path);
}

char *ste_server_said(const struct ste_server *s, const char *text)
{
    struct ste_buf b = STE_BUF_INIT;
    const size_t n = s->at.key ? strlen(s->at.key) : 0;
    for (const char *p = text; *p;) {
        const bool key = n && strncmp(p, s->at.key, n) == 0;
        if (key)
            ste_buf_adds(&b, "***");
        else
            ste_buf_addc(&b, *p);
        p += key ? n : 1;
    }
    return ste_buf_detach(&b);
}

const char *ste_server_hint(long status)
{
    return status == 401 || status == 403 ? "; a key comes from STE_API_KEY, or from what key_env or key_file of a "
                                            "YAML file names"
                                          : "";
}

/* One request; 1: *REPLY is there. */
static int call_once(struct ste_server *s, const char *url, const char *body, struct ste_http_reply *reply,
                     struct ste_err *err)
{
    const double seconds = s->at.timeout < PROBE_SECONDS ? s->at.timeout : PROBE_SECONDS;
    const struct ste_http_request r = {
        .url = url, .body = ste_xstrdup(body), .seconds = seconds, .max_bytes = STE_MAX_REPLY, .tag = s};
    ste_http_pool_send(s->pool, &r);
    int rc;
    while ((rc = ste_http_pool_next(s->pool, 1, reply, err)) == 0)
        ;
    if (rc < 0)
        ste_http_pool_drop(s->pool, s);
    return rc;
}

int ste_server_wait(struct ste_server *s, double seconds, struct ste_err *err)
{
    struct ste_http_reply none;
    return ste_http_pool_next(s->pool, seconds, &none, err);
}

/* The routes for adapters: they reply with a sentence, and their 500 is for good. */
static bool ends_in_adapter(const char *path)
{
    return ste_ends_in(path, "_lora_adapter");
}

static json_t *read_reply(const char *path, const struct ste_http_reply *r)
{
    json_t *j = r->why ? NULL : json_loadb(r->body, r->n, JSON_ALLOW_NUL, NULL);
    return !j && !r->why && ends_in_adapter(path) ? json_stringn(r->body, r->n) : j;
}

/* A server that loads its model is waited for as long as the patience goes. */
static int call_text(struct ste_server *s, size_t which, const char *path, const char *text, json_t **out, long *status,
                     struct ste_err *err)
{
    char *url = ste_server_url(s, which, path);
    const double began = ste_now();
    bool said = false;
    *out = NULL;
    *status = 0;
    int rc = 0;
    for (int try = 0; !*out && !rc; try++) {
        struct ste_http_reply r;
        rc = call_once(s, url, text, &r, err);
        if (rc < 0)
            break;
        *status = r.status;
        *out = read_reply(path, &r);
        const bool loading =
                       (r.status == 503 || (s->patient && !r.status && r.passes)) && ste_now() - began < s->at.patience,
                   fault = r.passes && (r.status != 500 || (s->patient && !ends_in_adapter(path)));
        char *why = ste_server_said(s, r.why ? r.why : "the reply is no JSON");
        if (!*out && loading && !said)
            ste_warn("%s is not ready: %s; waiting", s->at.name, why);
        said |= loading;
        rc = *out || loading || (fault && try + 1 < MAX_TRIES) || (!r.why && try + 1 < MAX_TRIES)
                 ? 0
                 : ste_err_set(err, STE_EIO, "%s: %s (%s)%s", s->at.name, why, path, ste_server_hint(r.status));
        ste_xfree(why);
        ste_http_reply_clear(&r);
        if (!*out && !rc)
            rc = ste_server_wait(s, loading ? 1 : 0.25 * (1 << try), err);
    }
    ste_xfree(url);
    return rc;
}

int ste_server_call(struct ste_server *s, size_t which, const char *path, const json_t *body, json_t **out,
                    long *status, struct ste_err *err)
{
    char *text = body ? ste_json_canonical(body) : NULL;
    int rc = call_text(s, which, path, text, out, status, err);
    ste_xfree(text);
    return rc;
}

long ste_server_try(struct ste_server *s, size_t which, const char *path, const json_t *body)
{
    char *url = ste_server_url(s, which, path), *text = body ? ste_json_canonical(body) : NULL;
    struct ste_http_reply r;
    struct ste_err ignored;
    const bool came = call_once(s, url, text, &r, &ignored) == 1;
    const long status = came ? r.status : 0;
    if (came)
        ste_http_reply_clear(&r);
    ste_xfree(url);
    ste_xfree(text);
    return status;
}

/* A GET that may be refused: NULL then. */
static json_t *look(struct ste_server *s, const char *path)
{
    json_t *out;
    long status;
    struct ste_err ignored;
    return ste_server_call(s, 0, path, NULL, &out, &status, &ignored) ? NULL : out;
}

/* ---- token ids ---- */

static int ask_tokens(struct ste_server *s, const char *text, struct ste_tokens *out, struct ste_err *err)
{
    const bool llama = s->dialect.api == STE_API_LLAMA_SERVER;
    json_t *reply,
        *body = llama ? json_pack("{sssbsb}", "content", text, "add_special", 0, "parse_special", 0)
                      : json_pack("{sssssb}", "model", s->dialect.model, "prompt", text, "add_special_tokens", 0);
    long status;
    int rc = ste_server_call(s, 0, "/tokenize", body, &reply, &status, err);
    const json_t *ids = json_object_get(reply, "tokens");
    if (!rc && !json_is_array(ids))
        rc = ste_err_set(err, STE_EIO, "%s: the reply has no token ids (/tokenize)", s->at.name);
    for (size_t i = 0; i < json_array_size(ids) && !rc; i++)
        ste_tokens_add(out, (int32_t)json_integer_value(json_array_get(ids, i)));
    json_decref(reply);
    json_decref(body);
    return rc;
}

/* A before B. */
static bool begins(const struct ste_tokens *b, const struct ste_tokens *a)
{
    return b->n >= a->n && (a->n == 0 || memcmp(b->ids, a->ids, a->n * sizeof *a->ids) == 0);
}

/* SentencePiece's tokenizers put a space in front of a text, which the words behind a prompt do not have: those are
 * asked for behind a line's end, whose ids are left out. */
static int ask_tokens_on(struct ste_server *s, const char *text, struct ste_tokens *out, struct ste_err *err)
{
    if (s->line.n == 0)
        return ask_tokens(s, text, out, err);
    struct ste_tokens all = {0};
    char *behind = ste_xasprintf("\n%s", text);
    int rc = ask_tokens(s, behind, &all, err);
    if (!rc && !begins(&all, &s->line))
        rc = ste_err_set(err, STE_EIO, "%s: a line's end has other ids before \"%.20s\" (/tokenize)", s->at.name, text);
    for (size_t i = s->line.n; i < all.n && !rc; i++)
        ste_tokens_add(out, all.ids[i]);
    ste_tokens_clear(&all);
    ste_xfree(behind);
    return rc;
}

/* Finds LINE. A server that does not tell ids is found out later. */
static void find_space(struct ste_server *s)
{
    struct ste_tokens alone = {0}, line = {0}, behind = {0};
    struct ste_err ignored;
    if (ask_tokens(s, "A", &alone, &ignored) == 0 && ask_tokens(s, "\n", &line, &ignored) == 0 &&
        ask_tokens(s, "\nA", &behind, &ignored) == 0 && begins(&behind, &line)) {
        const struct ste_tokens rest = {.ids = behind.ids + line.n, .n = behind.n - line.n};
        if (rest.n != alone.n || !begins(&rest, &alone)) {
            s->line = line;
            line = (struct ste_tokens){0};
        }
    }
    ste_tokens_clear(&alone);
    ste_tokens_clear(&line);
    ste_tokens_clear(&behind);
}

int ste_server_tokenize(struct ste_server *s, const char *text, bool keep, struct ste_tokens *out, struct ste_err *err)
{
    size_t at = 0;
    while (at < s->known.n && strcmp(s->known.items[at], text) != 0)
        at++;
    if (at == s->known.n) {
        struct ste_tokens fresh = {0};
        int rc = *text ? ask_tokens_on(s, text, &fresh, err) : 0;
        if (rc || !keep) {
            for (size_t i = 0; i < fresh.n && !rc; i++)
                ste_tokens_add(out, fresh.ids[i]);
            ste_tokens_clear(&fresh);
            return rc;
        }
        s->known_ids = ste_xrealloc(s->known_ids, (at + 1) * sizeof *s->known_ids);
        s->known_ids[at] = fresh;
        ste_strings_add(&s->known, text);
    }
    for (size_t i = 0; i < s->known_ids[at].n; i++)
        ste_tokens_add(out, s->known_ids[at].ids[i]);
    return 0;
}

/* ---- what serves there ---- */

/* The model's row of /v1/models; NULL, with a sentence in ERR: there is none of that name. */
static const json_t *find_model(struct ste_server *s, size_t which, const json_t *list, struct ste_err *err)
{
    const json_t *data = json_object_get(list, "data");
    struct ste_buf names = STE_BUF_INIT;
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(data) && !found; i++) {
        const json_t *row = json_array_get(data, i);
        const char *id = json_string_value(json_object_get(row, "id"));
        if (!id)
            continue;
        if (s->at.model ? strcmp(id, s->at.model) == 0 : json_array_size(data) == 1)
            found = row;
        else if (names.len < 300)
            ste_buf_addf(&names, "%s%s", names.len ? ", " : "", id);
    }
    const char *url = s->at.urls.items[which], *has = names.len ? names.s : "none";
    if (!found && s->at.model)
        ste_err_set(err, STE_ENOTFOUND, "%s has no model %s; it has: %s", url, s->at.model, has);
    else if (!found)
        ste_err_set(err, STE_EUSAGE, "%s: say which model, as %s#MODEL; it has: %s", url, url, has);
    ste_buf_clear(&names);
    return found;
}

static enum ste_api kind_of(const struct ste_server *s, const json_t *row)
{
    const char *owner = json_string_value(json_object_get(row, "owned_by"));
    if (s->at.api != STE_API_AUTO)
        return s->at.api;
    return !owner                               ? STE_API_OPENAI
           : strcmp(owner, "vllm") == 0         ? STE_API_VLLM
           : strcmp(owner, "sglang") == 0       ? STE_API_SGLANG
           : strncmp(owner, "llamacpp", 8) == 0 ? STE_API_LLAMA_SERVER
                                                : STE_API_OPENAI;
}

static char *copy_of(const json_t *v, const char *otherwise)
{
    return ste_xstrdup(json_is_string(v) ? json_string_value(v) : otherwise);
}

/* What llama-server makes its answers of, where requests do not name its adapters: those that it was started with are
 * in force then. */
static char *llama_root(struct ste_server *s, const json_t *model_path)
{
    struct ste_buf b = STE_BUF_INIT;
    json_t *list = s->at.on_adapter.n ? NULL : look(s, "/lora-adapters");
    ste_buf_adds(&b, json_is_string(model_path) ? json_string_value(model_path) : "");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *path = json_string_value(json_object_get(item, "path"));
        const double scale = json_number_value(json_object_get(item, "scale"));
        if (!path || scale == 0)
            continue;
        ste_warn("%s answers with the adapter %s, which it was started with", s->at.name, path);
        ste_buf_addf(&b, " + %g * %s", scale, path);
    }
    json_decref(list);
    return ste_buf_detach(&b);
}

/* What the kind tells of itself. */
static void read_kind(struct ste_server *s, const json_t *row)
{
    json_t *j = NULL;
    const json_t *version = NULL, *ctx = json_object_get(row, "max_model_len");
    if (s->dialect.api == STE_API_VLLM) {
        version = json_object_get(j = look(s, "/version"), "version");
        s->root = copy_of(json_object_get(row, "root"), "");
    } else if (s->dialect.api == STE_API_LLAMA_SERVER) {
        version = json_object_get(j = look(s, "/props"), "build_info");
        ctx = json_object_get(json_object_get(j, "default_generation_settings"), "n_ctx");
        s->root = llama_root(s, json_object_get(j, "model_path"));
        s->dialect.n_vocab = (int)json_integer_value(json_object_get(json_object_get(row, "meta"), "n_vocab"));
    } else if (s->dialect.api == STE_API_SGLANG) {
        version = json_object_get(j = look(s, "/server_info"), "version");
        s->root = copy_of(json_object_get(row, "root"), "");
    } else {
        s->root = ste_xstrdup("");
    }
    s->version = copy_of(version, "");
    s->ctx = json_is_integer(ctx) ? (int)json_integer_value(ctx) : 0;
    json_decref(j);
}

/* A server that lists no models (404) is taken at the user's word. */
static int ask_kind(struct ste_server *s, struct ste_err *err)
{
    struct ste_err why = {0};
    for (size_t i = 0; i < s->at.urls.n; i++) {
        json_t *list;
        long status;
        int rc = ste_server_call(s, i, "/v1/models", NULL, &list, &status, &why);
        const json_t *row = rc ? NULL : find_model(s, i, list, &why);
        const bool no_list = status == 404 && s->at.model;
        if (!row && !no_list) {
            json_decref(list);
            return ste_err_set(err, why.code, "%s", why.msg);
        }
        rc = 0;
        if (i == 0) {
            s->dialect.model = row ? copy_of(json_object_get(row, "id"), "") : ste_xstrdup(s->at.model);
            s->dialect.api = kind_of(s, row);
            read_kind(s, row);
        } else if (kind_of(s, row) != s->dialect.api) {
            rc = ste_err_set(err, STE_EUSAGE, "%s is %s and %s is %s; what shares the load must be of one kind",
                             s->at.urls.items[0], ste_api_names[s->dialect.api], s->at.urls.items[i],
                             ste_api_names[kind_of(s, row)]);
        }
        json_decref(list);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the probe ---- */

static struct ste_ask *short_question(const char *text, int max_tokens, bool labels)
{
    const struct ste_message message = {"user", text};
    return ste_ask_new(&(struct ste_question){.messages = &message,
                                              .n_messages = 1,
                                              .sampling = {.temperature = 0, .top_p = 1},
                                              .max_tokens = max_tokens,
                                              .choices = {"A", "B"},
                                              .n_choices = labels ? 2 : 0});
}

/* Takes A, a question of short_question, through all its requests. */
static int run(struct ste_server *s, size_t which, struct ste_ask *a, long *status, struct ste_err *err)
{
    int rc = 0;
    enum ste_wire is = STE_WIRE_MORE;
    if (s->dialect.way == STE_WAY_IDS)
        for (int i = 0; i < a->n_choices && !rc; i++)
            rc = ste_server_tokenize(s, a->choices[i], true, &a->choice_ids[i], err);
    for (int i = 0; i < a->n_choices && !rc && s->dialect.way == STE_WAY_IDS; i++)
        if (a->choice_ids[i].n != 1)
            rc = ste_err_set(err, STE_EIO, "%s: a label is no single token", s->at.name);
    double held = 0;
    while (!rc && is == STE_WIRE_MORE) {
        json_t *reply;
        char *body;
        struct ste_amount most;
        ste_wire_amount(&s->dialect, a, true, &most);
        if ((rc = ste_meter_hold(&s->meter, &most, &held, err)) <= 0)
            return rc ? rc : ste_meter_full(&s->meter, &most, err);
        struct ste_weights w;
        ste_server_weights(s, a->adapter, which, &w);
        const char *path = ste_wire_request(&s->dialect, a, &w, &body);
        ste_weights_clear(&w);
        rc = call_text(s, which, path, body, &reply, status, err);
        ste_xfree(body);
        char *why = NULL, *text = reply ? ste_json_canonical(reply) : NULL;
        if (!rc && (is = ste_wire_take(&s->dialect, a, text, strlen(text), &why)) == STE_WIRE_BAD)
            rc = ste_err_set(err, STE_EIO, "%s: %s (%s)", s->at.name, why, path);
        if (is == STE_WIRE_MORE && !rc)
            ste_wire_amount(&s->dialect, a, true, &most);
        else
            most = (struct ste_amount){0};
        const bool heard = reply ? a->heard : *status != 0;
        if (!reply)
            a->used = (struct ste_spent){0};
        int unkept = ste_meter_settle(&s->meter, heard ? &a->used : NULL, &most, &held, rc ? NULL : err);
        rc = rc ? rc : unkept;
        ste_xfree(why);
        ste_xfree(text);
        json_decref(reply);
    }
    return rc;
}

static int try_question(struct ste_server *s, size_t which, int max_tokens, bool labels, long *status,
                        struct ste_err *err)
{
    struct ste_ask *a = short_question("Hi", max_tokens, labels);
    int rc = run(s, which, a, status, err);
    ste_ask_free(a);
    return rc;
}

int ste_server_check(struct ste_server *s, size_t which, struct ste_err *err)
{
    long status;
    return try_question(s, which, SHORT, false, &status, err);
}

int ste_server_labels(struct ste_server *s, size_t which, int adapter, const char *text, float out[2], long *status,
                      struct ste_err *err)
{
    struct ste_ask *a = short_question(text, 0, true);
    a->adapter = adapter;
    int rc = run(s, which, a, status, err);
    memcpy(out, a->logprobs, 2 * sizeof *out);
    ste_ask_free(a);
    return rc;
}

/* The turn's end as llama-server's template writes it: the first id behind an answer. */
static void find_end_of_turn(struct ste_server *s)
{
    static const char answer[] = "Yes!";
    long status;
    struct ste_err ignored;
    json_t *reply = NULL, *body = json_pack("{s[{ssss}{ssss}]}", "messages", "role", "user", "content", "Hi", "role",
                                            "assistant", "content", answer);
    s->dialect.end_of_turn = -1;
    ste_server_call(s, 0, "/apply-template", body, &reply, &status, &ignored);
    json_decref(body);
    const char *text = json_string_value(json_object_get(reply, "prompt")),
               *behind = text ? strstr(text, answer) : NULL;
    json_t *tokens = NULL;
    if (behind && behind[sizeof answer - 1]) {
        body = json_pack("{sssbsb}", "content", behind + sizeof answer - 1, "add_special", 0, "parse_special", 1);
        ste_server_call(s, 0, "/tokenize", body, &tokens, &status, &ignored);
        json_decref(body);
    }
    const json_t *first = json_array_get(json_object_get(tokens, "tokens"), 0);
    if (json_is_integer(first))
        s->dialect.end_of_turn = (int32_t)json_integer_value(first);
    json_decref(reply);
    json_decref(tokens);
}

/* What is sent as long as the server refuses none of it. */
static void begin_dialect(struct ste_server *s)
{
    struct ste_dialect *d = &s->dialect;
    d->plain = s->at.no_sampling;
    d->limit =
        d->plain || d->api == STE_API_VLLM || ste_endpoint_is_openai(&s->at) ? "max_completion_tokens" : "max_tokens";
}

/* By token ids if that goes all the way, with a free part and without; else by a turn's log-probabilities; else votes.
 */
static int find_way(struct ste_server *s, struct ste_err *err)
{
    struct ste_err why = {0};
    long status = 0;
    const bool ids =
        s->at.labels == STE_LABELS_AUTO && (s->dialect.api == STE_API_VLLM || s->dialect.api == STE_API_LLAMA_SERVER);
    begin_dialect(s);
    s->dialect.way = STE_WAY_IDS;
    if (s->dialect.api == STE_API_LLAMA_SERVER)
        find_end_of_turn(s);
    if (ids)
        find_space(s);
    if (ids && try_question(s, 0, 0, true, &status, &why) == 0 && try_question(s, 0, 2, false, &status, &why) == 0)
        return 0;
    if (why.code == STE_EINTERRUPTED || s->meter.reached)
        return ste_err_set(err, why.code, "%s", why.msg);
    if (ids)
        ste_warn("%s; it tells no token ids, or not what is asked of them", why.msg);
    s->dialect.way = STE_WAY_VOTE; /* what a plain question needs, first */
    int rc = try_question(s, 0, SHORT, false, &status, err);
    if (rc && (status == 400 || status == 422)) {
        s->dialect.limit = "max_completion_tokens";
        rc = try_question(s, 0, SHORT, false, &status, err);
    }
    if (rc && (status == 400 || status == 422)) {
        s->dialect.plain = true;
        rc = try_question(s, 0, SHORT, false, &status, err);
    }
    if (rc || s->dialect.plain || s->at.labels == STE_LABELS_VOTES)
        return rc;
    s->dialect.way = STE_WAY_TURN;
    if (try_question(s, 0, 0, true, &status, &why) == 0)
        return 0;
    s->dialect.way = STE_WAY_VOTE;
    return why.code == STE_EINTERRUPTED ? ste_err_set(err, why.code, "%s", why.msg) : 0;
}

/* ---- opening and closing ---- */

static void identify(struct ste_server *s)
{
    static const char *const ways[] = {"labels by token ids", "labels by log-probabilities of a turn",
                                       "labels by votes"};
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_adds(h, "ste remote model 1");
    ste_hasher_adds(h, ste_api_names[s->dialect.api]);
    ste_hasher_adds(h, s->dialect.model);
    ste_hasher_adds(h, s->root);
    ste_hasher_hex(h, s->model_hash);
    s->numerics = ste_xasprintf("%s%s%s, %s%s", ste_api_names[s->dialect.api], *s->version ? " " : "", s->version,
                                ways[s->dialect.way], s->dialect.plain ? ", sampling by the server" : "");
}

int ste_server_open(struct ste_server *s, const char *name, const char *spent, struct ste_err *err)
{
    *s = (struct ste_server){0};
    int rc = ste_endpoint_read(&s->at, name, err);
    if (rc)
        return rc;
    if (s->at.key)
        s->headers[0] = s->authorization = ste_xasprintf("Authorization: Bearer %s", s->at.key);
    s->pool = ste_http_pool_new(s->headers);
    if ((rc = ask_kind(s, err)) != 0 || (rc = ste_meter_open(&s->meter, &s->at, s->dialect.model, spent, err)) != 0 ||
        (rc = find_way(s, err)) != 0)
        return rc;
    identify(s);
    return ste_server_open_adapters(s, err);
}

int ste_server_assume(struct ste_server *s, const char *name, const char *spent, struct ste_err *err)
{
    *s = (struct ste_server){0};
    int rc = ste_endpoint_read_keyless(&s->at, name, err);
    if (!rc && !s->at.model)
        rc = ste_err_set(err, STE_EUSAGE, "%s: say which model, as URL#MODEL or model in the file: no server is asked",
                         name);
    if (rc)
        return rc;
    s->dialect.api = s->at.api == STE_API_AUTO ? STE_API_OPENAI : s->at.api;
    s->dialect.model = ste_xstrdup(s->at.model);
    s->version = ste_xstrdup("");
    s->root = ste_xstrdup("");
    begin_dialect(s);
    s->dialect.way = s->dialect.plain || s->at.labels == STE_LABELS_VOTES ? STE_WAY_VOTE : STE_WAY_TURN;
    identify(s);
    return ste_meter_open(&s->meter, &s->at, s->dialect.model, spent, err);
}

void ste_server_close(struct ste_server *s)
{
    ste_server_close_adapters(s);
    ste_http_pool_free(s->pool);
    for (size_t i = 0; i < s->known.n; i++)
        ste_tokens_clear(&s->known_ids[i]);
    ste_xfree(s->known_ids);
    ste_tokens_clear(&s->line);
    ste_strings_clear(&s->known);
    if (s->authorization)
        memset(s->authorization, 0, strlen(s->authorization));
    ste_xfree(s->authorization);
    ste_xfree(s->dialect.model);
    ste_xfree(s->version);
    ste_xfree(s->root);
    ste_xfree(s->numerics);
    ste_meter_close(&s->meter);
    ste_endpoint_clear(&s->at);
    *s = (struct ste_server){0};
}
