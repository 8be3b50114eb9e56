/* ste sft: a LoRA adapter from a user's own examples, without the loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/opening.h"
#include "cli/training.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "model/chat.h"

/* The messages of FIRST, then those of SECOND (may be NULL): the last one is the completion, the others are the prompt.
 */
static int read_chat(const struct ste_model *m, const json_t *first, const json_t *second, struct ste_tokens *ids,
                     long long *n_prompt, const char *where, struct ste_err *err)
{
    size_t n = json_array_size(first) + json_array_size(second);
    struct ste_message *list = ste_xcalloc(n + 1, sizeof *list);
    int rc = n < 2 ? ste_err_set(err, STE_EINPUT, "%s: a prompt and an answer take two messages or more", where) : 0;
    for (size_t i = 0; !rc && i < n; i++) {
        const json_t *msg =
            i < json_array_size(first) ? json_array_get(first, i) : json_array_get(second, i - json_array_size(first));
        rc = ste_json_string(msg, "role", true, &list[i].role, where, err);
        if (!rc)
            rc = ste_json_string(msg, "content", true, &list[i].content, where, err);
    }
    if (!rc && strcmp(list[n - 1].role, "assistant"))
        rc = ste_err_set(err, STE_EINPUT, "%s: the last message must be the assistant's: it is what is learnt", where);
    if (!rc)
        rc = ste_chat_tokenize(m, list, n - 1, NULL, ids, err);
    *n_prompt = (long long)ids->n;
    if (!rc)
        rc = ste_tokenize(m->tokenizer, list[n - 1].content, strlen(list[n - 1].content), false, ids, err);
    free(list);
    return rc;
}

/* One row in any of the forms of `ste help sft`. */
static int read_row(const struct ste_model *m, const json_t *row, struct ste_tokens *ids, long long *n_prompt,
                    const char *where, struct ste_err *err)
{
    const json_t *messages = json_object_get(row, "messages"), *prompt = json_object_get(row, "prompt"),
                 *completion = json_object_get(row, "completion");
    int rc;
    if (json_object_get(row, "tokens")) {
        rc = ste_json_tokens(row, "tokens", m, where, ids, err);
        return rc ? rc : ste_json_int(row, "n_prompt", true, n_prompt, where, err);
    }
    if (json_object_get(row, "completion_ids")) { /* of `ste export`, or of TRL */
        rc = ste_json_tokens(row, "prompt_ids", m, where, ids, err);
        *n_prompt = (long long)ids->n;
        return rc ? rc : ste_json_tokens(row, "completion_ids", m, where, ids, err);
    }
    if (json_is_array(messages))
        rc = read_chat(m, messages, NULL, ids, n_prompt, where, err);
    else if (json_is_array(prompt) && json_is_array(completion))
        rc = read_chat(m, prompt, completion, ids, n_prompt, where, err);
    else if (json_is_string(prompt) && json_is_string(completion)) {
        rc = ste_tokenize(m->tokenizer, json_string_value(prompt), json_string_length(prompt), false, ids, err);
        *n_prompt = (long long)ids->n;
        if (!rc)
            rc = ste_tokenize(m->tokenizer, json_string_value(completion), json_string_length(completion), false, ids,
                              err);
    } else
        return ste_err_set(
            err, STE_EINPUT,
            "%s: no example in it; give messages, prompt and completion, prompt_ids and completion_ids, or "
            "tokens and n_prompt",
            where);
    if (!rc)
        ste_tokens_add(ids, ste_token_end_of_turn(m->tokenizer));
    return rc;
}

struct reading {
    struct ste_training *g;
    size_t longest, too_long;
};

static int add_row(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    struct reading *r = arg;
    struct ste_tokens ids = {0};
    long long n_prompt = 0;
    double weight = 1;
    int rc = read_row(r->g->m, row, &ids, &n_prompt, where, err);
    if (!rc)
        rc = ste_json_real(row, "weight", false, &weight, where, err);
    if (!rc && (n_prompt < 0 || n_prompt >= (long long)ids.n))
        rc = ste_err_set(err, STE_EINPUT, "%s: %lld prompt tokens of %zu leave nothing to learn", where, n_prompt,
                         ids.n);
    if (!rc && ids.n <= r->longest)
        ste_examples_add(&r->g->x, &ids, n_prompt, weight);
    else
        r->too_long += !rc;
    ste_tokens_clear(&ids);
    return rc;
}

static int read_examples(struct ste_training *g, struct ste_err *err)
{
    struct reading r = {.g = g, .longest = (size_t)(g->f.max_tokens > 0 ? g->f.max_tokens : g->m->hp.n_ctx_train)};
    int rc = ste_jsonl_each(g->in, add_row, &r, err);
    if (!rc && r.too_long)
        ste_warn("%zu examples of %s are longer than %zu tokens and were left out", r.too_long, g->in, r.longest);
    if (!rc && !g->x.n)
        rc = ste_err_set(err, STE_EINPUT, "%s has no example to train on", g->in);
    return rc;
}

static int write_grads(const struct ste_training *g, const char *folder, struct ste_err *err)
{
    const struct ste_train_params *p = &g->p;
    struct ste_example *batch = ste_xcalloc((size_t)p->batch_examples, sizeof *batch);
    int *index = ste_xcalloc((size_t)p->batch_examples, sizeof *index);
    struct ste_lora *grads = NULL;
    double loss = 0;
    const int n = ste_train_batch(p, (int)g->x.n, 0, index);
    for (int i = 0; i < n; i++)
        batch[i] = g->x.items[index[i]];
    int rc = ste_lora_new(&grads, &g->m->hp, p->r, p->alpha, 0, err);
    if (!rc)
        rc = ste_trainer_grads(g->t, batch, n, grads, &loss, err);
    if (!rc)
        rc = ste_lora_write_peft(grads, g->m, g->model, folder, err);
    if (!rc)
        printf("loss %.6f; gradients of %d examples in %s\n", loss, n, folder);
    ste_lora_free(grads);
    free(index);
    free(batch);
    return rc;
}

struct sft_options {
    const char *adapter, *grads, *order;
    long long together;
};

static int check_options(const struct ste_training *g, const struct sft_options *o, struct ste_err *err)
{
    if (!g->model || !g->in || (!g->out && !o->grads))
        return ste_err_set(err, STE_EUSAGE,
                           "sft takes --model NAME, --in EXAMPLES.jsonl and --out DIR; see `ste help sft`");
    if (o->together < 1 || o->together > 100000)
        return ste_err_set(err, STE_EUSAGE, "--together is between 1 and 100000, not %lld", o->together);
    return o->grads ? ste_folder_try(o->grads, err) : ste_training_try(g, err);
}

static int train(struct ste_training *g, const struct sft_options *o, struct ste_err *err)
{
    struct ste_lora *start = NULL;
    enum ste_shuffle shuffle;
    int rc = ste_shuffle_by_name(o->order, &shuffle, err);
    if (!rc)
        rc = check_options(g, o, err);
    if (!rc)
        rc = ste_training_open(g, err);
    if (!rc)
        rc = read_examples(g, err);
    if (!rc && o->adapter)
        rc = ste_lora_read_peft(&start, g->m, o->adapter, err);
    g->p.shuffle = shuffle;
    g->p.together = (int)o->together;
    if (!rc)
        rc = ste_training_begin(g, start, err);
    ste_lora_free(start);
    if (!rc)
        rc = o->grads ? write_grads(g, o->grads, err) : ste_training_run(g, err);
    return rc;
}

static int sft(int argc, char **argv, struct ste_err *err)
{
    struct ste_training g = {0};
    struct sft_options o = {.order = "shuffle", .together = 1};
    ste_training_defaults(&g);
    const struct ste_flag flags[] = {
        {"model", STE_FLAG_STRING, &g.model, "NAME",
         "catalogue name or .gguf file to train on; its weights stay as they are"},
        {"in", STE_FLAG_STRING, &g.in, "FILE.jsonl",
         "examples, one a line: {\"messages\": [...]} (the last one, the assistant's, is learnt), {\"prompt\", "
         "\"completion\"} "
         "(both texts or both lists of messages), {\"prompt_ids\", \"completion_ids\"} (of `ste export`), or "
         "{\"tokens\": [...], \"n_prompt\": N}; \"weight\" is optional"},
        {"out", STE_FLAG_STRING, &g.out, "DIR",
         "new folder for the adapter: PEFT's files and adapter.gguf; the same command goes on where it was stopped"},
        {"adapter", STE_FLAG_STRING, &o.adapter, "DIR", "start from this PEFT folder (its rank and alpha hold)"},
        {"order", STE_FLAG_STRING, &o.order, "O",
         "shuffle (each epoch anew, default), file-first (each but the first) or file"},
        {"together", STE_FLAG_INT, &o.together, "N",
         "shuffle N examples that stand side by side as one (default 1; a run's are in fours)"},
        {"grads", STE_FLAG_STRING, &o.grads, "DIR", "only write the gradients of the first batch, as a PEFT folder"},
        STE_TRAINING_FLAGS(g.f, "examples"),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct ste_strings words = {0};
    int rc = ste_flags_parse(&ste_cmd_sft, flags, argc, argv, &words, 0, err);
    ste_strings_clear(&words);
    if (!rc)
        rc = train(&g, &o, err);
    ste_training_close(&g);
    return rc > 0 ? 0 : rc;
}

const struct ste_command ste_cmd_sft = {
    "sft",
    "sft --model NAME --in EXAMPLES.jsonl --out DIR [flags]",
    "Fine-tune a LoRA adapter on your own examples.",
    sft,
};
