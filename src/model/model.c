#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "model/chat.h"

const char *const ste_linear_peft_name[STE_N_LINEAR] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                        "gate_proj", "up_proj", "down_proj"};
const char *const ste_linear_peft_path[STE_N_LINEAR] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                        "mlp.down_proj"};
const char *const ste_linear_gguf_name[STE_N_LINEAR] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                        "ffn_gate", "ffn_up", "ffn_down"};

/* What tells one architecture from another. Keys are NAME.block_count and so on. */
static const struct architecture {
    const char *name;
    enum ste_rope rope;
    bool qkv_bias; /* required, otherwise forbidden */
} architectures[] = {
    {"llama", STE_ROPE_ADJACENT, false},
    {"qwen2", STE_ROPE_HALVES, true},
};

void ste_linear_shape(const struct ste_hparams *hp, enum ste_linear l, int *out, int *in)
{
    int q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    const int outs[STE_N_LINEAR] = {q, kv, kv, hp->d_model, hp->d_ff, hp->d_ff, hp->d_model};
    *out = outs[l];
    *in = l == STE_O ? q : l == STE_DOWN ? hp->d_ff : hp->d_model;
}

/* ---- hyperparameters ---- */

struct reader {
    struct ste_model *m;
    const struct architecture *arch;
    struct ste_err *err;
};

static int read_arch(struct reader *r)
{
    struct ste_str s;
    const char *path = ste_gguf_path(r->m->gguf);
    int rc = ste_gguf_check_model(r->m->gguf, r->err);
    if (rc)
        return rc;
    if (!ste_gguf_string(r->m->gguf, "general.architecture", &s))
        return ste_err_set(r->err, STE_EINPUT, "%s does not name its architecture (general.architecture)", path);
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strlen(architectures[i].name) == s.n && !memcmp(architectures[i].name, s.s, s.n))
            r->arch = &architectures[i];
    if (!r->arch)
        return ste_err_set(r->err, STE_EINPUT, "%s is of architecture '%.*s'; ste runs llama and qwen2", path,
                           (int)(s.n < 40 ? s.n : 40), s.s);
    r->m->arch = r->arch->name;
    return 0;
}

static int read_int(struct reader *r, const char *name, int max, int *out)
{
    char key[96];
    int64_t v;
    snprintf(key, sizeof key, "%s.%s", r->arch->name, name);
    if (!ste_gguf_int(r->m->gguf, key, &v))
        return ste_err_set(r->err, STE_EINPUT, "%s has no whole number %s", ste_gguf_path(r->m->gguf), key);
    if (v < 1 || v > max)
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %lld, not from 1 to %d", ste_gguf_path(r->m->gguf), key,
                           (long long)v, max);
    *out = (int)v;
    return 0;
}

static int read_optional_int(struct reader *r, const char *name, int max, int *out)
{
    char key[96];
    int64_t v;
    snprintf(key, sizeof key, "%s.%s", r->arch->name, name);
    return ste_gguf_int(r->m->gguf, key, &v) ? read_int(r, name, max, out) : 0;
}

static int read_real(struct reader *r, const char *name, bool required, double *out)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", r->arch->name, name);
    if (!ste_gguf_real(r->m->gguf, key, out) && required)
        return ste_err_set(r->err, STE_EINPUT, "%s has no number %s", ste_gguf_path(r->m->gguf), key);
    if (!(*out > 0) || !isfinite(*out))
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %g, not a positive number", ste_gguf_path(r->m->gguf), key,
                           *out);
    return 0;
}

/* What KEY says, a number of either kind; IF_NONE without it. */
static double number(const struct reader *r, const char *key, double if_none)
{
    double x;
    int64_t i;
    return ste_gguf_real(r->m->gguf, key, &x) ? x : ste_gguf_int(r->m->gguf, key, &i) ? (double)i : if_none;
}

/* Positions that are divided by a factor before RoPE: rope.scaling.type says how, and without it a factor, under its
 * new name or its old one, is a linear one. 1 (and 0, with which some writers say "none") changes nothing. */
static int check_scaling(struct reader *r)
{
    static const char *const factors[] = {"rope.scaling.factor", "rope.scale_linear", "rope.scale"};
    const char *path = ste_gguf_path(r->m->gguf);
    char key[96];
    struct ste_str s = {0};
    snprintf(key, sizeof key, "%s.rope.scaling.type", r->arch->name);
    const bool said = ste_gguf_string(r->m->gguf, key, &s);
    if (said && s.n == 4 && !memcmp(s.s, "none", 4))
        return 0;
    if (said && !(s.n == 6 && !memcmp(s.s, "linear", 6)))
        return ste_err_set(r->err, STE_EINPUT,
                           "%s stretches its positions (%s is %.*s), which ste does not do; use a file that was made "
                           "without",
                           path, key, (int)(s.n < 20 ? s.n : 20), s.s);
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        snprintf(key, sizeof key, "%s.%s", r->arch->name, factors[i]);
        const double factor = number(r, key, 1);
        if (factor != 1 && factor != 0)
            return ste_err_set(r->err, STE_EINPUT,
                               "%s stretches its positions by %g (%s), which ste does not do; use a file that was made "
                               "without",
                               path, factor, key);
    }
    return 0;
}

/* What would change the forward pass and is not built must be refused, not passed over. */
static int check_nothing_else(struct reader *r, int rope_dims)
{
    const struct ste_hparams *hp = &r->m->hp;
    const char *path = ste_gguf_path(r->m->gguf);
    char key[96];
    int64_t v;
    int rc = check_scaling(r);
    if (rc)
        return rc;
    if (ste_gguf_tensor(r->m->gguf, "rope_freqs.weight"))
        return ste_err_set(r->err, STE_EINPUT, "%s stretches its positions (rope_freqs.weight), which ste does not do",
                           path);
    snprintf(key, sizeof key, "%s.expert_count", r->arch->name);
    if (ste_gguf_int(r->m->gguf, key, &v) && v > 0)
        return ste_err_set(r->err, STE_EINPUT, "%s is a mixture of experts (%s), which ste does not run", path, key);
    if (rope_dims != hp->head_dim)
        return ste_err_set(r->err, STE_EINPUT, "%s turns only %d of a head's %d dimensions, which ste does not do",
                           path, rope_dims, hp->head_dim);
    return 0;
}

static int read_hparams(struct reader *r)
{
    struct ste_hparams *hp = &r->m->hp;
    const char *path = ste_gguf_path(r->m->gguf);
    int rc;
    hp->rope = r->arch->rope;
    hp->rope_base = 10000;
    if ((rc = read_int(r, "block_count", 1000, &hp->n_layers)) ||
        (rc = read_int(r, "embedding_length", 1 << 16, &hp->d_model)) ||
        (rc = read_int(r, "feed_forward_length", 1 << 20, &hp->d_ff)) ||
        (rc = read_int(r, "attention.head_count", 1 << 12, &hp->n_heads)) ||
        (rc = read_int(r, "context_length", 1 << 30, &hp->n_ctx_train)) ||
        (rc = read_real(r, "attention.layer_norm_rms_epsilon", true, &hp->rms_eps)) ||
        (rc = read_real(r, "rope.freq_base", false, &hp->rope_base)))
        return rc;
    hp->n_kv_heads = hp->n_heads;
    if ((rc = read_optional_int(r, "attention.head_count_kv", 1 << 12, &hp->n_kv_heads)))
        return rc;
    if (hp->n_heads % hp->n_kv_heads)
        return ste_err_set(r->err, STE_EINPUT, "%s: %d attention heads cannot share %d key-value heads", path,
                           hp->n_heads, hp->n_kv_heads);
    hp->head_dim = hp->d_model % hp->n_heads ? 0 : hp->d_model / hp->n_heads;
    if ((rc = read_optional_int(r, "attention.key_length", 1 << 12, &hp->head_dim)))
        return rc;
    int value_dim = hp->head_dim, rope_dims = hp->head_dim;
    if ((rc = read_optional_int(r, "attention.value_length", 1 << 12, &value_dim)) ||
        (rc = read_optional_int(r, "rope.dimension_count", 1 << 12, &rope_dims)))
        return rc;
    if (!hp->head_dim || hp->head_dim % 2 || value_dim != hp->head_dim)
        return ste_err_set(r->err, STE_EINPUT, "%s: a width of %d does not divide into %d heads of an even width", path,
                           hp->d_model, hp->n_heads);
    return check_nothing_else(r, rope_dims);
}

/* ---- tensors ---- */

/* A tensor of COLS x ROWS, or of COLS when ROWS is 0, which must then be f32. */
static int get(struct reader *r, const char *name, int cols, int rows, const struct ste_tensor **out)
{
    const char *path = ste_gguf_path(r->m->gguf);
    const struct ste_tensor *t = ste_gguf_tensor(r->m->gguf, name);
    if (!t)
        return ste_err_set(r->err, STE_EINPUT, "%s lacks the tensor '%s', which a %s model has", path, name,
                           r->arch->name);
    if (t->n_dims != (rows ? 2 : 1) || t->shape[0] != (uint64_t)cols || (rows && t->shape[1] != (uint64_t)rows))
        return ste_err_set(r->err, STE_EINPUT, "%s: tensor '%s' is %llu x %llu, its keys say %d x %d", path, name,
                           (unsigned long long)t->shape[0], (unsigned long long)t->shape[1], cols, rows ? rows : 1);
    if (!rows && t->type != STE_F32)
        return ste_err_set(r->err, STE_EINPUT, "%s: tensor '%s' is of type %s, not F32", path, name,
                           ste_type_name(t->type));
    *out = t;
    return 0;
}

static int get_layer(struct reader *r, int i)
{
    const struct ste_hparams *hp = &r->m->hp;
    struct ste_layer *layer = &r->m->layers[i];
    char name[96];
    int rc, out, in;
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
    if ((rc = get(r, name, hp->d_model, 0, &layer->attn_norm)))
        return rc;
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
    if ((rc = get(r, name, hp->d_model, 0, &layer->ffn_norm)))
        return rc;
    for (int l = 0; l < STE_N_LINEAR; l++) {
        ste_linear_shape(hp, (enum ste_linear)l, &out, &in);
        snprintf(name, sizeof name, "blk.%d.%s.weight", i, ste_linear_gguf_name[l]);
        if ((rc = get(r, name, in, out, &layer->linear[l])))
            return rc;
        snprintf(name, sizeof name, "blk.%d.%s.bias", i, ste_linear_gguf_name[l]);
        if (r->arch->qkv_bias && l <= STE_V) {
            if ((rc = get(r, name, out, 0, &layer->bias[l])))
                return rc;
        } else if (ste_gguf_tensor(r->m->gguf, name)) {
            return ste_err_set(r->err, STE_EINPUT, "%s has a tensor '%s', which ste does not compute for %s models",
                               ste_gguf_path(r->m->gguf), name, r->arch->name);
        }
    }
    return 0;
}

static int get_tensors(struct reader *r)
{
    struct ste_model *m = r->m;
    struct ste_hparams *hp = &m->hp;
    hp->n_vocab = ste_token_count(m->tokenizer);
    int rc = get(r, "token_embd.weight", hp->d_model, hp->n_vocab, &m->embedding);
    if (!rc)
        rc = get(r, "output_norm.weight", hp->d_model, 0, &m->output_norm);
    m->output = m->embedding;
    if (!rc && ste_gguf_tensor(m->gguf, "output.weight"))
        rc = get(r, "output.weight", hp->d_model, hp->n_vocab, &m->output);
    m->layers = ste_xcalloc((size_t)hp->n_layers, sizeof *m->layers);
    for (int i = 0; i < hp->n_layers && !rc; i++)
        rc = get_layer(r, i);
    return rc;
}

/* ---- the file ---- */

static int open_model(struct ste_model *m, const char *path, struct ste_err *err)
{
    struct reader r = {m, NULL, err};
    const char *chat = getenv("STE_CHAT_TEMPLATE");
    int rc;
    if ((rc = ste_gguf_open(&m->gguf, path, err)) || (rc = read_arch(&r)) || (rc = read_hparams(&r)) ||
        (rc = ste_tokenizer_new(&m->tokenizer, m->gguf, err)) || (rc = get_tensors(&r)) ||
        (rc = ste_sha256_file_kept(path, m->sha256, err)))
        return rc;
    m->chat = chat && *chat ? ste_chat_by_name(chat) : ste_chat_recognise(m->gguf);
    if (chat && *chat && !m->chat)
        return ste_err_set(err, STE_EUSAGE,
                           "STE_CHAT_TEMPLATE names '%.60s'; chatml-smollm2 and chatml-qwen2.5 are known", chat);
    return 0;
}

int ste_model_open(struct ste_model **out, const char *path, struct ste_err *err)
{
    struct ste_model *m = ste_xcalloc(1, sizeof *m);
    int rc = open_model(m, path, err);
    *out = m;
    if (rc) {
        ste_model_close(m);
        *out = NULL;
    }
    return rc;
}

void ste_model_close(struct ste_model *m)
{
    if (!m)
        return;
    free(m->layers);
    ste_tokenizer_free(m->tokenizer);
    ste_gguf_close(m->gguf);
    free(m);
}
