/* tokenizer.json and tokenizer_config.json as the keys of a tokenizer. */
#include "core/file.h"
#include "core/mem.h"
#include "model/folder_internal.h"
#include "model/tokenizer_json.h"

int ste_folder_tokenizer(struct ste_folder *f)
{
    json_t *tokenizer, *config = NULL;
    char *path = ste_path_join(f->dir, "tokenizer.json");
    int rc = ste_folder_json(f->dir, "tokenizer.json", &tokenizer, f->err);
    if (!rc && !tokenizer)
        rc =
            ste_err_set(f->err, STE_EINPUT,
                        "%s is missing; save the tokenizer with transformers (save_pretrained), which writes it", path);
    if (!rc)
        rc = ste_folder_json(f->dir, "tokenizer_config.json", &config, f->err);
    if (!rc)
        rc = ste_tokenizer_json_keys(f->g, tokenizer, config, json_integer_value(ste_folder_get(f, "vocab_size")), path,
                                     f->err);
    json_decref(tokenizer);
    json_decref(config);
    ste_xfree(path);
    return rc;
}
