/* What is trained on, as token ids. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "loop/internal.h"

static const char *text_of(const struct ste_pack *p, const char *label)
{
    const char *text = *label == 'B' ? p->label_b : p->label_a;
    return text ? text : "";
}

size_t ste_loop_label_length(const struct ste_pack *p, const struct ste_tokenizer *t, const char *label)
{
    struct ste_tokens ids = {0};
    const char *text = text_of(p, label);
    size_t n = ste_tokenize(t, text, strlen(text), false, &ids, NULL) == 0 ? ids.n : 0;
    ste_tokens_clear(&ids);
    return n;
}

int32_t *ste_loop_with_label(const struct ste_pack *p, const struct ste_tokenizer *t, const char *label,
                             const int32_t *completion, size_t *n, size_t n_free)
{
    struct ste_tokens ids[2] = {{0}, {0}};
    size_t drop = 0;
    for (int i = 0; i < 2; i++) {
        const char *text = text_of(p, i ? "B" : "A");
        if (ste_tokenize(t, text, strlen(text), false, &ids[i], NULL) == 0 && ids[i].n && ids[i].n <= *n - n_free &&
            memcmp(completion + *n - ids[i].n, ids[i].ids, ids[i].n * sizeof *completion) == 0)
            drop = ids[i].n;
    }
    const struct ste_tokens *right = &ids[*label == 'B'];
    const size_t keep = *n - drop;
    int32_t *out = ste_xmalloc((*n + right->n + 1) * sizeof *out);
    if (*n)
        memcpy(out, completion, *n * sizeof *out);
    if (drop && right->n) {
        memcpy(out + keep, right->ids, right->n * sizeof *out);
        *n = keep + right->n;
    }
    ste_tokens_clear(&ids[0]);
    ste_tokens_clear(&ids[1]);
    return out;
}
