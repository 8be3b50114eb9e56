#include "eval/contamination.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "data/minhash.h"
#include "store/rows.h"

static int add(void *index, const struct ste_instruction_view *v, struct ste_err *err)
{
    struct ste_dialogue d;
    struct ste_buf text = STE_BUF_INIT;
    if (!v->row.split || strcmp(v->row.split, "train") != 0)
        return 0;
    int rc = ste_dialogue_parse(&d, v->row.dialogue, "a dialogue in the store", err);
    if (rc != 0)
        return rc;
    ste_dialogue_text(&d, &text);
    ste_minhash_index_add(index, text.s);
    ste_buf_clear(&text);
    ste_dialogue_clear(&d);
    return 0;
}

/* The run's select.contamination; its other options may be those of another ste. */
static int threshold_of(struct ste_store *s, double *threshold, struct ste_err *err)
{
    char *text = NULL;
    int rc = ste_store_meta(s, "recipe", &text, err);
    json_t *recipe = text ? ste_json_parse(text, strlen(text), "the run's recipe", NULL) : NULL;
    const json_t *v = json_object_get(json_object_get(recipe, "select"), "contamination");
    if (rc == 0 && !json_is_number(v))
        rc = ste_err_set(err, STE_EINPUT, "the run in %s says no select.contamination", ste_store_dir(s));
    *threshold = json_number_value(v);
    json_decref(recipe);
    ste_xfree(text);
    return rc;
}

static int open_index(const char *dir, struct ste_minhash_index **out, struct ste_err *err)
{
    struct ste_store *s = NULL;
    *out = NULL;
    int rc = ste_store_open(&s, dir, 0, 1, err);
    if (rc != 0)
        return rc;
    double threshold;
    rc = threshold_of(s, &threshold, err);
    if (rc == 0) {
        *out = ste_minhash_index_new(threshold);
        rc = ste_each_instruction(s, "kept", add, *out, err);
    }
    ste_store_close(s);
    return rc;
}

int ste_in_training(const char *dir, const struct ste_answer_pairs *files, size_t n, size_t *counts,
                    struct ste_err *err)
{
    struct ste_minhash_index *x;
    int rc = open_index(dir, &x, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        counts[i] = 0;
        for (size_t k = 0; k < files[i].n; k++) {
            struct ste_buf text = STE_BUF_INIT;
            ste_dialogue_text(&files[i].items[k].prompt, &text);
            counts[i] += ste_minhash_index_find(x, text.s, NULL, NULL);
            ste_buf_clear(&text);
        }
    }
    ste_minhash_index_free(x);
    return rc;
}
