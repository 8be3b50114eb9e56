/* What is trained on, as token ids. */
#include <string.h>

#include "core/mem.h"
#include "loop/internal.h"

int ste_loop_label_ids(struct ste_loop *l, struct ste_label_ids *out, struct ste_err *err)
{
    const char *labels[2] = {l->pack->label_a, l->pack->label_b};
    struct ste_role_model seed;
    int rc = ste_loop_seed(l, &seed, err);
    for (int i = 0; rc == 0 && i < 2; i++)
        if (labels[i])
            rc = ste_llm_tokenize(seed.llm, labels[i], &out->ids[i], &out->n[i], err);
    return rc;
}

int ste_loop_reward_ids(struct ste_loop *l, const char *dialogue, const char *better, const char *worse,
                        struct ste_tokens ids[2], int *n_prompt, struct ste_err *err)
{
    struct ste_role_model seed;
    struct ste_dialogue prompt = {0};
    int rc = ste_loop_seed(l, &seed, err);
    const struct ste_engine *e = rc == 0 ? ste_loop_seed_engine(&seed, err) : NULL;
    if (rc == 0 && !e)
        rc = STE_EUSAGE;
    if (rc == 0)
        rc = ste_dialogue_parse(&prompt, dialogue, "a dialogue in the store", err);
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = ste_reward_tokens(ste_engine_model(e), &prompt, i ? worse : better, &ids[i], n_prompt, err);
    ste_dialogue_clear(&prompt);
    return rc;
}

void ste_loop_label_ids_clear(struct ste_label_ids *l)
{
    ste_xfree(l->ids[0]);
    ste_xfree(l->ids[1]);
    *l = (struct ste_label_ids){0};
}

/* Tokens of a label that N ids end with; 0: of none. */
static size_t label_at_end(const int32_t *ids, size_t n, const struct ste_label_ids *l)
{
    for (int i = 0; i < 2; i++)
        if (l->n[i] && l->n[i] <= n && memcmp(ids + n - l->n[i], l->ids[i], l->n[i] * sizeof *ids) == 0)
            return l->n[i];
    return 0;
}

/*
 * The end-of-turn token before the closing words was not part of what the verdict was read from, so it goes. Behind
 * reasoning the closing words and the label belong to the answer; a verdict at once has nothing of the judge's but its
 * label, so there the closing words belong to the prompt.
 */
void ste_loop_training_ids(struct ste_training_ids *x, const struct ste_label_ids *labels, char label)
{
    const int right = label == 'B';
    const size_t rest = x->n - x->n_free, free_part = rest ? x->n_written : x->n_free,
                 drop = labels->n[right] ? label_at_end(x->completion + x->n_free, rest, labels) : 0,
                 put = drop ? labels->n[right] : 0;
    int32_t *ids = ste_xmalloc((free_part + rest + put + 1) * sizeof *ids);
    size_t n = free_part;
    memcpy(ids, x->completion, free_part * sizeof *ids);
    memcpy(ids + n, x->completion + x->n_free, (rest - drop) * sizeof *ids);
    n += rest - drop;
    if (put)
        memcpy(ids + n, labels->ids[right], put * sizeof *ids);
    n += put;
    x->border = x->n_free == 0 && put && put < n ? n - put : 0;
    x->completion = ids;
    x->n = n;
}
