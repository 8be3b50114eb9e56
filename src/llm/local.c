#include "llm/local.h"

#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/utf8.h"
#include "data/catalogue.h"
#include "model/chat.h"

/* A question put to the engine, whose ticket it has there. */
struct flying {
    uint64_t engine_ticket;
    struct ste_prepared question;
    /* What was told of its free part: TEXT of the first TOLD tokens, less START, bytes that may begin a character. */
    struct ste_buf text, start;
    size_t told;
};

struct local {
    struct ste_llm llm;
    char *name;
    struct ste_model *model;
    struct ste_pool *pool;
    struct ste_engine *engine;
    struct ste_adapter **adapters; /* handle - 1; NULL: dropped */
    int n_adapters;
    struct flying *flying;
    size_t n_flying, cap_flying;
};

static struct local *of(struct ste_llm *l)
{
    return (struct local *)l;
}

/* ---- adapters ---- */

static struct ste_adapter *adapter_of(const struct local *l, int handle)
{
    return handle > 0 && handle <= l->n_adapters ? l->adapters[handle - 1] : NULL;
}

static int add_adapter(struct local *l, struct ste_lora *lora, int *handle, struct ste_err *err)
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

static int load_adapter(struct ste_llm *llm, const char *peft_dir, int *handle, struct ste_err *err)
{
    struct local *l = of(llm);
    struct ste_lora *lora = NULL;
    int rc = ste_lora_read_peft(&lora, l->model, peft_dir, err);
    if (!rc)
        rc = add_adapter(l, lora, handle, err);
    ste_lora_free(lora);
    return rc;
}

static void drop_adapter(struct ste_llm *llm, int handle)
{
    struct local *l = of(llm);
    if (!adapter_of(l, handle))
        return;
    ste_adapter_free(l->adapters[handle - 1]);
    l->adapters[handle - 1] = NULL;
}

static const char *adapter_hash(const struct ste_llm *l, int handle)
{
    return ste_adapter_hash(adapter_of((const struct local *)l, handle));
}

/* ---- questions ---- */

/* A request that owns what it points to. */
struct own_request {
    struct ste_request r;
    struct ste_tokens given, closing, choices[STE_MAX_CHOICES];
    char *stops[STE_MAX_STOPS];
};

static void own_request_free(void *arg)
{
    struct own_request *o = arg;
    ste_tokens_clear(&o->given);
    ste_tokens_clear(&o->closing);
    for (int i = 0; i < STE_MAX_CHOICES; i++)
        ste_tokens_clear(&o->choices[i]);
    for (int i = 0; i < o->r.n_stops; i++)
        ste_xfree(o->stops[i]);
    ste_xfree(o);
}

/* Contract 3's address, as 64 hex characters; its first 8 bytes are the request's random key. */
static void address_of(const struct local *l, const struct ste_question *question, struct ste_request *r, char out[65])
{
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_adds(h, "ste request 1");
    ste_hasher_adds(h, l->model->sha256);
    ste_hasher_adds(h, ste_adapter_hash(r->adapter));
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
    ste_hasher_addu(h, question->seed);
    ste_hasher_addu(h, (uint64_t)question->sample);
    if (r->n_given) { /* so that questions without keep their address */
        ste_hasher_addu(h, r->n_given);
        ste_hasher_add(h, r->given, r->n_given * sizeof *r->given);
    }
    uint8_t digest[32];
    ste_hasher_done(h, digest);
    ste_hex(digest, 32, out);
    r->key = ste_hash_u64(digest);
}

static int add_prompt(const struct local *l, const struct ste_question *question, struct ste_tokens *out,
                      struct ste_err *err)
{
    if (!question->ids)
        return ste_chat_tokenize(l->model, question->messages, question->n_messages, question->prefill, out, err);
    for (size_t i = 0; i < question->n_ids; i++) {
        if (question->ids[i] < 0 || question->ids[i] >= l->model->hp.n_vocab)
            return ste_err_set(err, STE_EINPUT, "token %zu is %d, which is no id from 0 to %d", i, question->ids[i],
                               l->model->hp.n_vocab - 1);
        ste_tokens_add(out, question->ids[i]);
    }
    return 0;
}

/* The texts of the question as tokens. */
static int tokenize_all(const struct local *l, const struct ste_question *question, struct ste_tokens *prompt,
                        struct own_request *o, struct ste_err *err)
{
    const struct ste_tokenizer *tok = l->model->tokenizer;
    int rc = add_prompt(l, question, prompt, err);
    if (!rc && question->closing)
        rc = ste_tokenize_on(tok, question->closing, strlen(question->closing), &o->closing, err);
    if (!rc && question->given) { /* the prompt's end says whether a space belongs before it */
        const size_t had = prompt->n;
        rc = ste_tokenize(tok, question->given, strlen(question->given), false, prompt, err);
        for (size_t i = had; i < prompt->n; i++)
            ste_tokens_add(&o->given, prompt->ids[i]);
        prompt->n = had;
        ste_tokens_add(&o->given, ste_token_end_of_turn(tok));
    }
    for (int i = 0; i < question->n_choices && !rc; i++) {
        rc = ste_tokenize_on(tok, question->choices[i], strlen(question->choices[i]), &o->choices[i], err);
        o->r.choices[i] = o->choices[i].ids;
        o->r.choice_len[i] = o->choices[i].n;
    }
    o->r.prompt = prompt->ids;
    o->r.n_prompt = prompt->n;
    o->r.given = o->given.ids;
    o->r.n_given = o->given.n;
    o->r.closing = o->closing.ids;
    o->r.n_closing = o->closing.n;
    return rc;
}

static int prepare(struct ste_llm *llm, const struct ste_question *question, struct ste_prepared *q,
                   struct ste_err *err)
{
    struct local *l = of(llm);
    struct ste_adapter *adapter = adapter_of(l, question->adapter);
    if (question->adapter && !adapter)
        return ste_err_set(err, STE_EUSAGE, "adapter %d is not loaded", question->adapter);
    struct own_request *o = ste_xcalloc(1, sizeof *o);
    o->r = (struct ste_request){.adapter = adapter,
                                .sampling = question->sampling,
                                .max_tokens = question->max_tokens,
                                .n_stops = question->n_stops,
                                .n_choices = question->n_choices,
                                .sample_choice = question->sample_choice};
    for (int i = 0; i < question->n_stops; i++)
        o->r.stops[i] = o->stops[i] = ste_xstrdup(question->stops[i]);
    struct ste_tokens prompt = {0};
    int rc = tokenize_all(l, question, &prompt, o, err);
    if (rc) {
        ste_tokens_clear(&prompt);
        own_request_free(o);
        return rc;
    }
    address_of(l, question, &o->r, q->address);
    q->prompt = prompt.ids; /* passes to the question, then to the answer */
    q->n_prompt = prompt.n;
    q->own = o;
    q->free_own = own_request_free;
    return 0;
}

static int submit(struct ste_llm *llm, struct ste_prepared *q, struct ste_err *err)
{
    struct local *l = of(llm);
    uint64_t ticket;
    int rc = ste_engine_submit(l->engine, &((struct own_request *)q->own)->r, &ticket, err);
    if (rc)
        return rc;
    q->free_own(q->own); /* the engine has its own copy */
    q->own = NULL;
    q->free_own = NULL;
    STE_GROW(l->flying, l->cap_flying, l->n_flying + 1);
    l->flying[l->n_flying++] = (struct flying){ticket, *q, STE_BUF_INIT, STE_BUF_INIT, 0};
    *q = (struct ste_prepared){0};
    return 0;
}

/* Its question was cleared, or has passed to an answer. */
static void land(struct local *l, size_t at)
{
    ste_buf_clear(&l->flying[at].text);
    ste_buf_clear(&l->flying[at].start);
    l->flying[at] = l->flying[--l->n_flying];
}

static void cancel(struct ste_llm *llm, uint64_t ticket)
{
    struct local *l = of(llm);
    for (size_t i = 0; i < l->n_flying; i++)
        if (l->flying[i].question.ticket == ticket) {
            ste_engine_cancel(l->engine, l->flying[i].engine_ticket);
            ste_prepared_clear(&l->flying[i].question);
            land(l, i);
            return;
        }
}

/* ---- answers ---- */

/* Moves the characters of RAW to TEXT. Models can write bytes that are no UTF-8: those become U+FFFD; at the end, what
 * may begin a character stays. */
static void move_text(struct ste_buf *raw, struct ste_buf *text)
{
    const size_t whole = ste_utf8_whole(raw->s, raw->len), left = raw->len - whole;
    for (size_t at = 0; at < whole;) {
        size_t good = ste_utf8_bad(raw->s + at, whole - at);
        ste_buf_add(text, raw->s + at, good);
        at += good;
        if (at < whole) {
            ste_buf_adds(text, "\xEF\xBF\xBD");
            at++;
        }
    }
    if (left)
        memmove(raw->s, raw->s + whole, left);
    ste_buf_cut(raw, left);
}

/* A character cut off by the end is left out. */
static char *text_of(const struct local *l, const int32_t *tokens, size_t n)
{
    struct ste_buf raw = STE_BUF_INIT, text = STE_BUF_INIT;
    ste_detokenize(l->model->tokenizer, tokens, n, false, &raw);
    move_text(&raw, &text);
    ste_buf_clear(&raw);
    return ste_buf_detach(&text);
}

static bool written(struct ste_llm *llm, uint64_t ticket, struct ste_written *out)
{
    struct local *l = of(llm);
    for (size_t i = 0; i < l->n_flying; i++) {
        struct flying *f = &l->flying[i];
        if (f->question.ticket != ticket)
            continue;
        out->n_tokens = ste_engine_written(l->engine, f->engine_ticket, &out->tokens, &out->logprobs);
        if (!out->n_tokens)
            return false;
        if (f->told < out->n_tokens) {
            ste_detokenize(l->model->tokenizer, out->tokens + f->told, out->n_tokens - f->told, false, &f->start);
            move_text(&f->start, &f->text);
            f->told = out->n_tokens;
        }
        out->text = f->text.len ? f->text.s : "";
        out->n = f->text.len;
        return true;
    }
    return false;
}

/* What the engine gave: RC is its. */
static int came(struct local *l, int rc, struct ste_answer *out, struct ste_err *err)
{
    struct ste_completion *c = &out->completion;
    if (rc <= 0)
        return rc;
    size_t at = 0;
    while (at < l->n_flying && l->flying[at].engine_ticket != c->ticket)
        at++;
    if (at == l->n_flying) {
        ste_completion_clear(c);
        return ste_err_set(err, STE_EFAIL, "the engine answered a question that was not asked (a bug in ste)");
    }
    const struct ste_prepared *q = &l->flying[at].question;
    ste_answer_is_of(out, q);
    out->prompt = q->prompt;
    out->n_prompt = q->n_prompt;
    out->n_written = c->n_free;
    while (out->n_written && ste_token_ends_turn(l->model->tokenizer, c->tokens[out->n_written - 1]))
        out->n_written--;
    out->text = text_of(l, c->tokens, out->n_written);
    land(l, at);
    return 1;
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    return came(of(llm), ste_engine_next(of(llm)->engine, &out->completion, err), out, err);
}

static int step(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    return came(of(llm), ste_engine_step(of(llm)->engine, &out->completion, err), out, err);
}

static int tokenize(struct ste_llm *llm, const char *text, int32_t **ids, size_t *n, struct ste_err *err)
{
    struct ste_tokens t = {0};
    int rc = ste_tokenize_on(of(llm)->model->tokenizer, text, strlen(text), &t, err);
    if (rc) {
        ste_tokens_clear(&t);
        return rc;
    }
    *ids = t.ids;
    *n = t.n;
    return 0;
}

static int speed(struct ste_llm *llm, struct ste_llm_speed *out, struct ste_err *err)
{
    struct ste_speed s;
    int rc = ste_engine_speed_roughly(of(llm)->engine, &s, err);
    if (rc == 0)
        *out = (struct ste_llm_speed){s.read, s.written};
    return rc;
}

/* ---- opening and closing ---- */

static void close_local(struct ste_llm *llm)
{
    struct local *l = of(llm);
    while (l->n_flying) {
        ste_prepared_clear(&l->flying[0].question);
        land(l, 0);
    }
    ste_xfree(l->flying);
    for (int i = 0; i < l->n_adapters; i++)
        ste_adapter_free(l->adapters[i]);
    ste_xfree(l->adapters);
    ste_engine_free(l->engine);
    ste_model_close(l->model);
    ste_pool_free(l->pool);
    ste_xfree(l->name);
    ste_xfree(l);
}

static const struct ste_llm_ops local_ops = {
    .prepare = prepare,
    .submit = submit,
    .cancel = cancel,
    .next = next,
    .step = step,
    .close = close_local,
    .load_adapter = load_adapter,
    .drop_adapter = drop_adapter,
    .adapter_hash = adapter_hash,
    .tokenize = tokenize,
    .speed = speed,
    .written = written,
};

static int set_params(struct ste_engine_params *ep, const struct ste_llm_params *p, struct ste_err *err)
{
    ste_engine_default_params(ep);
    int rc = ste_isa_choose(p->isa, &ep->isa, err);
    ep->activations = ste_activations_settle(p->activations, false);
    if (p->ctx > 0)
        ep->n_ctx = (int)p->ctx;
    if (p->batch > 0)
        ep->max_batch = (int)p->batch;
    return rc;
}

int ste_local_open(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err)
{
    *out = NULL;
    struct ste_engine_params ep;
    char *path = NULL;
    int rc = set_params(&ep, p, err);
    if (rc || (rc = ste_model_resolve(model, &path, err)) != 0)
        return rc;
    struct local *l = ste_xcalloc(1, sizeof *l);
    l->name = ste_xstrdup(model);
    l->pool = ep.pool = ste_pool_new((int)p->threads);
    enum ste_work before = ste_profile_begin(STE_WORK_LOAD);
    rc = ste_model_open_chosen(&l->model, path, &p->choices, err);
    ste_xfree(path);
    if (!rc)
        rc = ste_engine_new(&l->engine, l->model, &ep, err);
    ste_profile_end(before);
    if (rc) {
        close_local(&l->llm);
        return rc;
    }
    l->llm.ops = &local_ops;
    /* Twice the batch, so that prompts fill in as samples end. */
    l->llm.about = (struct ste_llm_about){.name = l->name,
                                          .model_hash = l->model->sha256,
                                          .numerics = ste_engine_numerics(l->engine),
                                          .can = STE_CAN_CHOICES | STE_CAN_GIVEN | STE_CAN_TOKEN_IDS | STE_CAN_ADAPTERS,
                                          .window = 2 * (size_t)ep.max_batch,
                                          .batch = (size_t)ep.max_batch,
                                          .ctx = ste_engine_ctx(l->engine)};
    *out = &l->llm;
    return 0;
}

/* ---- for what needs the engine ---- */

static struct local *under(struct ste_llm *l)
{
    l = ste_llm_innermost(l);
    return l->ops == &local_ops ? of(l) : NULL;
}

struct ste_engine *ste_local_engine(struct ste_llm *l)
{
    struct local *local = under(l);
    return local ? local->engine : NULL;
}

int ste_local_need(struct ste_llm *l, const char *what, struct ste_err *err)
{
    return under(l) ? 0
                    : ste_err_set(err, STE_EUSAGE, "%s is on a server; %s takes a model of this machine", l->about.name,
                                  what);
}

struct ste_pool *ste_local_pool(struct ste_llm *l)
{
    return under(l)->pool;
}

const struct ste_adapter *ste_local_adapter(struct ste_llm *l, int handle)
{
    return adapter_of(under(l), handle);
}

int ste_local_add_adapter(struct ste_llm *l, struct ste_lora *lora, int *handle, struct ste_err *err)
{
    return add_adapter(under(l), lora, handle, err);
}
