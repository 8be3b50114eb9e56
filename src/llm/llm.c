#include "llm/llm.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/utf8.h"
#include "data/catalogue.h"
#include "llm/cache.h"

/* A question in flight, or one whose answer came from the cache and waits for ste_llm_next. */
struct question {
    uint64_t ticket, engine_ticket; /* engine_ticket 0: from the cache */
    void *tag;
    char address[65];
    int32_t *prompt;
    size_t n_prompt;
    struct ste_completion cached;
};

struct ste_llm {
    char *name;
    struct ste_model *model;
    struct ste_pool *pool;
    struct ste_engine *engine;
    struct ste_cache *cache;
    int max_batch;
    struct ste_adapter **adapters; /* handle - 1; NULL: dropped */
    int n_adapters;
    struct question *questions;
    size_t n_questions, cap_questions;
    uint64_t next_ticket;
};

int ste_llm_open(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err)
{
    *out = NULL;
    struct ste_engine_params ep;
    ste_engine_default_params(&ep);
    int rc = ste_isa_choose(p->isa, &ep.isa, err);
    if (!rc)
        rc = ste_activations_by_name(p->activations ? p->activations : "auto", false, &ep.activations, err);
    char *path = NULL;
    if (rc || (rc = ste_model_resolve(model, &path, err)) != 0)
        return rc;
    struct ste_llm *l = ste_xcalloc(1, sizeof *l);
    l->name = ste_xstrdup(model);
    l->next_ticket = 1;
    l->pool = ep.pool = ste_pool_new(p->threads);
    if (p->ctx > 0)
        ep.n_ctx = p->ctx;
    if (p->batch > 0)
        ep.max_batch = p->batch;
    l->max_batch = ep.max_batch;
    enum ste_work before = ste_profile_begin(STE_WORK_LOAD);
    rc = ste_model_open(&l->model, path, err);
    free(path);
    if (!rc)
        rc = ste_engine_new(&l->engine, l->model, &ep, err);
    ste_profile_end(before);
    if (rc) {
        ste_llm_close(l);
        return rc;
    }
    if (p->cache)
        l->cache = ste_cache_open(p->cache, ste_engine_numerics(l->engine));
    *out = l;
    return 0;
}

static void forget(struct ste_llm *l, size_t i)
{
    free(l->questions[i].prompt);
    ste_completion_clear(&l->questions[i].cached);
    memmove(l->questions + i, l->questions + i + 1, (l->n_questions - i - 1) * sizeof *l->questions);
    l->n_questions--;
}

void ste_llm_close(struct ste_llm *l)
{
    if (!l)
        return;
    while (l->n_questions)
        forget(l, l->n_questions - 1);
    free(l->questions);
    for (int i = 0; i < l->n_adapters; i++)
        ste_adapter_free(l->adapters[i]);
    free(l->adapters);
    ste_cache_close(l->cache);
    ste_engine_free(l->engine);
    ste_model_close(l->model);
    ste_pool_free(l->pool);
    free(l->name);
    free(l);
}

const char *ste_llm_name(const struct ste_llm *l)
{
    return l->name;
}

const char *ste_llm_model_hash(const struct ste_llm *l)
{
    return l->model->sha256;
}

const char *ste_llm_numerics(const struct ste_llm *l)
{
    return ste_engine_numerics(l->engine);
}

struct ste_engine *ste_llm_engine(struct ste_llm *l)
{
    return l->engine;
}

struct ste_pool *ste_llm_pool(struct ste_llm *l)
{
    return l->pool;
}

unsigned ste_llm_capabilities(const struct ste_llm *l)
{
    return STE_CAN_LOGPROBS | STE_CAN_CHOICES | STE_CAN_TOKEN_IDS | STE_CAN_ADAPTERS | STE_IS_DETERMINISTIC;
}

const struct ste_adapter *ste_llm_adapter(const struct ste_llm *l, int handle)
{
    return handle > 0 && handle <= l->n_adapters ? l->adapters[handle - 1] : NULL;
}

int ste_llm_add_adapter(struct ste_llm *l, struct ste_lora *lora, int *handle, struct ste_err *err)
{
    ste_lora_rehash(lora);
    int place = l->n_adapters, rc = 0;
    struct ste_adapter *a = NULL;
    for (int i = 0; i < l->n_adapters; i++) {
        if (!l->adapters[i])
            place = i;
        else if (!a && strcmp(ste_adapter_hash(l->adapters[i]), lora->hash) == 0)
            a = ste_adapter_hold(l->adapters[i]);
    }
    if (!a && (rc = ste_adapter_new(&a, l->engine, lora, err)) != 0)
        return rc;
    if (place == l->n_adapters)
        l->adapters = ste_xrealloc(l->adapters, (size_t)++l->n_adapters * sizeof *l->adapters);
    l->adapters[place] = a;
    *handle = place + 1;
    return 0;
}

int ste_llm_load_adapter(struct ste_llm *l, const char *peft_dir, int *handle, struct ste_err *err)
{
    struct ste_lora *lora = NULL;
    int rc = ste_lora_read_peft(&lora, l->model, peft_dir, err);
    if (!rc)
        rc = ste_llm_add_adapter(l, lora, handle, err);
    ste_lora_free(lora);
    return rc;
}

void ste_llm_drop_adapter(struct ste_llm *l, int handle)
{
    if (handle > 0 && handle <= l->n_adapters) {
        ste_adapter_free(l->adapters[handle - 1]);
        l->adapters[handle - 1] = NULL;
    }
}

const char *ste_llm_adapter_hash(const struct ste_llm *l, int handle)
{
    return ste_adapter_hash(ste_llm_adapter(l, handle));
}

/* Contract 3's address, as 64 hex characters; its first 8 bytes are the request's random key. */
static void address_of(const struct ste_llm *l, const struct ste_ask *ask, struct ste_request *r, char out[65])
{
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_adds(h, "ste request 1");
    ste_hasher_adds(h, l->model->sha256);
    ste_hasher_adds(h, ste_llm_adapter_hash(l, ask->adapter));
    ste_hasher_addu(h, r->n_prompt);
    ste_hasher_add(h, r->prompt, r->n_prompt * sizeof *r->prompt);
    ste_hasher_addu(h, r->n_closing);
    ste_hasher_add(h, r->closing, r->n_closing * sizeof *r->closing);
    ste_hasher_addu(h, (uint64_t)r->n_choices);
    for (int i = 0; i < r->n_choices; i++) {
        ste_hasher_addu(h, r->choice_len[i]);
        ste_hasher_add(h, r->choices[i], r->choice_len[i] * sizeof *r->choices[i]);
    }
    ste_hasher_addu(h, r->sample_choice);
    ste_hasher_addu(h, (uint64_t)r->n_stops);
    for (int i = 0; i < r->n_stops; i++)
        ste_hasher_adds(h, r->stops[i]);
    ste_hasher_addu(h, (uint64_t)r->max_tokens);
    const double reals[3] = {r->sampling.temperature, r->sampling.top_p, r->sampling.min_p};
    ste_hasher_add(h, reals, sizeof reals);
    ste_hasher_addu(h, (uint64_t)r->sampling.top_k);
    ste_hasher_addu(h, ask->seed);
    ste_hasher_addu(h, (uint64_t)ask->sample);
    if (r->n_given) { /* so that questions without keep their address */
        ste_hasher_addu(h, r->n_given);
        ste_hasher_add(h, r->given, r->n_given * sizeof *r->given);
    }
    uint8_t digest[32];
    ste_hasher_done(h, digest);
    ste_hex(digest, 32, out);
    r->key = ste_hash_u64(digest);
}

int ste_llm_submit(struct ste_llm *l, const struct ste_ask *ask, uint64_t *ticket, struct ste_err *err)
{
    const struct ste_tokenizer *tok = l->model->tokenizer;
    struct ste_tokens prompt = {0}, given = {0}, closing = {0}, choices[STE_MAX_CHOICES] = {{0}};
    struct ste_request r = {.adapter = ste_llm_adapter(l, ask->adapter),
                            .sampling = ask->sampling,
                            .max_tokens = ask->max_tokens,
                            .n_stops = ask->n_stops,
                            .n_choices = ask->n_choices,
                            .sample_choice = ask->sample_choice};
    if (ask->adapter && !r.adapter)
        return ste_err_set(err, STE_EUSAGE, "adapter %d is not loaded", ask->adapter);
    int rc = ste_chat_tokenize(l->model, ask->messages, ask->n_messages, ask->prefill, &prompt, err);
    if (!rc && ask->closing)
        rc = ste_tokenize(tok, ask->closing, strlen(ask->closing), false, &closing, err);
    if (!rc && ask->given) {
        rc = ste_tokenize(tok, ask->given, strlen(ask->given), false, &given, err);
        ste_tokens_add(&given, ste_token_end_of_turn(tok));
    }
    for (int i = 0; i < ask->n_choices && !rc; i++) {
        rc = ste_tokenize(tok, ask->choices[i], strlen(ask->choices[i]), false, &choices[i], err);
        r.choices[i] = choices[i].ids;
        r.choice_len[i] = choices[i].n;
    }
    for (int i = 0; i < ask->n_stops; i++)
        r.stops[i] = ask->stops[i];
    r.prompt = prompt.ids;
    r.n_prompt = prompt.n;
    r.given = given.ids;
    r.n_given = given.n;
    r.closing = closing.ids;
    r.n_closing = closing.n;
    struct question q = {.ticket = l->next_ticket, .tag = ask->tag};
    if (!rc) {
        address_of(l, ask, &r, q.address);
        if (!ste_cache_get(l->cache, q.address, &q.cached))
            rc = ste_engine_submit(l->engine, &r, &q.engine_ticket, err);
    }
    ste_tokens_clear(&given);
    ste_tokens_clear(&closing);
    for (int i = 0; i < ask->n_choices; i++)
        ste_tokens_clear(&choices[i]);
    if (rc) {
        ste_tokens_clear(&prompt);
        return rc;
    }
    q.prompt = prompt.ids; /* passes to the question, then to the answer */
    q.n_prompt = prompt.n;
    STE_GROW(l->questions, l->cap_questions, l->n_questions + 1);
    l->questions[l->n_questions++] = q;
    *ticket = l->next_ticket++;
    return 0;
}

void ste_llm_cancel(struct ste_llm *l, uint64_t ticket)
{
    for (size_t i = 0; i < l->n_questions; i++) {
        if (l->questions[i].ticket != ticket)
            continue;
        if (l->questions[i].engine_ticket)
            ste_engine_cancel(l->engine, l->questions[i].engine_ticket);
        forget(l, i);
        return;
    }
}

/* Tokens of the free part less the end of the turn. */
static size_t n_written(const struct ste_llm *l, const struct ste_completion *c)
{
    size_t n = c->n_free;
    while (n && ste_token_ends_turn(l->model->tokenizer, c->tokens[n - 1]))
        n--;
    return n;
}

struct ste_likelihood ste_answer_likelihood(const struct ste_llm *l, const struct ste_answer *a, bool end)
{
    const struct ste_completion *c = &a->completion;
    struct ste_likelihood x = {.tokens = (int)(end ? c->n_free : n_written(l, c))};
    for (int i = 0; i < x.tokens; i++)
        x.sum += (double)c->logprobs[i];
    return x;
}

/* The text of the free part. Models can write bytes that are no UTF-8: those become U+FFFD, a character cut off by the
 * end is left out. */
static char *text_of(const struct ste_llm *l, const struct ste_completion *c)
{
    struct ste_buf raw = STE_BUF_INIT, text = STE_BUF_INIT;
    ste_detokenize(l->model->tokenizer, c->tokens, n_written(l, c), false, &raw);
    size_t whole = ste_utf8_whole(raw.s, raw.len);
    for (size_t at = 0; at < whole;) {
        size_t good = ste_utf8_bad(raw.s + at, whole - at);
        ste_buf_add(&text, raw.s + at, good);
        at += good;
        if (at < whole) {
            ste_buf_adds(&text, "\xEF\xBF\xBD");
            at++;
        }
    }
    ste_buf_clear(&raw);
    return ste_buf_detach(&text);
}

int ste_llm_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    memset(out, 0, sizeof *out);
    if (!l->n_questions)
        return 0;
    size_t at = 0;
    while (at < l->n_questions && l->questions[at].engine_ticket)
        at++;
    if (at < l->n_questions) {
        out->from_cache = true;
        out->completion = l->questions[at].cached;
        memset(&l->questions[at].cached, 0, sizeof l->questions[at].cached);
    } else {
        int rc = ste_engine_next(l->engine, &out->completion, err);
        if (rc <= 0)
            return rc;
        for (at = 0; at < l->n_questions && l->questions[at].engine_ticket != out->completion.ticket;)
            at++;
        if (at == l->n_questions) {
            ste_completion_clear(&out->completion);
            return ste_err_set(err, STE_EFAIL, "the engine answered a question that was not asked (a bug in ste)");
        }
        ste_cache_put(l->cache, l->questions[at].address, &out->completion);
    }
    struct question *q = &l->questions[at];
    out->ticket = out->completion.ticket = q->ticket;
    out->tag = q->tag;
    memcpy(out->address, q->address, sizeof out->address);
    out->prompt = q->prompt;
    out->n_prompt = q->n_prompt;
    out->text = text_of(l, &out->completion);
    q->prompt = NULL;
    forget(l, at);
    return 1;
}

void ste_answer_clear(struct ste_answer *a)
{
    ste_completion_clear(&a->completion);
    free(a->text);
    free(a->prompt);
    memset(a, 0, sizeof *a);
}

size_t ste_llm_in_flight(const struct ste_llm *l)
{
    return l->n_questions;
}

size_t ste_llm_window(const struct ste_llm *l)
{
    return 2 * (size_t)l->max_batch;
}
