/* safetensors as the tensors of a GGUF: matrices stay where they are in the mapped file, vectors become f32. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "model/folder_internal.h"
#include "model/safetensors.h"

static const char single[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

/* ---- the files ---- */

/* What a folder without weights has in their place. */
static int no_weights(const char *dir, struct ste_err *err)
{
    static const struct {
        const char *name, *what;
    } others[] = {
        {"consolidated.safetensors", "its weights in Mistral's own form (consolidated.safetensors); get the files of "
                                     "the same model that are named model-....safetensors"},
        {"pytorch_model.bin", "its weights as pickled Python (pytorch_model.bin); save them again with transformers' "
                              "save_pretrained"},
        {"pytorch_model.bin.index.json", "its weights as pickled Python (pytorch_model-....bin); save them again with "
                                         "transformers' save_pretrained"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *path = ste_path_join(dir, others[i].name);
        const bool there = ste_file_exists(path);
        ste_xfree(path);
        if (there)
            return ste_err_set(err, STE_EINPUT, "%s has %s", dir, others[i].what);
    }
    return ste_err_set(err, STE_EINPUT, "%s has no weights (%s, or parts of it with %s)", dir, single, index_name);
}

static int name_shards(const char *dir, const json_t *map, struct ste_strings *names, struct ste_err *err)
{
    const char *tensor;
    json_t *v;
    if (!json_is_object(map) || !json_object_size(map))
        return ste_err_set(err, STE_EINPUT, "%s/%s has no weight_map", dir, index_name);
    json_object_foreach((json_t *)(uintptr_t)map, tensor, v)
    {
        const char *name = json_string_value(v);
        if (!name || !*name || *name == '.' || strchr(name, '/'))
            return ste_err_set(err, STE_EINPUT, "%s/%s: the file of '%.80s' is no file's name", dir, index_name,
                               tensor);
        ste_strings_place(names, name);
    }
    for (size_t i = 0; i < names->n; i++) {
        char *path = ste_path_join(dir, names->items[i]);
        const bool there = ste_file_exists(path);
        ste_xfree(path);
        if (!there)
            return ste_err_set(err, STE_EINPUT, "%s lacks %s, which %s names; fetch it again", dir, names->items[i],
                               index_name);
    }
    return 0;
}

int ste_folder_shards(const char *dir, struct ste_strings *names, json_t **index, struct ste_err *err)
{
    char *path = ste_path_join(dir, single);
    const bool whole = ste_file_exists(path);
    ste_xfree(path);
    *index = NULL;
    if (whole) {
        ste_strings_add(names, single);
        return 0;
    }
    int rc = ste_folder_json(dir, index_name, index, err);
    if (!rc)
        rc = *index ? name_shards(dir, json_object_get(*index, "weight_map"), names, err) : no_weights(dir, err);
    return rc;
}

/* ---- their tensors ---- */

struct shards {
    struct ste_folder *f;
    struct ste_safetensors *files;
    size_t n;
    struct found {
        const struct ste_st_tensor *t;
        const char *name; /* as a model of language alone has it */
        bool used;
    } * found;
    size_t n_found;
    uint64_t n_vocab;
};

/* A model that sees too has the one that reads and writes inside: "language_model.model.norm.weight" or, as version 5
 * writes it, "model.language_model.norm.weight" is "model.norm.weight" there. ROOM for the latter. */
static const char *plain_name(struct ste_gguf *g, const char *name)
{
    static const char within[] = "language_model.", after[] = "model.language_model.";
    if (!strncmp(name, within, sizeof within - 1))
        return name + sizeof within - 1;
    if (!strncmp(name, after, sizeof after - 1))
        return ste_gguf_keep_small(g, ste_xasprintf("model.%s", name + sizeof after - 1));
    return name;
}

/* Tensors that are no part of what reads and writes, or that are computed anew. */
static bool passed_over(const char *name)
{
    static const char *const parts[] = {"vision_tower.", "model.vision_tower.", "multi_modal_projector.",
                                        "model.multi_modal_projector."};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strncmp(name, parts[i], strlen(parts[i])))
            return true;
    return ste_ends_in(name, ".rotary_emb.inv_freq");
}

static int check_index(const struct shards *s, const struct ste_strings *names, const json_t *index)
{
    const char *tensor;
    json_t *v;
    json_object_foreach(json_object_get(index, "weight_map"), tensor, v)
    {
        const size_t i = ste_strings_place((struct ste_strings *)(uintptr_t)names, json_string_value(v));
        if (!ste_safetensors_find(&s->files[i], tensor))
            return ste_err_set(s->f->err, STE_EINPUT, "%s/%s lacks the tensor '%.80s', which %s says it has", s->f->dir,
                               names->items[i], tensor, index_name);
    }
    return 0;
}

static int open_shards(struct shards *s)
{
    struct ste_strings names = {0};
    json_t *index;
    size_t n = 0;
    int rc = ste_folder_shards(s->f->dir, &names, &index, s->f->err);
    s->files = ste_xcalloc(names.n, sizeof *s->files);
    for (size_t i = 0; i < names.n && !rc; i++) {
        char *path = ste_path_join(s->f->dir, names.items[i]);
        struct ste_safetensors *st = &s->files[i];
        rc = ste_safetensors_open(st, path, s->f->err);
        ste_xfree(path);
        s->n = i + 1;
        n += st->n;
    }
    if (!rc)
        rc = check_index(s, &names, index);
    s->found = ste_xcalloc(n, sizeof *s->found);
    for (size_t i = 0; i < s->n && !rc; i++)
        for (size_t k = 0; k < s->files[i].n; k++) {
            const struct ste_st_tensor *t = &s->files[i].tensors[k];
            s->found[s->n_found++] = (struct found){t, plain_name(s->f->g, t->name), passed_over(t->name)};
        }
    json_decref(index);
    ste_strings_clear(&names);
    return rc;
}

/* The maps pass to the GGUF, whose tensors lie in them. */
static void close_shards(struct shards *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct ste_safetensors *st = &s->files[i];
        if (st->map)
            ste_gguf_keep_map(s->f->g, st->map, st->map_size, st->data_start);
        st->map = NULL;
        ste_safetensors_close(st);
    }
    ste_xfree(s->files);
    ste_xfree(s->found);
}

/* Takes the tensor NAME; NULL: there is none. */
static const struct ste_st_tensor *take(struct shards *s, const char *name)
{
    for (size_t i = 0; i < s->n_found; i++)
        if (!strcmp(s->found[i].name, name)) {
            s->found[i].used = true;
            return s->found[i].t;
        }
    return NULL;
}

static const enum ste_type types[] = {[STE_ST_F32] = STE_F32, [STE_ST_F16] = STE_F16, [STE_ST_BF16] = STE_BF16};

/* Norms and biases: f32, with PLUS added. */
static int add_vector(struct shards *s, const struct ste_st_tensor *t, const char *name, float plus)
{
    float *v = ste_gguf_keep_small(s->f->g, ste_xmalloc(t->shape[0] * sizeof *v));
    ste_dequantize(types[t->type], t->data, v, t->shape[0]);
    for (uint64_t i = 0; i < t->shape[0]; i++)
        v[i] += plus;
    return ste_gguf_add(s->f->g, name, STE_F32, 1, t->shape, v, s->f->err);
}

/* ROWS rows of a matrix, from FIRST on. A file may have its tensors at any address; where the type cannot be read
 * there, they are copied. */
static int add_matrix(struct shards *s, const struct ste_st_tensor *t, const char *name, uint64_t first, uint64_t rows)
{
    const uint64_t shape[] = {t->shape[1], rows}, row = t->size / t->shape[0], size = row * rows;
    const void *data = (const char *)t->data + row * first;
    if ((uintptr_t)data % ste_type_bytes(types[t->type])) {
        void *copy;
        int rc = ste_big_alloc(&copy, size, "weights that lie at an odd place in their file", s->f->err);
        if (rc)
            return rc;
        ste_gguf_keep(s->f->g, copy, size);
        data = memcpy(copy, data, size);
    }
    return ste_gguf_add(s->f->g, name, types[t->type], 2, shape, data, s->f->err);
}

/* FROM under its name TO, if the folder has it. */
static int add(struct shards *s, const char *from, const char *to, float plus)
{
    const struct ste_st_tensor *t = take(s, from);
    if (!t)
        return 0;
    if (t->n_dims != 1 && t->n_dims != 2)
        return ste_err_set(s->f->err, STE_EINPUT, "%s: tensor '%.80s' has %d dimensions, which ste does not read",
                           s->f->dir, t->name, t->n_dims);
    if (!t->size)
        return ste_err_set(s->f->err, STE_EINPUT, "%s: tensor '%.80s' is empty", s->f->dir, t->name);
    return t->n_dims == 1 ? add_vector(s, t, to, plus) : add_matrix(s, t, to, 0, t->shape[0]);
}

/* A linear layer, and its bias if there is one. */
static int add_linear(struct shards *s, int layer, const char *hf, const char *gguf)
{
    static const char *const ends[] = {"weight", "bias"};
    int rc = 0;
    for (size_t i = 0; i < 2 && !rc; i++) {
        char from[160], to[96];
        snprintf(from, sizeof from, "model.layers.%d.%s.%s", layer, hf, ends[i]);
        snprintf(to, sizeof to, "blk.%d.%s.%s", layer, gguf, ends[i]);
        rc = add(s, from, to, 0);
    }
    return rc;
}

/* Layers of one width that are one here and none in GGUF files: the rows of each under its name there. */
static int add_split(struct shards *s, int layer, const struct ste_fused *f)
{
    char name[160];
    int rc = 0;
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, f->peft);
    const struct ste_st_tensor *t = take(s, name);
    if (!t)
        return 0;
    if (t->n_dims != 2 || !t->size || t->shape[0] % (uint64_t)f->n)
        return ste_err_set(s->f->err, STE_EINPUT, "%s: tensor '%.80s' is not %d matrices of one shape", s->f->dir,
                           t->name, f->n);
    const uint64_t rows = t->shape[0] / (uint64_t)f->n;
    for (int i = 0; i < f->n && !rc; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, s->f->arch->linear[(int)f->first + i].gguf);
        rc = add_matrix(s, t, name, (uint64_t)i * rows, rows);
    }
    return rc;
}

static int add_layer(struct shards *s, int layer)
{
    const struct ste_arch *arch = s->f->arch;
    int rc = 0;
    for (int n = 0; n < STE_N_NORM && !rc; n++)
        if (arch->norm[n].hf) {
            char from[160], to[96];
            snprintf(from, sizeof from, "model.layers.%d.%s.weight", layer, arch->norm[n].hf);
            snprintf(to, sizeof to, "blk.%d.%s.weight", layer, arch->norm[n].gguf);
            rc = add(s, from, to, arch->hf.norm_plus);
        }
    for (const struct ste_fused *f = arch->fused; f < arch->fused + STE_MAX_FUSED && !rc && f->peft; f++)
        rc = f->gguf ? add_linear(s, layer, f->peft, f->gguf) : add_split(s, layer, f);
    for (int l = 0; l < STE_N_LINEAR && !rc; l++)
        rc = add_linear(s, layer, arch->linear[l].peft, arch->linear[l].gguf);
    return rc;
}

/* The embedding may have rows for which there is no token: the architecture says whether they stay. */
static int add_embedding(struct shards *s, const char *from, const char *to)
{
    const struct ste_st_tensor *t = take(s, from);
    struct ste_str *tokens;
    uint64_t n;
    if (!t)
        return 0;
    if (t->n_dims != 2 || !t->size)
        return ste_err_set(s->f->err, STE_EINPUT, "%s: tensor '%.80s' is no matrix", s->f->dir, t->name);
    n = t->shape[0];
    if (s->f->arch->hf.cuts_vocabulary && ste_gguf_strings(s->f->g, "tokenizer.ggml.tokens", &tokens, &n))
        ste_xfree(tokens);
    return add_matrix(s, t, to, 0, n < t->shape[0] ? n : t->shape[0]);
}

static int check_all_used(const struct shards *s)
{
    for (size_t i = 0; i < s->n_found; i++)
        if (!s->found[i].used)
            return ste_err_set(s->f->err, STE_EINPUT,
                               "%s has a tensor '%.80s', which ste does not compute for %s models", s->f->dir,
                               s->found[i].t->name, s->f->arch->name);
    return 0;
}

static int add_all(struct shards *s)
{
    struct ste_folder *f = s->f;
    const int n_layers = (int)json_integer_value(ste_folder_get(f, "num_hidden_layers"));
    const json_t *tied = ste_folder_get(f, "tie_word_embeddings");
    int rc;
    if ((rc = add_embedding(s, "model.embed_tokens.weight", "token_embd.weight")) ||
        (rc = add(s, "model.norm.weight", "output_norm.weight", f->arch->hf.norm_plus)))
        return rc;
    if (json_is_true(tied))
        take(s, "lm_head.weight"); /* the embedding again */
    else if ((rc = add_embedding(s, "lm_head.weight", "output.weight")))
        return rc;
    if (json_is_false(tied) && !ste_gguf_tensor(f->g, "output.weight"))
        return ste_err_set(f->err, STE_EINPUT,
                           "%s lacks the tensor 'lm_head.weight', and %s says that it is not the "
                           "embedding (tie_word_embeddings)",
                           f->dir, f->path);
    for (int i = 0; i < n_layers && !rc; i++)
        rc = add_layer(s, i);
    return rc ? rc : check_all_used(s);
}

int ste_folder_tensors(struct ste_folder *f)
{
    struct shards s = {.f = f};
    int rc = open_shards(&s);
    if (!rc)
        rc = add_all(&s);
    close_shards(&s);
    return rc;
}
