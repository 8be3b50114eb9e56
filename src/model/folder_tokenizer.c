/* tokenizer.json of byte-level BPE. */
#include <string.h>

#include "core/mem.h"
#include "model/folder_internal.h"

int ste_folder_tokenizer(struct ste_folder *f)
{
    json_t *j;
    int rc = ste_folder_json(f->dir, "tokenizer.json", &j, f->err);
    if (rc)
        return rc;
    const json_t *model = json_object_get(j, "model"), *added = json_object_get(j, "added_tokens"), *item;
    json_t *v;
    const char *token;
    size_t i, n = (size_t)json_integer_value(ste_folder_get(f, "vocab_size"));
    struct ste_str *tokens = ste_xcalloc(n, sizeof *tokens), *merges;
    int32_t *types = ste_xcalloc(n, sizeof *types);
    for (i = 0; i < n; i++)
        types[i] = 5;
    json_object_foreach(json_object_get(model, "vocab"), token, v)
    {
        tokens[json_integer_value(v)] = (struct ste_str){token, strlen(token)};
        types[json_integer_value(v)] = 1;
    }
    json_array_foreach(added, i, item)
    {
        const size_t id = (size_t)json_integer_value(json_object_get(item, "id"));
        token = json_string_value(json_object_get(item, "content"));
        tokens[id] = (struct ste_str){token, strlen(token)};
        types[id] = json_is_true(json_object_get(item, "special")) ? 3 : 4;
    }
    for (i = 0; i < n; i++)
        if (!tokens[i].s) {
            char *pad = ste_gguf_keep_small(f->g, ste_xasprintf("[PAD%zu]", i));
            tokens[i] = (struct ste_str){pad, strlen(pad)};
        }
    const json_t *list = json_object_get(model, "merges");
    merges = ste_xcalloc(json_array_size(list), sizeof *merges);
    json_array_foreach(list, i, item)
    {
        char *m = json_is_array(item) ? ste_xasprintf("%s %s", json_string_value(json_array_get(item, 0)),
                                                      json_string_value(json_array_get(item, 1)))
                                      : ste_xstrdup(json_string_value(item));
        merges[i] = (struct ste_str){ste_gguf_keep_small(f->g, m), strlen(m)};
    }
    char *pre = json_dumps(json_object_get(j, "pre_tokenizer"), 0);
    const char *name = strstr(pre, "Digits") ? "smollm" : "qwen2";
    ste_gguf_set_string(f->g, "tokenizer.ggml.model", "gpt2", 4);
    ste_gguf_set_string(f->g, "tokenizer.ggml.pre", name, strlen(name));
    ste_gguf_set_strings(f->g, "tokenizer.ggml.tokens", tokens, n);
    ste_gguf_set_ints(f->g, "tokenizer.ggml.token_type", types, n);
    ste_gguf_set_strings(f->g, "tokenizer.ggml.merges", merges, json_array_size(list));
    ste_xfree(pre);
    ste_xfree(tokens);
    ste_xfree(types);
    ste_xfree(merges);
    json_decref(j);
    return 0;
}
