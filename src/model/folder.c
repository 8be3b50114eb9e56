#include "model/folder.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "model/folder_internal.h"
#include "model/tokenizer_json.h"

enum { MAX_JSON = 256 << 20 };

int ste_folder_json(const char *dir, const char *name, json_t **out, struct ste_err *err)
{
    char *path = ste_path_join(dir, name);
    struct ste_buf b = STE_BUF_INIT;
    int rc = 0;
    *out = NULL;
    if (ste_file_exists(path) && !(rc = ste_file_read(path, MAX_JSON, &b, err)) &&
        !(*out = ste_json_parse(b.s, b.len, path, err)))
        rc = STE_EINPUT;
    if (*out && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        rc = ste_err_set(err, STE_EINPUT, "%s is no JSON object", path);
    }
    ste_buf_clear(&b);
    ste_xfree(path);
    return rc;
}

/* ---- tokenizer and chat template ---- */

/* tokenizer_config.json has the template as a text or as several with names, of which the default one is for a chat. */
static const char *template_of(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template"), *item;
    size_t i;
    if (!json_is_array(v))
        return json_string_value(v);
    json_array_foreach(v, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(item, "template"));
    }
    return NULL;
}

static int set_template(struct ste_folder *f, const json_t *config)
{
    static const char key[] = "tokenizer.chat_template";
    const char *text = template_of(config);
    char *path = ste_path_join(f->dir, "chat_template.jinja");
    struct ste_buf b = STE_BUF_INIT;
    int rc = 0;
    if (!ste_file_exists(path) && text)
        ste_gguf_set_string(f->g, key, text, strlen(text));
    else if (ste_file_exists(path) && !(rc = ste_file_read(path, MAX_JSON, &b, f->err)))
        ste_gguf_set_string(f->g, key, b.s, b.len);
    ste_buf_clear(&b);
    ste_xfree(path);
    return rc;
}

static int set_tokenizer(struct ste_folder *f)
{
    json_t *tokenizer = NULL, *config = NULL;
    char *path = ste_path_join(f->dir, "tokenizer.json");
    const json_t *n = f->arch->hf.cuts_vocabulary ? NULL : ste_folder_get(f, "vocab_size");
    int rc = ste_folder_json(f->dir, "tokenizer.json", &tokenizer, f->err);
    if (!rc)
        rc = ste_folder_json(f->dir, "tokenizer_config.json", &config, f->err);
    if (!rc && !tokenizer)
        rc =
            ste_err_set(f->err, STE_EINPUT,
                        "%s has no tokenizer.json; save its tokenizer with transformers' save_pretrained, which writes "
                        "one",
                        f->dir);
    if (!rc)
        rc = ste_tokenizer_json_keys(f->g, tokenizer, config, json_integer_value(n), path, f->err);
    if (!rc)
        rc = set_template(f, config);
    json_decref(tokenizer);
    json_decref(config);
    ste_xfree(path);
    return rc;
}

/* ---- what ends an answer ---- */

/* The tokens that generation_config.json, or config.json, says end an answer: those that the tokenizer does not name
 * already become the end of a turn and the end of a message. */
static int set_ends(struct ste_folder *f)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    enum { N_KEYS = sizeof keys / sizeof *keys };
    json_t *generation = NULL;
    int rc = ste_folder_json(f->dir, "generation_config.json", &generation, f->err);
    const json_t *ids = json_object_get(generation, "eos_token_id");
    ids = ids && !json_is_null(ids) ? ids : ste_folder_get(f, "eos_token_id");
    const size_t n = json_is_array(ids) ? json_array_size(ids) : json_is_integer(ids);
    for (size_t i = 0, k = 0; i < n && k < N_KEYS && !rc; i++) {
        const json_t *id = json_is_array(ids) ? json_array_get(ids, i) : ids;
        int64_t had;
        bool known = false;
        if (!json_is_integer(id) || json_integer_value(id) < 0)
            rc = ste_err_set(f->err, STE_EINPUT, "%s: eos_token_id is no list of token ids", f->dir);
        for (size_t j = 0; j < N_KEYS; j++)
            known = known || (ste_gguf_int(f->g, keys[j], &had) && had == json_integer_value(id));
        while (k < N_KEYS && ste_gguf_int(f->g, keys[k], &had))
            k++;
        if (!rc && !known && k < N_KEYS)
            ste_gguf_set_int(f->g, keys[k++], json_integer_value(id));
    }
    json_decref(generation);
    return rc;
}

/* ---- the folder ---- */

static int no_model(const struct ste_folder *f)
{
    char *config = ste_path_join(f->dir, "adapter_config.json");
    const bool adapter = ste_file_exists(config);
    ste_xfree(config);
    return ste_err_set(f->err, STE_EINPUT,
                       "%s is %s, and no model: it has no config.json; a model is a .gguf file, or a folder with "
                       "config.json, model.safetensors and tokenizer.json",
                       f->dir, adapter ? "the folder of an adapter" : "a folder");
}

static int read_folder(struct ste_folder *f)
{
    int rc = ste_folder_json(f->dir, "config.json", &f->config, f->err);
    if (rc)
        return rc;
    if (!f->config)
        return no_model(f);
    if ((rc = ste_folder_arch(f)) || (rc = ste_folder_keys(f)) || (rc = set_tokenizer(f)) || (rc = set_ends(f)))
        return rc;
    return ste_folder_tensors(f);
}

int ste_folder_open(struct ste_gguf **out, const char *dir, struct ste_err *err)
{
    struct ste_folder f = {.dir = dir, .path = ste_path_join(dir, "config.json"), .g = ste_gguf_new(dir), .err = err};
    ste_gguf_mark_folder(f.g);
    ste_gguf_set_string(f.g, "general.type", "model", strlen("model"));
    ste_gguf_set_string(f.g, "general.name", ste_path_base(dir), strlen(ste_path_base(dir)));
    int rc = read_folder(&f);
    json_decref(f.config);
    json_decref(f.defaults);
    ste_xfree(f.path);
    *out = f.g;
    if (rc) {
        ste_gguf_close(f.g);
        *out = NULL;
    }
    return rc;
}

/* ---- its hash ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int ste_folder_hash(const char *dir, char out[65], struct ste_err *err)
{
    static const char *const small[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json", "chat_template.jinja"};
    enum { N_SMALL = sizeof small / sizeof *small };
    struct ste_strings names = {0};
    json_t *index;
    int rc = ste_folder_shards(dir, &names, &index, err);
    struct ste_hasher *h = ste_hasher_new();
    qsort(names.items, names.n, sizeof *names.items, by_name);
    for (size_t i = 0; i < N_SMALL + names.n && !rc; i++) {
        const char *name = i < N_SMALL ? small[i] : names.items[i - N_SMALL];
        char *path = ste_path_join(dir, name), hex[65] = "";
        if (i >= N_SMALL)
            rc = ste_sha256_file_kept(path, hex, err);
        else if (ste_file_exists(path))
            rc = ste_sha256_file(path, hex, err);
        if (*hex && !rc) {
            ste_hasher_adds(h, name);
            ste_hasher_adds(h, hex);
        }
        ste_xfree(path);
    }
    ste_hasher_hex(h, out);
    json_decref(index);
    ste_strings_clear(&names);
    return rc;
}
