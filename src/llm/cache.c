#include "llm/cache.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/memo.h"

/* A row: this, the log-probabilities of the choices, the token ids of answer and prompt, the answer's log-probabilities
 * but for the zeros that they begin with (a server's are all zeros), the text. */
struct packed_head {
    uint8_t form;  /* FORM; older rows begin with what is smaller */
    uint8_t width; /* bytes of a token id: 2, 3 or 4 */
    uint8_t finish, free_finish;
    int32_t choice;
    uint32_t n, n_free, n_written, n_prompt, n_logprobs, text;
};
#define FORM 0x80
#define OF_CHOICES (STE_MAX_CHOICES * sizeof(float))

/* Most of a row are the prompt's ids. */
static uint8_t width_of(const int32_t *ids, size_t n)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i++)
        all |= (uint32_t)ids[i];
    return all < 1u << 16 ? 2 : all < 1u << 24 ? 3 : 4;
}

static inline void put_ids(char *to, const int32_t *ids, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++, to += width)
        for (size_t k = 0; k < width; k++)
            to[k] = (char)((uint32_t)ids[i] >> 8 * k);
}

static inline void get_ids(int32_t *ids, const char *p, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++, p += width) {
        uint32_t id = 0;
        for (size_t k = 0; k < width; k++)
            id |= (uint32_t)(unsigned char)p[k] << 8 * k;
        ids[i] = (int32_t)id;
    }
}

/* Each width has a loop of its own, since these are thousands of ids. */
static void pack_ids(struct ste_buf *out, const int32_t *ids, size_t n, uint8_t width)
{
    char *to = out->s + out->len;
    if (width == 2)
        put_ids(to, ids, n, 2);
    else if (width == 3)
        put_ids(to, ids, n, 3);
    else
        put_ids(to, ids, n, 4);
    out->len += n * width;
}

static int32_t *unpack_ids(const char *p, size_t n, size_t width)
{
    int32_t *ids = ste_xcalloc(n + 1, sizeof *ids);
    if (width == 2)
        get_ids(ids, p, n, 2);
    else if (width == 3)
        get_ids(ids, p, n, 3);
    else
        get_ids(ids, p, n, 4);
    return ids;
}

/* How many zeros the N log-probabilities begin with. */
static size_t zeros(const float *logprobs, size_t n)
{
    size_t i = 0;
    while (i < n && logprobs[i] == 0 && !signbit(logprobs[i]))
        i++;
    return i;
}

void ste_answer_pack(const struct ste_answer *a, bool prompt, struct ste_buf *out)
{
    const struct ste_completion *c = &a->completion;
    const size_t text = a->text ? strlen(a->text) : 0, n_prompt = prompt ? a->n_prompt : 0,
                 skipped = zeros(c->logprobs, c->n);
    const uint8_t of_tokens = width_of(c->tokens, c->n), of_prompt = width_of(a->prompt, n_prompt);
    const struct packed_head h = {.form = FORM,
                                  .width = of_tokens > of_prompt ? of_tokens : of_prompt,
                                  .finish = (uint8_t)c->finish,
                                  .free_finish = (uint8_t)c->free_finish,
                                  .choice = c->choice,
                                  .n = (uint32_t)c->n,
                                  .n_free = (uint32_t)c->n_free,
                                  .n_written = (uint32_t)a->n_written,
                                  .n_prompt = (uint32_t)n_prompt,
                                  .n_logprobs = (uint32_t)(c->n - skipped),
                                  .text = (uint32_t)text};
    ste_buf_reserve(out, sizeof h + OF_CHOICES + (c->n + n_prompt) * h.width + h.n_logprobs * sizeof(float) + text);
    ste_buf_add(out, &h, sizeof h);
    ste_buf_add(out, c->choice_logprobs, OF_CHOICES);
    pack_ids(out, c->tokens, c->n, h.width);
    pack_ids(out, a->prompt, n_prompt, h.width);
    ste_buf_add(out, c->logprobs + skipped, h.n_logprobs * sizeof *c->logprobs);
    ste_buf_add(out, a->text, text);
}

/* A row of an older ste. The two highest bits of TEXT say how wide the ids of the prompt are, which stand last: 2 or 3
 * bytes, or 0 for 4. */
struct older_head {
    int32_t finish, free_finish, choice;
    uint32_t n, n_free, n_written, text;
};
#define WIDTH_AT 30
#define TEXT_MASK ((1u << WIDTH_AT) - 1)

static bool read_older_head(const char *bytes, size_t size, struct packed_head *out)
{
    struct older_head h;
    if (size < sizeof h + OF_CHOICES)
        return false;
    memcpy(&h, bytes, sizeof h);
    *out = (struct packed_head){.width = (uint8_t)(h.text >> WIDTH_AT ? h.text >> WIDTH_AT : 4),
                                .finish = (uint8_t)h.finish,
                                .free_finish = (uint8_t)h.free_finish,
                                .choice = h.choice,
                                .n = h.n,
                                .n_free = h.n_free,
                                .n_written = h.n_written,
                                .n_logprobs = h.n,
                                .text = h.text & TEXT_MASK};
    const size_t without = sizeof h + OF_CHOICES + (size_t)h.n * 8 + out->text;
    out->n_prompt = size < without ? 0 : (uint32_t)((size - without) / out->width);
    return size >= without && (size - without) % out->width == 0;
}

static bool read_head(const char *bytes, size_t size, struct packed_head *out)
{
    if (!size || !((uint8_t)*bytes & FORM))
        return read_older_head(bytes, size, out);
    if (size < sizeof *out)
        return false;
    memcpy(out, bytes, sizeof *out);
    return out->form == FORM && out->width >= 2 && out->width <= 4 && out->n_logprobs <= out->n &&
           size == sizeof *out + OF_CHOICES + ((size_t)out->n + out->n_prompt) * out->width +
                       (size_t)out->n_logprobs * 4 + out->text;
}

bool ste_answer_unpack(const void *bytes, size_t size, struct ste_answer *out)
{
    struct packed_head h;
    struct ste_completion *c = &out->completion;
    memset(out, 0, sizeof *out);
    if (!read_head(bytes, size, &h) || h.n_free > h.n || h.n_written > h.n_free || h.choice >= STE_MAX_CHOICES ||
        h.choice < -1)
        return false;
    const bool older = h.form != FORM;
    const char *choices = (const char *)bytes + (older ? sizeof(struct older_head) : sizeof h),
               *tokens = choices + OF_CHOICES;
    const size_t of_tokens = older ? 4 : h.width, ids = (size_t)h.n * of_tokens,
                 of_prompt = (size_t)h.n_prompt * h.width, given = (size_t)h.n_logprobs * sizeof *c->logprobs;
    const char *prompt = older ? tokens + ids + given + h.text : tokens + ids,
               *logprobs = older ? tokens + ids : prompt + of_prompt, *text = logprobs + given;
    c->finish = (enum ste_finish)h.finish;
    c->free_finish = (enum ste_finish)h.free_finish;
    c->choice = h.choice;
    c->n = h.n;
    c->n_free = h.n_free;
    memcpy(c->choice_logprobs, choices, OF_CHOICES);
    c->tokens = unpack_ids(tokens, h.n, of_tokens);
    c->logprobs = ste_xcalloc((size_t)h.n + 1, sizeof *c->logprobs);
    if (given)
        memcpy(c->logprobs + (h.n - h.n_logprobs), logprobs, given);
    out->n_written = h.n_written;
    out->text = ste_xstrndup(text, h.text);
    out->n_prompt = h.n_prompt;
    out->prompt = h.n_prompt ? unpack_ids(prompt, h.n_prompt, h.width) : NULL;
    return true;
}

struct ste_cache {
    struct ste_memo *memo;
    char *numerics;
    bool late_prompt;     /* as of the model */
    struct ste_buf bytes; /* of the row that is written or read */
};

struct ste_cache *ste_cache_open(const char *path, const char *numerics, bool late_prompt)
{
    struct ste_memo *memo = ste_memo_open(path);
    if (!memo)
        return NULL;
    struct ste_cache *c = ste_xcalloc(1, sizeof *c);
    *c = (struct ste_cache){memo, ste_xstrdup(numerics), late_prompt, STE_BUF_INIT};
    return c;
}

void ste_cache_close(struct ste_cache *c)
{
    if (!c)
        return;
    ste_memo_close(c->memo);
    ste_xfree(c->numerics);
    ste_buf_clear(&c->bytes);
    ste_xfree(c);
}

bool ste_cache_get(struct ste_cache *c, const char *address, struct ste_answer *out)
{
    if (!c)
        return false;
    ste_buf_reset(&c->bytes);
    return ste_memo_get(c->memo, address, c->numerics, &c->bytes) && ste_answer_unpack(c->bytes.s, c->bytes.len, out);
}

void ste_cache_put(struct ste_cache *c, const struct ste_answer *a)
{
    if (!c || a->completion.finish == STE_FINISH_FAILED || a->too_long)
        return;
    ste_buf_reset(&c->bytes);
    ste_answer_pack(a, c->late_prompt, &c->bytes);
    ste_memo_put(c->memo, a->address, c->numerics, &c->bytes);
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

static int take(struct cached *c, bool step, struct ste_answer *out, struct ste_err *err)
{
    struct ste_llm *inner = c->llm.inner;
    if (c->n) {
        *out = c->ready[0];
        memmove(c->ready, c->ready + 1, --c->n * sizeof *c->ready);
        return 1;
    }
    int rc = step ? ste_llm_ops_step(inner, out, err) : inner->ops->next(inner, out, err);
    if (rc == 1) {
        ste_cache_put(c->cache, out);
        c->since = c->since ? c->since : ste_now();
        if (!c->told)
            save(c);
    }
    return rc;
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    return take((struct cached *)llm, false, out, err);
}

static int step(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    return take((struct cached *)llm, true, out, err);
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
        .prepare = prepare, .submit = submit, .cancel = cancel, .next = next, .step = step, .close = close_cached};
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
