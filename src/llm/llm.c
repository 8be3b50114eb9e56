#include "llm/llm.h"

#include <string.h>

#include "core/mem.h"
#include "llm/cache.h"
#include "llm/endpoint.h"
#include "llm/local.h"
#include "llm/remote.h"

#define OPTIONS_OF struct ste_llm_params
/* clang-format off */
const struct ste_option ste_llm_options[] = {
    STE_SPEED_INT("threads", threads, "0", 0, 4096, "0: one a core"),
    STE_SPEED_INT("batch", batch, "0", 0, 4096, "sequences in flight; 0: the engine's choice"),
    STE_INT("ctx", ctx, "0", 0, STE_LARGE, "context in tokens; 0: the model's, at most 8192"),
    STE_CHOICE("activations", activations, "auto", ste_activations_names,
               "how products round when generating: auto is bf16 where the machine that begins the run has AMX tiles, "
               "int8-g128 where it has AVX-512 VNNI, else int8; f32 is exact"),
    STE_TABLE("", choices, ste_model_options),
    STE_SPEED_STRING("isa", isa, "", "NAME", "force an instruction set: amx, avx512, avx-vnni, avx2, portable"),
    {0},
};
/* clang-format on */

int ste_llm_open(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err)
{
    int rc = ste_endpoint_is(model) ? ste_remote_open(out, model, p->spent, err) : ste_local_open(out, model, p, err);
    if (rc == 0 && p->cache)
        *out = ste_cache_wrap(*out, p->cache);
    return rc;
}

int ste_llm_open_with(struct ste_llm **out, const char *model, const char *peft_dir, const struct ste_llm_params *p,
                      int *handle, struct ste_err *err)
{
    *handle = 0;
    int rc = ste_llm_open(out, model, p, err);
    if (!rc && peft_dir && (rc = ste_llm_load_adapter(*out, peft_dir, handle, err)) != 0) {
        ste_llm_close(*out);
        *out = NULL;
    }
    return rc;
}

void ste_llm_close(struct ste_llm *l)
{
    while (l) {
        struct ste_llm *inner = l->inner;
        ste_xfree(l->flying);
        l->ops->close(l);
        l = inner;
    }
}

const struct ste_llm_about *ste_llm_about(const struct ste_llm *l)
{
    return &l->about;
}

struct ste_llm *ste_llm_innermost(const struct ste_llm *l)
{
    while (l->inner)
        l = l->inner;
    return (struct ste_llm *)l;
}

/* ---- adapters ---- */

int ste_llm_load_adapter(struct ste_llm *l, const char *peft_dir, int *handle, struct ste_err *err)
{
    l = ste_llm_innermost(l);
    if (!l->ops->load_adapter)
        return ste_err_set(err, STE_EUSAGE, "%s takes no adapters, such as %s", l->about.name, peft_dir);
    return l->ops->load_adapter(l, peft_dir, handle, err);
}

void ste_llm_drop_adapter(struct ste_llm *l, int handle)
{
    l = ste_llm_innermost(l);
    if (handle)
        l->ops->drop_adapter(l, handle);
}

const char *ste_llm_adapter_hash(const struct ste_llm *l, int handle)
{
    while (l->inner)
        l = l->inner;
    return handle ? l->ops->adapter_hash(l, handle) : "";
}

int ste_llm_tokenize(struct ste_llm *l, const char *text, int32_t **ids, size_t *n, struct ste_err *err)
{
    *ids = NULL;
    *n = 0;
    l = ste_llm_innermost(l);
    if (!(l->about.can & STE_CAN_TOKEN_IDS))
        return ste_err_set(err, STE_EUSAGE, "%s tells no token ids", l->about.name);
    return l->ops->tokenize(l, text, ids, n, err);
}

int ste_llm_speed(struct ste_llm *l, struct ste_llm_speed *out, struct ste_err *err)
{
    *out = (struct ste_llm_speed){0};
    l = ste_llm_innermost(l);
    return l->ops->speed ? l->ops->speed(l, out, err) : 0;
}

bool ste_llm_spent(const struct ste_llm *l, struct ste_llm_spent *out)
{
    struct ste_llm *in = ste_llm_innermost(l);
    if (in->ops->spent)
        in->ops->spent(in, out);
    return in->ops->spent != NULL;
}

/* ---- questions and answers ---- */

/* What this ask needs and L cannot do: a name, or NULL. */
static const char *lacks(const struct ste_llm *l, const struct ste_question *question)
{
    const unsigned can = l->about.can;
    return question->n_choices && !(can & STE_CAN_CHOICES)  ? "choose among given labels"
           : question->given && !(can & STE_CAN_GIVEN)      ? "tell how likely a given text is"
           : question->ids && !(can & STE_CAN_TOKEN_IDS)    ? "take token ids"
           : question->adapter && !(can & STE_CAN_ADAPTERS) ? "use adapters"
                                                            : NULL;
}

int ste_llm_submit(struct ste_llm *l, const struct ste_question *question, uint64_t *ticket, struct ste_err *err)
{
    const char *missing = lacks(l, question);
    if (missing)
        return ste_err_set(err, STE_EUSAGE, "%s cannot %s", l->about.name, missing);
    struct ste_prepared q = {0};
    int rc = l->ops->prepare(l, question, &q, err);
    q.ticket = l->last_ticket + 1;
    q.tag = question->tag;
    if (rc == 0)
        rc = l->ops->submit(l, &q, err);
    ste_prepared_clear(&q);
    if (rc)
        return rc;
    *ticket = ++l->last_ticket;
    STE_GROW(l->flying, l->cap_flying, l->n_flying + 1);
    l->flying[l->n_flying++] = *ticket;
    return 0;
}

/* True when TICKET was in flight. */
static bool landed(struct ste_llm *l, uint64_t ticket)
{
    for (size_t i = 0; i < l->n_flying; i++)
        if (l->flying[i] == ticket) {
            l->flying[i] = l->flying[--l->n_flying];
            return true;
        }
    return false;
}

void ste_llm_cancel(struct ste_llm *l, uint64_t ticket)
{
    if (landed(l, ticket))
        l->ops->cancel(l, ticket);
}

/* What came by L's operations: RC is theirs. */
static int came(struct ste_llm *l, int rc, struct ste_answer *out, struct ste_err *err)
{
    if (rc <= 0)
        return rc;
    if (!landed(l, out->ticket)) {
        ste_answer_clear(out);
        return ste_err_set(err, STE_EFAIL, "%s answered a question that was not asked (a bug in ste)", l->about.name);
    }
    return 1;
}

int ste_llm_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    memset(out, 0, sizeof *out);
    if (!l->n_flying)
        return 0;
    int rc = l->ops->next(l, out, err);
    if (rc == 0)
        return ste_err_set(err, STE_EFAIL, "%zu questions to %s never came back", l->n_flying, l->about.name);
    return came(l, rc, out, err);
}

int ste_llm_ops_step(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    return l->ops->step ? l->ops->step(l, out, err) : l->ops->next(l, out, err);
}

int ste_llm_step(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    memset(out, 0, sizeof *out);
    return l->n_flying ? came(l, ste_llm_ops_step(l, out, err), out, err) : 0;
}

size_t ste_llm_in_flight(const struct ste_llm *l)
{
    return l->n_flying;
}

bool ste_llm_is_in_flight(const struct ste_llm *l, uint64_t ticket)
{
    for (size_t i = 0; i < l->n_flying; i++)
        if (l->flying[i] == ticket)
            return true;
    return false;
}

bool ste_llm_written(struct ste_llm *l, uint64_t ticket, struct ste_written *out)
{
    struct ste_llm *in = ste_llm_innermost(l);
    return in->ops->written && in->ops->written(in, ticket, out);
}

void ste_llm_again(struct ste_llm *l)
{
    struct ste_llm *in = ste_llm_innermost(l);
    if (in->ops->again)
        in->ops->again(in);
}

struct ste_likelihood ste_answer_likelihood(const struct ste_answer *a, bool end)
{
    struct ste_likelihood x = {.tokens = (int)(end ? a->completion.n_free : a->n_written)};
    for (int i = 0; i < x.tokens; i++)
        x.sum += (double)a->completion.logprobs[i];
    return x;
}

void ste_answer_clear(struct ste_answer *a)
{
    ste_completion_clear(&a->completion);
    ste_xfree(a->text);
    ste_xfree(a->prompt);
    ste_xfree(a->too_long);
    memset(a, 0, sizeof *a);
}

void ste_answer_is_of(struct ste_answer *out, const struct ste_prepared *q)
{
    out->ticket = out->completion.ticket = q->ticket;
    out->tag = q->tag;
    memcpy(out->address, q->address, sizeof out->address);
}

void ste_answer_fail(struct ste_answer *out)
{
    out->completion =
        (struct ste_completion){.finish = STE_FINISH_FAILED, .free_finish = STE_FINISH_FAILED, .choice = -1};
    out->text = ste_xstrdup("");
}

void ste_prepared_clear(struct ste_prepared *q)
{
    if (q->free_own)
        q->free_own(q->own);
    ste_xfree(q->prompt);
    memset(q, 0, sizeof *q);
}
