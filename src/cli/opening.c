#include "cli/opening.h"

int ste_open_model(struct ste_llm **out, const char *model, const char *adapter, const struct ste_engine_flags *f,
                   const char *cache, int *handle, struct ste_err *err)
{
    struct ste_llm_params p = {.threads = (int)f->threads,
                               .batch = (int)f->batch,
                               .ctx = (int)f->ctx,
                               .isa = f->isa,
                               .activations = f->activations,
                               .cache = cache};
    *handle = 0;
    int rc = ste_llm_open(out, model, &p, err);
    if (!rc && adapter && (rc = ste_llm_load_adapter(*out, adapter, handle, err)) != 0) {
        ste_llm_close(*out);
        *out = NULL;
    }
    return rc;
}

int ste_json_tokens(const json_t *row, const char *key, const struct ste_model *m, const char *where,
                    struct ste_tokens *out, struct ste_err *err)
{
    const json_t *list = json_object_get(row, key);
    if (!json_is_array(list) || json_array_size(list) == 0)
        return ste_err_set(err, STE_EINPUT, "%s: \"%s\" must be a list of token ids", where, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= m->hp.n_vocab)
            return ste_err_set(err, STE_EINPUT, "%s: token %zu is not an id from 0 to %d", where, i, m->hp.n_vocab - 1);
        ste_tokens_add(out, (int32_t)json_integer_value(id));
    }
    return 0;
}
