#include "llm/ask.h"

#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "core/raw.h"

static char *json_of_messages(const struct ste_message *m, size_t n)
{
    struct ste_buf b = STE_BUF_INIT;
    size_t most = 2;
    for (size_t i = 0; i < n; i++)
        most += strlen(m[i].content) + strlen(m[i].role) + 32;
    ste_buf_reserve(&b, most + most / 16); /* some of it is escaped */
    for (size_t i = 0; i < n; i++) {
        ste_buf_adds(&b, i ? ",{\"content\":" : "[{\"content\":");
        ste_raw_add_text(&b, m[i].content);
        ste_buf_adds(&b, ",\"role\":");
        ste_raw_add_text(&b, m[i].role);
        ste_buf_addc(&b, '}');
    }
    ste_buf_adds(&b, n ? "]" : "[]");
    return ste_buf_detach(&b);
}

static char *json_of_texts(const char *const *texts, int n)
{
    struct ste_buf b = STE_BUF_INIT;
    for (int i = 0; i < n; i++) {
        ste_buf_addc(&b, i ? ',' : '[');
        ste_raw_add_text(&b, texts[i]);
    }
    ste_buf_addc(&b, ']');
    return ste_buf_detach(&b);
}

struct ste_ask *ste_ask_new(const struct ste_question *question)
{
    struct ste_ask *a = ste_xcalloc(1, sizeof *a);
    a->messages = json_of_messages(question->messages, question->ids ? 0 : question->n_messages);
    a->stops = question->n_stops ? json_of_texts(question->stops, question->n_stops) : NULL;
    for (size_t i = 0; i < question->n_ids && question->ids; i++)
        ste_tokens_add(&a->prompt, question->ids[i]);
    a->have_prompt = question->ids != NULL;
    a->sampling = question->sampling;
    a->max_tokens = question->max_tokens;
    a->n_choices = question->n_choices;
    a->adapter = question->adapter;
    a->sample_choice = question->sample_choice;
    a->choice = -1;
    for (int i = 0; i < question->n_choices; i++) {
        a->choices[i] = ste_xstrdup(question->choices[i]);
        a->alive[i] = true;
    }
    return a;
}

void ste_ask_free(struct ste_ask *a)
{
    ste_xfree(a->messages);
    ste_xfree(a->stops);
    for (int i = 0; i < STE_MAX_CHOICES; i++) {
        ste_xfree(a->choices[i]);
        ste_tokens_clear(&a->choice_ids[i]);
    }
    ste_tokens_clear(&a->closing);
    ste_tokens_clear(&a->prefill);
    ste_tokens_clear(&a->prompt);
    ste_tokens_clear(&a->free);
    ste_tokens_clear(&a->path);
    ste_xfree(a->rendered);
    ste_xfree(a->text);
    ste_xfree(a);
}

void ste_ask_address(const char *model_hash, const char *adapter_hash, const struct ste_question *q, struct ste_ask *a,
                     char out[65])
{
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_adds(h, "ste remote request 1");
    ste_hasher_adds(h, model_hash);
    ste_hasher_adds(h, a->messages);
    ste_hasher_adds(h, q->prefill ? q->prefill : "");
    ste_hasher_addu(h, q->ids ? q->n_ids + 1 : 0);
    if (q->ids)
        ste_hasher_add(h, q->ids, q->n_ids * sizeof *q->ids);
    ste_hasher_adds(h, q->closing ? q->closing : "");
    ste_hasher_addu(h, (uint64_t)q->n_choices);
    for (int i = 0; i < q->n_choices; i++)
        ste_hasher_adds(h, q->choices[i]);
    ste_hasher_addu(h, q->sample_choice);
    ste_hasher_addu(h, (uint64_t)q->n_stops);
    for (int i = 0; i < q->n_stops; i++)
        ste_hasher_adds(h, q->stops[i]);
    ste_hasher_addu(h, (uint64_t)q->max_tokens);
    const double reals[3] = {q->sampling.temperature, q->sampling.top_p, q->sampling.min_p};
    ste_hasher_add(h, reals, sizeof reals);
    ste_hasher_addu(h, (uint64_t)q->sampling.top_k);
    ste_hasher_addu(h, q->seed);
    ste_hasher_addu(h, (uint64_t)q->sample);
    if (adapter_hash && *adapter_hash) /* so that questions without keep their address */
        ste_hasher_adds(h, adapter_hash);
    uint8_t digest[32];
    ste_hasher_done(h, digest);
    ste_hex(digest, 32, out);
    a->key = ste_hash_u64(digest);
}

int ste_ask_lacks(const struct ste_dialect *d, const char *name, const struct ste_question *q, struct ste_err *err)
{
    const char *what = d->api == STE_API_OPENAI && (q->sampling.top_k > 0 || q->sampling.min_p > 0)
                           ? "is a server that takes no top_k and no min_p"
                       : q->prefill && d->way != STE_WAY_IDS ? "is a server that cannot go on from the beginning of "
                                                               "an answer, which this needs"
                                                             : NULL;
    return what ? ste_err_set(err, STE_EUSAGE, "%s %s", name, what) : 0;
}

enum ste_step ste_ask_step(const struct ste_dialect *d, const struct ste_ask *a)
{
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    if (d->way == STE_WAY_IDS && !a->have_prompt && (llama || !a->max_tokens || a->prefill.n))
        return llama && !a->rendered ? STE_STEP_TEMPLATE : STE_STEP_PROMPT;
    if (a->max_tokens && !a->have_free)
        return STE_STEP_FREE;
    return a->n_choices && a->choice < 0 && a->free_finish != STE_FINISH_LENGTH ? STE_STEP_LABELS : STE_STEP_DONE;
}

int32_t ste_ask_wanted(const struct ste_ask *a, int i)
{
    return a->choice_ids[i].ids[a->path.n];
}
