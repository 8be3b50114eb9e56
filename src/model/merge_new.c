/* The folder of a merged model whose base is a GGUF file: config.json out of its keys, tokenizer.json out of its
 * vocabulary, the tensors under their names there with the rows of Q and K in its order. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "model/merge.h"
#include "model/merge_internal.h"
#include "model/quantize.h"

#define SHARD ((uint64_t)5000000000) /* bytes, as transformers has it */
#define PIECE ((uint64_t)4 << 20)

static int put_json(const char *dir, const char *name, json_t *j, struct ste_err *err)
{
    char *path = ste_path_join(dir, name), *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    int rc = text ? ste_file_write(path, text, strlen(text), err)
                  : ste_err_set(err, STE_EINPUT, "cannot write %s: a text of the base is not UTF-8", path);
    json_decref(j);
    ste_xfree(text);
    ste_xfree(path);
    return rc;
}

/* ---- config.json ---- */

static const struct {
    const char *arch, *class;
} classes[] = {{"llama", "LlamaForCausalLM"}, {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}};

/* The class of the model; NULL: it has what no config is made for here. */
static const char *class_of(const struct ste_model *m)
{
    char key[96];
    struct ste_str s;
    snprintf(key, sizeof key, "%s.rope.scaling.type", m->hp.arch->name);
    if ((ste_gguf_string(m->gguf, key, &s) && !(s.n == 4 && !memcmp(s.s, "none", 4))) ||
        ste_gguf_tensor(m->gguf, "rope_freqs.weight"))
        return NULL;
    for (int i = 0; i < m->hp.n_layers; i++)
        if (m->layers[i].window)
            return NULL;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(classes[i].arch, m->hp.arch->name) == 0)
            return classes[i].class;
    return NULL;
}

static json_t *id_of(const struct ste_gguf *g, const char *key)
{
    int64_t id;
    return ste_gguf_int(g, key, &id) ? json_integer(id) : json_null();
}

static json_t *config(const struct ste_model *m, const char *class, enum ste_type type)
{
    const struct ste_hparams *hp = &m->hp;
    const char *dtype = type == STE_F32 ? "float32" : type == STE_F16 ? "float16" : "bfloat16";
    char key[96];
    double base = 10000;
    snprintf(key, sizeof key, "%s.rope.freq_base", hp->arch->name);
    ste_gguf_real(m->gguf, key, &base);
    return json_pack("{s:[s], s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:{s:s, s:f}, s:b, s:b, s:b, "
                     "s:o, s:o, s:s}",
                     "architectures", class, "model_type", hp->arch->name, "hidden_act", "silu", "hidden_size",
                     hp->d_model, "intermediate_size", hp->d_ff, "num_hidden_layers", hp->n_layers,
                     "num_attention_heads", hp->n_heads, "num_key_value_heads", hp->n_kv_heads, "head_dim",
                     hp->head_dim, "vocab_size", hp->n_vocab, "max_position_embeddings", hp->n_ctx_train,
                     "rms_norm_eps", hp->rms_eps, "rope_theta", base, "rope_parameters", "rope_type", "default",
                     "rope_theta", base, "tie_word_embeddings", m->output == m->embedding, "attention_bias",
                     m->layers[0].bias[STE_Q] != NULL, "mlp_bias", m->layers[0].bias[STE_UP] != NULL, "bos_token_id",
                     id_of(m->gguf, "tokenizer.ggml.bos_token_id"), "eos_token_id",
                     id_of(m->gguf, "tokenizer.ggml.eos_token_id"), "torch_dtype", dtype);
}

/* ---- weights ---- */

/* A tensor under its name in the folder. Its rows come in blocks of HEAD, turned; 0: as they are. */
struct named {
    char name[160];
    const struct ste_tensor *t;
    uint64_t head, size; /* SIZE: bytes, as it is written */
};

struct names {
    struct named *items;
    size_t n;
};

static void name(struct names *l, const struct ste_tensor *t, uint64_t head, enum ste_type type, const char *format,
                 int layer, const char *part)
{
    if (!t)
        return;
    struct named *to = &l->items[l->n++];
    snprintf(to->name, sizeof to->name, format, layer, part);
    to->t = t;
    to->head = head;
    to->size = t->shape[0] * ste_tensor_rows(t) * ste_type_bytes(type);
}

static void name_all(struct names *l, const struct ste_model *m, enum ste_type type)
{
    const struct ste_arch *arch = m->hp.arch;
    l->items = ste_xcalloc(ste_gguf_n_tensors(m->gguf) + 1, sizeof *l->items);
    name(l, m->embedding, 0, type, "model.embed_tokens.weight", 0, "");
    for (int i = 0; i < m->hp.n_layers; i++) {
        for (int n = 0; n < STE_N_NORM; n++)
            name(l, m->layers[i].norm[n], 0, type, "model.layers.%d.%s.weight", i, arch->norm[n].hf);
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const uint64_t head = m->hp.interleaved && (k == STE_Q || k == STE_K) ? (uint64_t)m->hp.head_dim : 0;
            name(l, m->layers[i].linear[k], head, type, "model.layers.%d.%s.weight", i, arch->linear[k].peft);
            name(l, m->layers[i].bias[k], head, type, "model.layers.%d.%s.bias", i, arch->linear[k].peft);
        }
    }
    name(l, m->output_norm, 0, type, "model.norm.weight", 0, "");
    if (m->output != m->embedding)
        name(l, m->output, 0, type, "lm_head.weight", 0, "");
}

/* The rows of a head as Hugging Face's files have them. */
static void turn(const float *from, float *to, uint64_t head, uint64_t cols)
{
    for (uint64_t r = 0; r < head; r++)
        memcpy(to + ste_hf_row(r, head) * cols, from + r * cols, cols * sizeof *to);
}

static int put_tensor(struct ste_file_writer *out, const struct ste_merge *g, const struct named *x, enum ste_type type,
                      struct ste_err *err)
{
    const bool vector = x->t->n_dims == 1;
    const uint64_t cols = vector ? 1 : x->t->shape[0], rows = vector ? x->t->shape[0] : ste_tensor_rows(x->t),
                   bytes = x->t->size / (vector ? 1 : rows), step = x->head ? x->head : 1 + PIECE / (cols * 4);
    float *row = ste_xmalloc((vector ? rows : step * cols) * sizeof *row),
          *turned = ste_xmalloc(step * cols * sizeof *row);
    char *written = ste_xmalloc(step * cols * ste_type_bytes(type));
    int rc = 0;
    if (vector)
        ste_dequantize(x->t->type, x->t->data, row, rows);
    for (uint64_t at = 0; at < rows && !rc; at += step) {
        const uint64_t n = rows - at < step ? rows - at : step;
        const float *from = vector ? row + at : row;
        if (!vector) {
            ste_dequantize(x->t->type, (const char *)x->t->data + at * bytes, row, n * cols);
            ste_merge_add(g, x->t, at, n, row);
        }
        if (x->head) {
            turn(from, turned, x->head, cols);
            from = turned;
        }
        rc = ste_quantize(type, from, written, n * cols, g->pool)
                 ? ste_file_put(out, written, n * cols * ste_type_bytes(type), err)
                 : ste_err_set(err, STE_EINPUT, "tensor '%s' has a weight that is not finite as %s; export it as F32",
                               x->t->name, ste_type_name(type));
    }
    ste_xfree(written);
    ste_xfree(turned);
    ste_xfree(row);
    return rc;
}

/* The tensors FROM to TO as the safetensors file NAME. */
static int put_shard(const struct ste_merge *g, const struct names *l, size_t from, size_t to, enum ste_type type,
                     const char *dir, const char *file, struct ste_err *err)
{
    json_t *head = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    uint64_t offset = 0;
    for (size_t i = from; i < to; i++) {
        const struct named *x = &l->items[i];
        json_t *shape = x->t->n_dims == 1 ? json_pack("[I]", (json_int_t)x->t->shape[0])
                                          : json_pack("[I, I]", (json_int_t)x->t->shape[1], (json_int_t)x->t->shape[0]);
        json_object_set_new(head, x->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", ste_type_name(type), "shape", shape,
                                      "data_offsets", (json_int_t)offset, (json_int_t)(offset + x->size)));
        offset += x->size;
    }
    struct ste_buf b = STE_BUF_INIT;
    char *text = json_dumps(head, JSON_COMPACT), *path = ste_path_join(dir, file);
    ste_buf_adds(&b, text);
    while (b.len % 8)
        ste_buf_addc(&b, ' ');
    const uint64_t size = b.len;
    struct ste_file_writer *out = NULL;
    int rc = ste_file_create(&out, path, false, err);
    if (!rc && (rc = ste_file_put(out, &size, sizeof size, err)) == 0)
        rc = ste_file_put(out, b.s, b.len, err);
    for (size_t i = from; i < to && !rc; i++)
        rc = put_tensor(out, g, &l->items[i], type, err);
    if (rc)
        ste_file_abort(out);
    else
        rc = ste_file_commit(out, err);
    json_decref(head);
    ste_buf_clear(&b);
    ste_xfree(text);
    ste_xfree(path);
    return rc;
}

static size_t end_of_shard(const struct names *l, size_t from)
{
    uint64_t size = 0;
    size_t to = from;
    while (to < l->n && (to == from || size + l->items[to].size <= SHARD))
        size += l->items[to++].size;
    return to;
}

static int put_weights(const struct ste_merge *g, enum ste_type type, const char *dir, struct ste_err *err)
{
    struct names l = {0};
    json_t *map = json_object();
    uint64_t total = 0;
    int shards = 0, at = 0, rc = 0;
    name_all(&l, g->model, type);
    for (size_t i = 0; i < l.n; i = end_of_shard(&l, i))
        shards++;
    for (size_t i = 0, to; i < l.n && !rc; i = to) {
        char file[64] = "model.safetensors";
        to = end_of_shard(&l, i);
        if (shards > 1)
            snprintf(file, sizeof file, "model-%05d-of-%05d.safetensors", ++at, shards);
        rc = put_shard(g, &l, i, to, type, dir, file, err);
        for (size_t k = i; k < to; k++) {
            json_object_set_new(map, l.items[k].name, json_string(file));
            total += l.items[k].size;
        }
    }
    if (!rc && shards > 1)
        rc = put_json(dir, "model.safetensors.index.json",
                      json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)total, "weight_map", map), err);
    json_decref(map);
    ste_xfree(l.items);
    return rc;
}

int ste_merge_make_folder(const struct ste_merge *g, const char *dir, struct ste_err *err)
{
    const struct ste_model *m = g->model;
    const struct ste_mix *mix = g->mix ? g->mix : ste_merge_mix(m);
    const char *class = class_of(m);
    int rc;
    if (!class)
        return ste_err_set(
            err, STE_EUSAGE,
            "no folder is made of the GGUF file %s: that is done for plain llama, qwen2 and qwen3 models; "
            "name a .gguf file, or give the base as a folder",
            ste_gguf_path(m->gguf));
    if (mix->type != STE_F32 && mix->type != STE_F16 && mix->type != STE_BF16)
        return ste_err_set(err, STE_EUSAGE, "a folder has weights of F32, F16 or BF16, not %s; name a .gguf file",
                           mix->name);
    if ((rc = ste_merge_put_tokenizer(m, dir, err)) ||
        (rc = put_json(dir, "config.json", config(m, class, mix->type), err)))
        return rc;
    return put_weights(g, mix->type, dir, err);
}
