#include "llm/cache.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/memo.h"

/* The two highest bits of TEXT, its length, say how wide the ids of the prompt are: 2 or 3 bytes, or, as older rows
 * have it, 0 for 4. */
struct packed_head {
    int32_t finish, free_finish, choice;
    uint32_t n, n_free, n_written, text;
};
#define WIDTH_AT 30
#define TEXT_MASK ((1u << WIDTH_AT) - 1)

/* The prompt's ids are most of a row. */
static uint32_t width_of(const int32_t *ids, size_t n)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i++)
        all |= (uint32_t)ids[i];
    return all < 1u << 16 ? 2 : all < 1u << 24 ? 3 : 0;
}

static void pack_ids(struct ste_buf *out, const int32_t *ids, size_t n, uint32_t width)
{
    const size_t step = width ? width : 4;
    ste_buf_reserve(out, n * step);
    for (size_t i = 0; i < n; i++, out->len += step)
        for (size_t k = 0; k < step; k++)
            out->s[out->len + k] = (char)((uint32_t)ids[i] >> 8 * k);
}

static int32_t *unpack_ids(const char *p, size_t n, size_t step)
{
    int32_t *ids = ste_xmalloc(n * sizeof *ids);
    for (size_t i = 0; i < n; i++, p += step) {
        uint32_t id = 0;
        for (size_t k = 0; k < step; k++)
            id |= (uint32_t)(unsigned char)p[k] << 8 * k;
        ids[i] = (int32_t)id;
    }
    return ids;
}

void ste_answer_pack(const struct ste_answer *a, bool prompt, struct ste_buf *out)
{
    const struct ste_completion *c = &a->completion;
    const size_t text = a->text ? strlen(a->text) : 0;
    const uint32_t width = prompt ? width_of(a->prompt, a->n_prompt) : 0;
    struct packed_head h = {
        (int32_t)c->finish,     (int32_t)c->free_finish,           c->choice, (uint32_t)c->n, (uint32_t)c->n_free,
        (uint32_t)a->n_written, (uint32_t)text | width << WIDTH_AT};
    ste_buf_add(out, &h, sizeof h);
    ste_buf_add(out, c->choice_logprobs, sizeof c->choice_logprobs);
    ste_buf_add(out, c->tokens, c->n * sizeof *c->tokens);
    ste_buf_add(out, c->logprobs, c->n * sizeof *c->logprobs);
    ste_buf_add(out, a->text, text);
    if (prompt)
        pack_ids(out, a->prompt, a->n_prompt, width);
}

bool ste_answer_unpack(const void *bytes, size_t size, struct ste_answer *out)
{
    struct packed_head h;
    const char *p = bytes;
    struct ste_completion *c = &out->completion;
    memset(out, 0, sizeof *out);
    if (size < sizeof h + sizeof c->choice_logprobs)
        return false;
    memcpy(&h, p, sizeof h);
    p += sizeof h;
    const size_t step = h.text >> WIDTH_AT ? h.text >> WIDTH_AT : 4;
    h.text &= TEXT_MASK;
    const size_t without = sizeof h + sizeof c->choice_logprobs + (size_t)h.n * 8 + h.text;
    if (size < without || (size - without) % step || h.n_free > h.n || h.n_written > h.n_free ||
        h.choice >= STE_MAX_CHOICES || h.choice < -1)
        return false;
    c->finish = (enum ste_finish)h.finish;
    c->free_finish = (enum ste_finish)h.free_finish;
    c->choice = h.choice;
    c->n = h.n;
    c->n_free = h.n_free;
    memcpy(c->choice_logprobs, p, sizeof c->choice_logprobs);
    p += sizeof c->choice_logprobs;
    c->tokens = ste_xmemdup(p, (size_t)h.n * 4);
    c->logprobs = ste_xmemdup(p + (size_t)h.n * 4, (size_t)h.n * 4);
    out->n_written = h.n_written;
    out->text = ste_xstrndup(p + (size_t)h.n * 8, h.text);
    if (size > without) {
        out->n_prompt = (size - without) / step;
        out->prompt = unpack_ids((const char *)bytes + without, out->n_prompt, step);
    }
    return true;
}

struct ste_cache {
    struct ste_memo *memo;
    char *numerics;
    bool late_prompt; /* as of the model */
};

struct ste_cache *ste_cache_open(const char *path, const char *numerics, bool late_prompt)
{
    struct ste_memo *memo = ste_memo_open(path);
    if (!memo)
        return NULL;
    struct ste_cache *c = ste_xcalloc(1, sizeof *c);
    *c = (struct ste_cache){memo, ste_xstrdup(numerics), late_prompt};
    return c;
}

void ste_cache_close(struct ste_cache *c)
{
    if (!c)
        return;
    ste_memo_close(c->memo);
    ste_xfree(c->numerics);
    ste_xfree(c);
}

bool ste_cache_get(struct ste_cache *c, const char *address, struct ste_answer *out)
{
    struct ste_buf b = STE_BUF_INIT;
    const bool found = c && ste_memo_get(c->memo, address, c->numerics, &b) && ste_answer_unpack(b.s, b.len, out);
    ste_buf_clear(&b);
    return found;
}

void ste_cache_put(struct ste_cache *c, const struct ste_answer *a)
{
    if (!c || a->completion.finish == STE_FINISH_FAILED || a->too_long)
        return;
    struct ste_buf b = STE_BUF_INIT;
    ste_answer_pack(a, c->late_prompt, &b);
    ste_memo_put(c->memo, a->address, c->numerics, &b);
    ste_buf_clear(&b);
}

void ste_cache_save(struct ste_cache *c)
{
    ste_memo_save(c->memo);
}

char *ste_cache_at_home(void)
{
    struct ste_err why = {0};
    char *home = ste_home_path(NULL);
    const bool there = ste_mkdirs(home, &why) == 0 && ste_folder_try(home, &why) == 0;
    ste_xfree(home);
    if (there)
        return ste_home_path("cache.db");
    ste_warn("%s; going on without the cache of answers (STE_HOME names another folder for it, --no-cache asks for "
             "none)",
             why.msg);
    return NULL;
}

/* ---- the wrapper ---- */

#define SAVE_SECONDS 0.02 /* that an answer may wait for others, to be saved with them */

struct cached {
    struct ste_llm llm;
    struct ste_cache *cache;
    bool told;                /* what is wrapped tells before it waits; else each answer is saved at once */
    double since;             /* when the first answer came that is not saved; 0: all are */
    struct ste_answer *ready; /* found, and not yet taken */
    size_t n, cap;
};

static int prepare(struct ste_llm *l, const struct ste_question *question, struct ste_prepared *q, struct ste_err *err)
{
    return l->inner->ops->prepare(l->inner, question, q, err);
}

static int submit(struct ste_llm *llm, struct ste_prepared *q, struct ste_err *err)
{
    struct cached *c = (struct cached *)llm;
    struct ste_answer a;
    if (!ste_cache_get(c->cache, q->address, &a))
        return llm->inner->ops->submit(llm->inner, q, err);
    a.ticket = a.completion.ticket = q->ticket;
    a.tag = q->tag;
    a.from_cache = true;
    memcpy(a.address, q->address, sizeof a.address);
    if (q->prompt) {
        ste_xfree(a.prompt);
        a.prompt = q->prompt;
        a.n_prompt = q->n_prompt;
        q->prompt = NULL;
    }
    ste_prepared_clear(q);
    STE_GROW(c->ready, c->cap, c->n + 1);
    c->ready[c->n++] = a;
    return 0;
}

static void cancel(struct ste_llm *llm, uint64_t ticket)
{
    struct cached *c = (struct cached *)llm;
    for (size_t i = 0; i < c->n; i++)
        if (c->ready[i].ticket == ticket) {
            ste_answer_clear(&c->ready[i]);
            c->ready[i] = c->ready[--c->n];
            return;
        }
    llm->inner->ops->cancel(llm->inner, ticket);
}

static void save(struct cached *c)
{
    ste_cache_save(c->cache);
    c->since = 0;
}

static double before_wait(struct ste_llm *llm)
{
    struct cached *c = (struct cached *)llm;
    const double left = c->since + SAVE_SECONDS - ste_now();
    c->told = true;
    if (c->since && left <= 0)
        save(c);
    return c->since ? left : INFINITY;
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    struct cached *c = (struct cached *)llm;
    if (c->n) {
        *out = c->ready[0];
        memmove(c->ready, c->ready + 1, --c->n * sizeof *c->ready);
        return 1;
    }
    int rc = llm->inner->ops->next(llm->inner, out, err);
    if (rc == 1) {
        ste_cache_put(c->cache, out);
        c->since = c->since ? c->since : ste_now();
        if (!c->told)
            save(c);
    }
    return rc;
}

static void close_cached(struct ste_llm *llm)
{
    struct cached *c = (struct cached *)llm;
    for (size_t i = 0; i < c->n; i++)
        ste_answer_clear(&c->ready[i]);
    ste_xfree(c->ready);
    ste_cache_close(c->cache);
    ste_xfree(c);
}

struct ste_llm *ste_cache_wrap(struct ste_llm *inner, const char *path)
{
    static const struct ste_llm_ops ops = {
        .prepare = prepare, .submit = submit, .cancel = cancel, .next = next, .close = close_cached};
    struct ste_cache *cache = ste_cache_open(path, inner->about.numerics, inner->about.late_prompt);
    if (!cache)
        return inner;
    struct cached *c = ste_xcalloc(1, sizeof *c);
    c->llm = (struct ste_llm){.ops = &ops, .about = inner->about, .inner = inner};
    c->cache = cache;
    inner->wrapper = &c->llm;
    inner->before_wait = before_wait;
    return &c->llm;
}
