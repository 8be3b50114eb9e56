/* What is trained on, as token ids. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "loop/internal.h"

static size_t label_ids(const struct ste_pack *p, const struct ste_tokenizer *t, char label, struct ste_tokens *out)
{
    const char *text = label == 'B' ? p->label_b : p->label_a;
    *out = (struct ste_tokens){0};
    return text && ste_tokenize(t, text, strlen(text), false, out, NULL) == 0 ? out->n : 0;
}

/* Puts the right label in the place of the one that the completion ends with, if it ends with one. */
static void set_label(struct ste_loop_example *x, const struct ste_pack *p, const struct ste_tokenizer *t)
{
    struct ste_tokens right;
    size_t drop = 0;
    for (int i = 0; i < 2; i++) {
        struct ste_tokens ids;
        const size_t n = label_ids(p, t, "AB"[i], &ids);
        if (n && n <= x->n - x->n_free && memcmp(x->completion + x->n - n, ids.ids, n * sizeof *ids.ids) == 0)
            drop = n;
        ste_tokens_clear(&ids);
    }
    x->n_label = label_ids(p, t, *x->label, &right);
    if (drop && right.n) {
        const size_t keep = x->n - drop;
        x->completion = ste_xrealloc(x->completion, (keep + right.n) * sizeof *x->completion);
        memcpy(x->completion + keep, right.ids, right.n * sizeof *right.ids);
        x->n = keep + right.n;
    }
    ste_tokens_clear(&right);
}

void ste_loop_example_read(sqlite3_stmt *q, const struct ste_pack *p, const struct ste_tokenizer *t,
                           struct ste_loop_example *out)
{
    *out = (struct ste_loop_example){.n_free = (size_t)sqlite3_column_int64(q, 2),
                                     .label = ste_loop_text(q, 3),
                                     .weight = sqlite3_column_double(q, 4),
                                     .id = ste_loop_text(q, 5),
                                     .label_source = ste_loop_text(q, 6)};
    out->prompt = ste_loop_tokens_unpack(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), &out->n_prompt);
    out->completion = ste_loop_tokens_unpack(sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1), &out->n);
    if (out->n_free <= out->n)
        set_label(out, p, t);
}

void ste_loop_example_clear(struct ste_loop_example *x)
{
    free(x->prompt);
    free(x->completion);
    *x = (struct ste_loop_example){0};
}
