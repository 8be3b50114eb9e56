#include "train/examples.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "model/chat.h"

void ste_examples_clear(struct ste_examples *x)
{
    for (size_t i = 0; i < x->n; i++)
        ste_xfree((void *)(uintptr_t)x->items[i].tokens);
    ste_xfree(x->items);
}

void ste_examples_add(struct ste_examples *x, struct ste_tokens *ids, long long n_prompt, double weight)
{
    STE_GROW(x->items, x->cap, x->n + 1);
    x->items[x->n++] = (struct ste_example){ids->ids, (int)ids->n, (int)n_prompt, (float)weight, NULL};
    *ids = (struct ste_tokens){0};
}

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
    ste_xfree(list);
    return rc;
}

/* A prompt and what stands under COMPLETION ("completion", "chosen", "rejected"): ids as they are, else texts or
 * messages, ended by the end of the turn. *KNOWN: the row has them. */
static int read_completion(const struct ste_model *m, const json_t *row, const char *completion, bool *known,
                           struct ste_tokens *ids, long long *n_prompt, const char *where, struct ste_err *err)
{
    char key[32];
    snprintf(key, sizeof key, "%s_ids", completion);
    const json_t *prompt = json_object_get(row, "prompt"), *text = json_object_get(row, completion);
    int rc;
    *known = true;
    if (json_object_get(row, key)) { /* of `ste export`, or of TRL */
        rc = ste_tokens_read(row, "prompt_ids", m, where, ids, err);
        *n_prompt = (long long)ids->n;
        return rc ? rc : ste_tokens_read(row, key, m, where, ids, err);
    }
    const bool alone = !prompt && strcmp(completion, "completion") != 0; /* a whole conversation */
    if (json_is_array(text) && (json_is_array(prompt) || alone))
        rc = read_chat(m, prompt, text, ids, n_prompt, where, err);
    else if (json_is_string(prompt) && json_is_string(text)) {
        rc = ste_tokenize_prompt(m->tokenizer, json_string_value(prompt), json_string_length(prompt), false, ids, err);
        *n_prompt = (long long)ids->n;
        if (!rc)
            rc = ste_tokenize(m->tokenizer, json_string_value(text), json_string_length(text), false, ids, err);
    } else {
        *known = false;
        return 0;
    }
    if (!rc)
        ste_tokens_add(ids, ste_token_end_of_turn(m->tokenizer));
    return rc;
}

/* One row in any of the forms of `ste help sft`. */
static int read_row(const struct ste_model *m, const json_t *row, struct ste_tokens *ids, long long *n_prompt,
                    const char *where, struct ste_err *err)
{
    const json_t *messages = json_object_get(row, "messages");
    bool known = true;
    int rc;
    if (json_object_get(row, "tokens")) {
        rc = ste_tokens_read(row, "tokens", m, where, ids, err);
        return rc ? rc : ste_json_int(row, "n_prompt", true, n_prompt, where, err);
    }
    if (json_is_array(messages)) {
        rc = read_chat(m, messages, NULL, ids, n_prompt, where, err);
        if (!rc)
            ste_tokens_add(ids, ste_token_end_of_turn(m->tokenizer));
        return rc;
    }
    rc = read_completion(m, row, "completion", &known, ids, n_prompt, where, err);
    return known ? rc
                 : ste_err_set(err, STE_EINPUT,
                               "%s: no example in it; give messages, prompt and completion, prompt_ids and "
                               "completion_ids, or tokens and n_prompt",
                               where);
}

/* One row in any of the forms of `ste help dpo`. */
static int read_preference(const struct ste_model *m, const json_t *row, struct ste_tokens ids[2], long long *n_prompt,
                           const char *where, struct ste_err *err)
{
    static const char *const keys[2] = {"chosen", "rejected"};
    long long n[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        bool known;
        int rc = read_completion(m, row, keys[i], &known, &ids[i], &n[i], where, err);
        if (rc)
            return rc;
        if (!known)
            return ste_err_set(err, STE_EINPUT,
                               "%s: no preference in it; give prompt, chosen and rejected, chosen and rejected as "
                               "whole conversations, or prompt_ids, chosen_ids and rejected_ids",
                               where);
    }
    if (n[0] != n[1] || memcmp(ids[0].ids, ids[1].ids, (size_t)n[0] * sizeof *ids[0].ids))
        return ste_err_set(err, STE_EINPUT,
                           "%s: chosen and rejected differ before their last message: they answer "
                           "different prompts",
                           where);
    *n_prompt = n[0];
    return n[0] < 2 ? ste_err_set(err, STE_EINPUT, "%s: a preference takes a prompt of two tokens or more", where) : 0;
}

struct reading {
    const struct ste_model *m;
    size_t max_tokens;
    bool preferences;
    struct ste_examples *x;
};

static int add_row(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    const struct reading *r = arg;
    struct ste_tokens ids[2] = {{0}, {0}};
    const int n = 1 + r->preferences;
    long long n_prompt = 0;
    double weight = 1;
    bool fits = true;
    int rc = r->preferences ? read_preference(r->m, row, ids, &n_prompt, where, err)
                            : read_row(r->m, row, ids, &n_prompt, where, err);
    if (!rc)
        rc = ste_json_real(row, "weight", false, &weight, where, err);
    for (int i = 0; !rc && i < n; i++) {
        fits &= ids[i].n <= r->max_tokens;
        if (n_prompt < 0 || n_prompt >= (long long)ids[i].n)
            rc = ste_err_set(err, STE_EINPUT, "%s: %lld prompt tokens of %zu leave nothing to learn", where, n_prompt,
                             ids[i].n);
    }
    for (int i = 0; !rc && fits && i < n; i++)
        ste_examples_add(r->x, &ids[i], n_prompt, weight);
    r->x->too_long += !rc && !fits;
    ste_tokens_clear(&ids[0]);
    ste_tokens_clear(&ids[1]);
    return rc;
}

int ste_examples_read(struct ste_examples *x, const struct ste_model *m, const char *path, bool preferences,
                      size_t max_tokens, struct ste_err *err)
{
    struct reading r = {m, max_tokens, preferences, x};
    int rc = ste_jsonl_each(path, add_row, &r, err);
    if (!rc && x->too_long)
        ste_warn("%zu %s of %s are longer than %zu tokens and were left out", x->too_long,
                 preferences ? "preferences" : "examples", path, max_tokens);
    if (!rc && !x->n)
        rc = ste_err_set(err, STE_EINPUT, "%s has no example to train on", path);
    return rc;
}
