#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/mem.h"
#include "model/chat.h"
#include "model/folder.h"
#include "model/mix.h"
#include "model/positions.h"

/* ---- hyperparameters ---- */

struct reader {
    struct ste_model *m;
    const struct ste_arch *arch;
    struct ste_err *err;
};

/* Those that every architecture has. */
static const struct ste_key usual_keys[] = {
    STE_KEY_WHOLE("block_count", n_layers, false, 1000),
    STE_KEY_WHOLE("embedding_length", d_model, false, 1 << 16),
    STE_KEY_WHOLE("feed_forward_length", d_ff, false, 1 << 20),
    STE_KEY_WHOLE("attention.head_count", n_heads, false, 1 << 12),
    STE_KEY_WHOLE("context_length", n_ctx_train, false, 1 << 30),
    STE_KEY_REAL("attention.layer_norm_rms_epsilon", rms_eps, false),
    STE_KEY_REAL("rope.freq_base", rope_base, true),
    STE_KEY_WHOLE("attention.head_count_kv", n_kv_heads, true, 1 << 12),
    STE_KEY_WHOLE("attention.key_length", head_dim, true, 1 << 12),
    STE_KEYS_END,
};

/* Whether A is what a file of the architecture NAME has, and of TYPE (STE_HF_TYPE_KEY; s NULL: it does not say). */
static bool is_arch(const struct ste_arch *a, struct ste_str name, struct ste_str type)
{
    bool fits = strlen(a->name) == name.n && !memcmp(a->name, name.s, name.n);
    if (!fits || !type.s)
        return fits;
    fits = false;
    for (size_t i = 0; a->hf.types && a->hf.types[i] && !fits; i++)
        fits = strlen(a->hf.types[i]) == type.n && !memcmp(a->hf.types[i], type.s, type.n);
    return fits;
}

static int read_arch(struct reader *r)
{
    struct ste_str s, type = {0};
    const char *path = ste_gguf_path(r->m->gguf);
    const struct ste_arch *const *known = r->arch ? (const struct ste_arch *const[]){r->arch, NULL} : ste_archs;
    int rc = ste_gguf_check_model(r->m->gguf, r->err);
    if (rc)
        return rc;
    if (!ste_gguf_string(r->m->gguf, "general.architecture", &s))
        return ste_err_set(r->err, STE_EINPUT, "%s does not name its architecture (general.architecture)", path);
    struct ste_buf names = STE_BUF_INIT;
    r->arch = NULL;
    ste_gguf_string(r->m->gguf, STE_HF_TYPE_KEY, &type);
    for (size_t i = 0; known[i]; i++) {
        if (!r->arch && is_arch(known[i], s, type))
            r->arch = known[i];
        if (i == 0 || strcmp(known[i]->name, known[i - 1]->name))
            ste_buf_addf(&names, "%s%s", i == 0 ? "" : known[i + 1] ? ", " : " and ", known[i]->name);
    }
    if (!r->arch) {
        const char *lacks = ste_arch_lacks(s.s, s.n);
        rc = ste_err_set(r->err, STE_EINPUT, "%s is of architecture '%.*s'%s%s%s; ste runs %s", path,
                         (int)(s.n < 40 ? s.n : 40), s.s, lacks ? " (" : "", lacks ? lacks : "", lacks ? ")" : "",
                         names.s);
    }
    ste_buf_clear(&names);
    r->m->hp.arch = r->arch;
    return rc;
}

/* A whole number, or an array that has it for each layer. */
static int read_whole(struct reader *r, const char *key, int64_t *v, bool *there)
{
    int64_t *each;
    uint64_t n;
    int rc = 0;
    if ((*there = ste_gguf_int(r->m->gguf, key, v)) || !(*there = ste_gguf_ints(r->m->gguf, key, &each, &n)))
        return 0;
    for (uint64_t i = 0; i < n && !rc; i++)
        if (each[i] != each[0])
            rc = ste_err_set(r->err, STE_EINPUT,
                             "%s has layers of different shapes: %s is %lld for the first and %lld for layer %llu; ste "
                             "runs models whose layers are alike",
                             ste_gguf_path(r->m->gguf), key, (long long)each[0], (long long)each[i],
                             (unsigned long long)i);
    *v = n ? each[0] : 0;
    ste_xfree(each);
    return rc;
}

static int read_int(struct reader *r, const char *name, bool optional, int max, int *out)
{
    char key[96];
    int64_t v;
    bool there;
    snprintf(key, sizeof key, "%s.%s", r->arch->name, name);
    int rc = read_whole(r, key, &v, &there);
    if (rc)
        return rc;
    if (!there)
        return optional ? 0
                        : ste_err_set(r->err, STE_EINPUT, "%s has no whole number %s", ste_gguf_path(r->m->gguf), key);
    if (v < 1 || v > max)
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %lld, not from 1 to %d", ste_gguf_path(r->m->gguf), key,
                           (long long)v, max);
    *out = (int)v;
    return 0;
}

static int read_real(struct reader *r, const struct ste_key *k, double *out)
{
    char key[96];
    double v;
    snprintf(key, sizeof key, "%s.%s", r->arch->name, k->name);
    if (!ste_gguf_real(r->m->gguf, key, &v))
        return k->optional ? 0 : ste_err_set(r->err, STE_EINPUT, "%s has no number %s", ste_gguf_path(r->m->gguf), key);
    if (!(v > 0) || !isfinite(v))
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %g, not a positive number", ste_gguf_path(r->m->gguf), key,
                           v);
    *out = k->divides ? 1 / v : v;
    return 0;
}

static int read_keys(struct reader *r, const struct ste_key *keys)
{
    int rc = 0;
    for (const struct ste_key *k = keys; !rc && k && k->name; k++) {
        void *member = (char *)&r->m->hp + k->at;
        rc = k->real ? read_real(r, k, member) : read_int(r, k->name, k->optional, k->max, member);
    }
    return rc;
}

/* What would change the forward pass and is not built must be refused, not passed over. */
static int check_nothing_else(struct reader *r)
{
    static const struct {
        const char *name, *what;
    } keys[] = {{"expert_count", "is a mixture of experts"},
                {"attn_logit_softcapping", "bounds its attention's scores"},
                {"final_logit_softcapping", "bounds its logits"}};
    char key[96];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t n = 0;
        double x = 0;
        snprintf(key, sizeof key, "%s.%s", r->arch->name, keys[i].name);
        if ((ste_gguf_int(r->m->gguf, key, &n) && n != 0) || (ste_gguf_real(r->m->gguf, key, &x) && x != 0))
            return ste_err_set(r->err, STE_EINPUT, "%s %s (%s), which ste does not do", ste_gguf_path(r->m->gguf),
                               keys[i].what, key);
    }
    return 0;
}

static int read_hparams(struct reader *r)
{
    struct ste_hparams *hp = &r->m->hp;
    const char *path = ste_gguf_path(r->m->gguf);
    int rc;
    hp->rope_base = 10000;
    hp->rope = ste_gguf_is_folder(r->m->gguf) ? STE_ROPE_HALVES : r->arch->rope;
    hp->interleaved = r->arch->interleaved && !ste_gguf_is_folder(r->m->gguf);
    hp->embedding_scale = hp->residual_scale = hp->output_scale = 1;
    if ((rc = read_keys(r, usual_keys)))
        return rc;
    if (!hp->n_kv_heads)
        hp->n_kv_heads = hp->n_heads;
    if (hp->n_heads % hp->n_kv_heads)
        return ste_err_set(r->err, STE_EINPUT, "%s: %d attention heads cannot share %d key-value heads", path,
                           hp->n_heads, hp->n_kv_heads);
    if (!hp->head_dim && hp->d_model % hp->n_heads == 0)
        hp->head_dim = hp->d_model / hp->n_heads;
    int value_dim = hp->head_dim;
    if ((rc = read_int(r, "attention.value_length", true, 1 << 12, &value_dim)))
        return rc;
    if (!hp->head_dim || hp->head_dim % 2 || value_dim != hp->head_dim)
        return ste_err_set(r->err, STE_EINPUT, "%s: a width of %d does not divide into %d heads of an even width", path,
                           hp->d_model, hp->n_heads);
    hp->attn_scale = (double)(1.0f / sqrtf((float)hp->head_dim));
    if (r->arch->defaults)
        r->arch->defaults(hp);
    if ((rc = read_keys(r, r->arch->keys)))
        return rc;
    r->m->layers = ste_xcalloc((size_t)hp->n_layers, sizeof *r->m->layers);
    rc = check_nothing_else(r);
    return rc ? rc : ste_positions_read(r->m, r->err);
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

/* The linear layers of F: tensors of their own, or the rows of one, each as a tensor in SLICES. */
static int get_fused(struct reader *r, int i, const struct ste_fused *f, struct ste_tensor *slices)
{
    const struct ste_hparams *hp = &r->m->hp;
    const struct ste_tensor *all;
    char name[96];
    int rows = 0, out, in, rc;
    for (int l = f->first; l < (int)f->first + f->n; l++) {
        ste_linear_shape(hp, (enum ste_linear)l, &out, &in);
        rows += out;
    }
    snprintf(name, sizeof name, "blk.%d.%s.weight", i, f->gguf);
    if ((rc = get(r, name, in, rows, &all)))
        return rc;
    const char *data = all->data;
    for (int l = f->first; l < (int)f->first + f->n; l++) {
        ste_linear_shape(hp, (enum ste_linear)l, &out, &in);
        slices[l] = *all;
        slices[l].shape[1] = (uint64_t)out;
        slices[l].data = data;
        slices[l].size = all->size / (uint64_t)rows * (uint64_t)out;
        data += slices[l].size;
        r->m->layers[i].linear[l] = &slices[l];
        r->m->layers[i].fused[l] = f;
    }
    return 0;
}

static bool has_own_tensor(const struct reader *r, int i, enum ste_linear l)
{
    char name[96];
    snprintf(name, sizeof name, "blk.%d.%s.weight", i, r->arch->linear[l].gguf);
    return ste_gguf_tensor(r->m->gguf, name) != NULL;
}

static int get_linear(struct reader *r, int i, enum ste_linear l)
{
    struct ste_layer *layer = &r->m->layers[i];
    char name[96];
    int out, in, rc = 0;
    ste_linear_shape(&r->m->hp, l, &out, &in);
    snprintf(name, sizeof name, "blk.%d.%s.weight", i, r->arch->linear[l].gguf);
    if (!layer->linear[l])
        rc = get(r, name, in, out, &layer->linear[l]);
    snprintf(name, sizeof name, "blk.%d.%s.bias", i, r->arch->linear[l].gguf);
    if (!rc && (r->arch->bias[l] || (r->arch->may_have_biases && ste_gguf_tensor(r->m->gguf, name))))
        rc = get(r, name, out, 0, &layer->bias[l]);
    return rc;
}

static int get_layer(struct reader *r, int i)
{
    const struct ste_hparams *hp = &r->m->hp;
    struct ste_layer *layer = &r->m->layers[i];
    char name[96];
    int rc = 0;
    for (int n = 0; n < STE_N_NORM && !rc; n++)
        if (r->arch->norm[n].gguf) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, r->arch->norm[n].gguf);
            rc = get(r, name, ste_width(hp, r->arch->norm[n].width), 0, &layer->norm[n]);
        }
    for (const struct ste_fused *f = r->arch->fused; f < r->arch->fused + STE_MAX_FUSED && !rc; f++)
        if (f->gguf && !has_own_tensor(r, i, f->first))
            rc = get_fused(r, i, f, r->m->slices + (size_t)i * STE_N_LINEAR);
    for (int l = 0; l < STE_N_LINEAR && !rc; l++)
        rc = get_linear(r, i, (enum ste_linear)l);
    return rc;
}

static bool is_used(const struct ste_model *m, const struct ste_tensor *t)
{
    if (t == m->embedding || t == m->output || t == m->output_norm)
        return true;
    for (size_t i = 0; i < sizeof m->rope_divisors / sizeof *m->rope_divisors; i++)
        if (t == m->rope_divisors[i])
            return true;
    for (int i = 0; i < m->hp.n_layers; i++) {
        for (int n = 0; n < STE_N_NORM; n++)
            if (t == m->layers[i].norm[n])
                return true;
        for (int l = 0; l < STE_N_LINEAR; l++) /* the first rows of a fused one lie where it does */
            if (t->data == m->layers[i].linear[l]->data || t == m->layers[i].bias[l])
                return true;
    }
    return false;
}

/* A tensor that no description names is a part of the model that would silently be left out. */
static int check_all_used(struct reader *r)
{
    for (uint64_t i = 0; i < ste_gguf_n_tensors(r->m->gguf); i++) {
        const struct ste_tensor *t = ste_gguf_tensor_at(r->m->gguf, i);
        if (!is_used(r->m, t))
            return ste_err_set(r->err, STE_EINPUT, "%s has a tensor '%s', which ste does not compute for %s models",
                               ste_gguf_path(r->m->gguf), t->name, r->arch->name);
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
    m->slices = ste_xcalloc((size_t)hp->n_layers * STE_N_LINEAR, sizeof *m->slices);
    for (int i = 0; i < hp->n_layers && !rc; i++)
        rc = get_layer(r, i);
    return rc ? rc : check_all_used(r);
}

/* ---- the file ---- */

int ste_model_read(struct ste_gguf **out, const char *path, struct ste_err *err)
{
    return ste_is_folder(path) ? ste_folder_open(out, path, err) : ste_gguf_open(out, path, err);
}

/* That of a file is its SHA-256; that of several, the SHA-256 of theirs. */
int ste_model_hash(const char *path, char out[65], struct ste_err *err)
{
    if (ste_is_folder(path))
        return ste_folder_hash(path, out, err);
    char *first = ste_gguf_part_path(path, 0), *part = ste_gguf_part_path(path, 1);
    int rc = ste_sha256_file_kept(first ? first : path, out, err);
    if (part) {
        struct ste_hasher *h = ste_hasher_new();
        ste_hasher_adds(h, out);
        for (int i = 1; part && !rc; part = ste_gguf_part_path(path, ++i)) {
            rc = ste_sha256_file_kept(part, out, err);
            ste_hasher_adds(h, out);
            ste_xfree(part);
        }
        ste_hasher_hex(h, out);
    }
    ste_xfree(part);
    ste_xfree(first);
    return rc;
}

static int open_model(struct ste_model *m, const char *path, const struct ste_arch *arch, struct ste_err *err)
{
    struct reader r = {m, arch, err};
    int rc;
    if ((rc = ste_model_read(&m->gguf, path, err)) || (rc = read_arch(&r)) || (rc = read_hparams(&r)) ||
        (rc = ste_tokenizer_new(&m->tokenizer, m->gguf, err)) || (rc = get_tensors(&r)) ||
        (rc = ste_model_hash(path, m->sha256, err)))
        return rc;
    return ste_chat_choose(m, NULL, NULL, err);
}

int ste_model_open_as(struct ste_model **out, const char *path, const struct ste_arch *arch, struct ste_err *err)
{
    struct ste_model *m = ste_xcalloc(1, sizeof *m);
    int rc = open_model(m, path, arch, err);
    *out = m;
    if (rc) {
        ste_model_close(m);
        *out = NULL;
    }
    return rc;
}

int ste_model_open(struct ste_model **out, const char *path, struct ste_err *err)
{
    return ste_model_open_as(out, path, NULL, err);
}

int ste_model_load_as(struct ste_model *m, const char *type, struct ste_err *err)
{
    if (!type || !*type)
        return 0;
    m->load_as = ste_mix_of(type);
    if (!m->load_as)
        return ste_err_set(err, STE_EUSAGE, "weights cannot be loaded as '%.40s'; they can as %s", type,
                           ste_mix_names());
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_adds(h, m->sha256);
    ste_hasher_adds(h, m->load_as->name);
    ste_hasher_hex(h, m->sha256);
    return 0;
}

enum ste_type ste_model_type(const struct ste_model *m, const struct ste_tensor *t)
{
    return m->load_as && ste_type_block(t->type) == 1
               ? ste_mix_type(m->load_as, t, m->hp.n_layers, m->output == m->embedding)
               : t->type;
}

void ste_model_close(struct ste_model *m)
{
    if (!m)
        return;
    ste_xfree(m->layers);
    ste_xfree(m->slices);
    ste_chat_free(m->chat);
    ste_tokenizer_free(m->tokenizer);
    ste_gguf_close(m->gguf);
    ste_xfree(m);
}

int ste_tokens_read(const json_t *row, const char *key, const struct ste_model *m, const char *where,
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
