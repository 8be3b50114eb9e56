#include "model/lora.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rng.h"
#include "model/safetensors.h"

static struct ste_lora *alloc_lora(int n_layers, int r, double alpha)
{
    struct ste_lora *l = ste_xcalloc(1, sizeof *l);
    l->r = r;
    l->alpha = alpha;
    l->n_layers = n_layers;
    l->factors = ste_xcalloc((size_t)n_layers, sizeof *l->factors);
    return l;
}

/* Of a layer's FACTORS those of L. */
static void alloc_pair(struct ste_lora_factors *factors, const struct ste_hparams *hp, enum ste_linear l, int r)
{
    const struct ste_fused *f = ste_fused_of(hp->arch, l);
    struct ste_lora_factors *p = &factors[l];
    ste_linear_shape(hp, l, &p->out, &p->in);
    p->shares_a = f && l > f->first;
    p->a = p->shares_a ? factors[f->first].a : ste_xcalloc((size_t)r * (size_t)p->in, sizeof *p->a);
    p->b = ste_xcalloc((size_t)r * (size_t)p->out, sizeof *p->b);
}

int ste_lora_new(struct ste_lora **out, const struct ste_hparams *hp, int r, double alpha, uint64_t seed,
                 struct ste_err *err)
{
    *out = NULL;
    if (r < 1 || r > 4096)
        return ste_err_set(err, STE_EUSAGE, "an adapter's rank must be from 1 to 4096, not %d", r);
    if (!(alpha > 0) || !isfinite(alpha))
        return ste_err_set(err, STE_EUSAGE, "an adapter's alpha must be a positive number, not %g", alpha);
    struct ste_lora *l = alloc_lora(hp->n_layers, r, alpha);
    for (int i = 0; i < hp->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            struct ste_lora_factors *p = &l->factors[i][k];
            struct ste_rng rng;
            alloc_pair(l->factors[i], hp, (enum ste_linear)k, r);
            if (p->shares_a)
                continue;
            ste_rng_init(&rng, seed, (uint32_t)(i * STE_N_LINEAR + k));
            double bound = 1 / sqrt((double)p->in);
            for (size_t n = 0; n < (size_t)r * (size_t)p->in; n++)
                p->a[n] = (float)((2 * ste_rng_uniform(&rng) - 1) * bound);
        }
    ste_lora_rehash(l);
    *out = l;
    return 0;
}

size_t ste_lora_values(const struct ste_hparams *hp, int r)
{
    size_t sum = 0;
    for (int k = 0; k < STE_N_LINEAR; k++) {
        int out, in;
        const struct ste_fused *f = ste_fused_of(hp->arch, (enum ste_linear)k);
        ste_linear_shape(hp, (enum ste_linear)k, &out, &in);
        sum += (size_t)out + (f && k > (int)f->first ? 0 : (size_t)in);
    }
    return sum * (size_t)r * (size_t)hp->n_layers;
}

void ste_lora_free(struct ste_lora *l)
{
    if (!l)
        return;
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            if (!l->factors[i][k].shares_a)
                ste_xfree(l->factors[i][k].a);
            ste_xfree(l->factors[i][k].b);
        }
    ste_xfree(l->factors);
    ste_xfree(l->head);
    ste_xfree(l);
}

void ste_lora_add_head(struct ste_lora *l, int d_model)
{
    l->head = ste_xcalloc((size_t)d_model, sizeof *l->head);
    l->n_head = d_model;
}

void ste_lora_rehash(struct ste_lora *l)
{
    struct ste_hasher *h = ste_hasher_new();
    uint64_t bits;
    memcpy(&bits, &l->alpha, sizeof bits);
    ste_hasher_addu(h, (uint64_t)l->r);
    ste_hasher_addu(h, bits);
    ste_hasher_addu(h, (uint64_t)l->n_layers);
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const struct ste_lora_factors *p = &l->factors[i][k];
            ste_hasher_addu(h, p->a ? (uint64_t)p->in : 0);
            ste_hasher_addu(h, p->a ? (uint64_t)p->out : 0);
            if (!p->a)
                continue;
            ste_hasher_add(h, p->a, (size_t)l->r * (size_t)p->in * sizeof *p->a);
            ste_hasher_add(h, p->b, (size_t)l->r * (size_t)p->out * sizeof *p->b);
        }
    if (l->head)
        ste_hasher_add(h, l->head, (size_t)l->n_head * sizeof *l->head);
    ste_hasher_hex(h, l->hash);
}

/* Row ROW of a GGUF file's tensor is this row of Hugging Face's: see interleaved in struct ste_hparams. */
static int hf_row(const struct ste_hparams *hp, enum ste_linear l, int row)
{
    const bool turned = hp->interleaved && (l == STE_Q || l == STE_K);
    return (int)ste_hf_row((uint64_t)row, turned ? (uint64_t)hp->head_dim : 0);
}

/* A layer of Hugging Face's: N linear layers from FIRST on, fused if they are several. */
struct module {
    enum ste_linear first;
    int n, out, in;
};

/* Those of a block, in the order of its linear layers; how many there are. */
static int modules_of(const struct ste_hparams *hp, struct module m[STE_N_LINEAR])
{
    int n = 0;
    for (int k = 0, out; k < STE_N_LINEAR; k += m[n++].n) {
        const struct ste_fused *f = ste_fused_of(hp->arch, (enum ste_linear)k);
        m[n] = (struct module){.first = (enum ste_linear)k, .n = f ? f->n : 1};
        for (int i = 0; i < m[n].n; i++, m[n].out += out)
            ste_linear_shape(hp, (enum ste_linear)(k + i), &out, &m[n].in);
    }
    return n;
}

/* LAYERS is where they are: "model.layers". */
static char *peft_name(struct ste_str layers, const struct ste_arch *arch, int layer, const struct module *m,
                       char matrix)
{
    return ste_xasprintf("base_model.model.%.*s.%d.%s.lora_%c.weight", (int)layers.n, layers.s, layer,
                         m->n > 1 ? ste_fused_of(arch, m->first)->peft : arch->linear[m->first].peft, matrix);
}

#define VLLM_MOST 512 /* the largest of its --max-lora-rank; llama.cpp has no such bound */

static const char *const layers_names[] = {"model.layers", "model.language_model.layers",
                                           "language_model.model.layers"}; /* the last before version 5 */

/* Of M in Hugging Face's. */
static struct ste_str layers_of(const struct ste_model *m)
{
    struct ste_str s = {layers_names[0], strlen(layers_names[0])};
    if (m->gguf)
        ste_gguf_string(m->gguf, STE_HF_LAYERS_KEY, &s);
    return s;
}

static const char base_file[] = "base.json";
static const char head_name[] = "base_model.model.score.weight", head_module[] = "score", head_task[] = "SEQ_CLS";

/* ---- reading a PEFT folder ---- */

static void read_values(const struct ste_st_tensor *t, uint64_t at, uint64_t n, float *out)
{
    const uint8_t *p = t->data; /* may lie at any address */
    for (uint64_t i = 0; i < n; i++) {
        uint16_t h;
        uint32_t u;
        if (t->type == STE_ST_F32) {
            memcpy(&out[i], p + 4 * (at + i), 4);
            continue;
        }
        memcpy(&h, p + 2 * (at + i), 2);
        u = (uint32_t)h << 16;
        if (t->type == STE_ST_F16)
            out[i] = ste_f16_to_f32(h);
        else
            memcpy(&out[i], &u, 4);
    }
}

static bool is_on(const json_t *v)
{
    return v && !json_is_null(v) && !json_is_false(v) && !(json_is_object(v) && !json_object_size(v)) &&
           !(json_is_array(v) && !json_array_size(v));
}

#define MERGE "merge it into its base (PEFT's merge_and_unload) and make a GGUF file of that"

/* PEFT's settings that change what an adapter is: y = W x + (alpha / r) B A x on the base as it stands is all that is
 * computed. */
static const struct setting {
    const char *key, *what, *help;
} settings[] = {
    {"use_dora", "a DoRA: it scales the weights too", MERGE},
    {"use_rslora", "scaled by the root of its rank",
     "say lora_alpha * sqrt(r) for lora_alpha and leave use_rslora out"},
    {"use_qalora", "a QALoRA: it adds to groups of a quantized base", MERGE},
    {"fan_in_fan_out", "for weights that are stored turned", MERGE},
    {"lora_bias", "one with biases", MERGE},
    {"trainable_token_indices", "one with rows of the embedding", MERGE},
    {"target_parameters", "for parameters of no linear layer", MERGE},
    {"rank_pattern", "of several ranks", "train it with one rank, or " MERGE},
    {"alpha_pattern", "of several scales", "train it with one lora_alpha, or " MERGE},
    {"alora_invocation_tokens", "an activated LoRA: it holds only behind certain tokens",
     "train it without alora_invocation_tokens"},
    {"layer_replication", "for a base some of whose layers stand in it again", MERGE},
    {"arrow_config", "a choice among other adapters", "name one of those"},
};

/* How PEFT made the first values: some ways take them out of the base, so that the adapter is for what is left of it.
 */
static int check_init(const json_t *c, const char *path, struct ste_err *err)
{
    static const char *const plain[] = {"gaussian", "eva", "orthogonal"};
    const char *init = json_string_value(json_object_get(c, "init_lora_weights"));
    for (size_t i = 0; init && i < sizeof plain / sizeof *plain; i++)
        if (strcmp(init, plain[i]) == 0)
            return 0;
    if (!init)
        return 0;
    return ste_err_set(
        err, STE_EINPUT,
        "%s says init_lora_weights \"%.40s\": such an adapter is for a base that was changed when it was "
        "made, not for the plain one; %s",
        path, init,
        strncmp(init, "loftq", 5) == 0
            ? MERGE
            : "save it as a plain one (PEFT's save_pretrained with path_initial_model_for_weight_"
              "conversion), or " MERGE);
}

static int check_config(json_t *c, const char *path, struct ste_err *err)
{
    const char *type = json_string_value(json_object_get(c, "peft_type")),
               *bias = json_string_value(json_object_get(c, "bias"));
    if (!type || strcmp(type, "LORA"))
        return ste_err_set(err, STE_EINPUT, "%s describes an adapter of type %.40s; ste reads LORA", path,
                           type ? type : "unknown");
    if (bias && strcmp(bias, "none"))
        return ste_err_set(err, STE_EINPUT, "%s says bias \"%.40s\", which ste does not read; " MERGE, path, bias);
    const json_t *modules = json_object_get(c, "modules_to_save");
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const char *name = json_string_value(json_array_get(modules, i));
        if (!name || strcmp(name, head_module))
            return ste_err_set(err, STE_EINPUT,
                               "%s saves the module %.40s; ste reads no other than %s, a reward's head", path,
                               name ? name : "?", head_module);
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (is_on(json_object_get(c, settings[i].key)))
            return ste_err_set(err, STE_EINPUT, "%s sets %s: the adapter is %s, which ste does not read; %s", path,
                               settings[i].key, settings[i].what, settings[i].help);
    const char *key;
    json_t *v;
    json_object_foreach(c, key, v)
    {
        if (strncmp(key, "use_", 4) == 0 && is_on(v))
            return ste_err_set(err, STE_EINPUT,
                               "%s sets %.60s, which ste does not know, so it may be no plain LoRA; " MERGE, path, key);
    }
    return check_init(c, path, err);
}

static int read_config(const char *dir, int *r, double *alpha, struct ste_err *err)
{
    char *path = ste_path_join(dir, "adapter_config.json");
    struct ste_buf b = STE_BUF_INIT;
    json_t *c = NULL;
    int rc = ste_file_exists(dir) && !ste_is_folder(dir)
                 ? ste_err_set(err, STE_EINPUT, "%s is a file; an adapter is a folder with adapter_config.json", dir)
                 : ste_file_read(path, 1 << 20, &b, err);
    if (!rc && !(c = ste_json_parse(b.s, b.len, path, err)))
        rc = STE_EINPUT;
    if (!rc)
        rc = check_config(c, path, err);
    const json_t *jr = json_object_get(c, "r"), *ja = json_object_get(c, "lora_alpha");
    if (!rc && (!json_is_integer(jr) || json_integer_value(jr) < 1 || json_integer_value(jr) > 4096 ||
                !json_is_number(ja) || !(json_number_value(ja) > 0)))
        rc = ste_err_set(err, STE_EINPUT, "%s lacks a rank r from 1 to 4096 and a positive lora_alpha", path);
    if (!rc) {
        *r = (int)json_integer_value(jr);
        *alpha = json_number_value(ja);
    }
    json_decref(c);
    ste_buf_clear(&b);
    ste_xfree(path);
    return rc;
}

static int check_values(const float *x, uint64_t n, const struct ste_st_tensor *t, const char *path,
                        struct ste_err *err)
{
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return ste_err_set(err, STE_EINPUT, "%s: tensor '%s' holds a value that is no number (%g at place %llu)",
                               path, t->name, (double)x[i], (unsigned long long)i + 1);
    return 0;
}

static int read_pair(struct ste_lora *l, const struct ste_hparams *hp, int layer, const struct module *m,
                     const struct ste_st_tensor *a, const struct ste_st_tensor *b, const char *path,
                     struct ste_err *err)
{
    const struct ste_st_tensor *wrong = NULL;
    if (a->n_dims != 2 || a->shape[0] != (uint64_t)l->r || a->shape[1] != (uint64_t)m->in)
        wrong = a;
    else if (b->n_dims != 2 || b->shape[0] != (uint64_t)m->out || b->shape[1] != (uint64_t)l->r)
        wrong = b;
    if (wrong)
        return ste_err_set(err, STE_EINPUT,
                           "%s: tensor '%s' does not fit the model (a layer from %d to %d) and the rank %d; is it an "
                           "adapter of another model?",
                           path, wrong->name, m->in, m->out, l->r);
    const uint64_t r = (uint64_t)l->r;
    int rc = 0, at = 0;
    for (int k = m->first; k < (int)m->first + m->n && !rc; k++) {
        struct ste_lora_factors *p = &l->factors[layer][k];
        alloc_pair(l->factors[layer], hp, (enum ste_linear)k, l->r);
        for (int row = 0; row < p->out; row++)
            read_values(b, (uint64_t)(at + hf_row(hp, (enum ste_linear)k, row)) * r, r, p->b + (uint64_t)row * r);
        at += p->out;
        if (k == (int)m->first) {
            read_values(a, 0, r * (uint64_t)m->in, p->a);
            rc = check_values(p->a, r * (uint64_t)m->in, a, path, err);
        }
        rc = rc ? rc : check_values(p->b, r * (uint64_t)p->out, b, path, err);
    }
    return rc;
}

/* An adapter may be of the model as a part of one that sees too, whatever file the base is. */
static struct ste_str layers_in(const struct ste_safetensors *st)
{
    size_t k = 0;
    for (size_t i = 0; i < st->n; i++)
        for (size_t j = 1; j < sizeof layers_names / sizeof *layers_names; j++)
            if (strstr(st->tensors[i].name, layers_names[j]))
                k = j;
    return (struct ste_str){layers_names[k], strlen(layers_names[k])};
}

static int read_pairs(struct ste_lora *l, const struct ste_hparams *hp, const struct ste_safetensors *st,
                      const char *path, struct ste_err *err)
{
    struct module m[STE_N_LINEAR];
    size_t used = 0;
    int rc = 0;
    const int n = modules_of(hp, m);
    const struct ste_str at = layers_in(st);
    for (int i = 0; i < l->n_layers && !rc; i++)
        for (int k = 0; k < n && !rc; k++) {
            char *name_a = peft_name(at, hp->arch, i, &m[k], 'A'), *name_b = peft_name(at, hp->arch, i, &m[k], 'B');
            const struct ste_st_tensor *a = ste_safetensors_find(st, name_a), *b = ste_safetensors_find(st, name_b);
            if (a && b) {
                rc = read_pair(l, hp, i, &m[k], a, b, path, err);
                used += 2;
            } else if (a || b) {
                rc = ste_err_set(err, STE_EINPUT, "%s has the tensor '%s' but not '%s'", path, a ? name_a : name_b,
                                 a ? name_b : name_a);
            }
            ste_xfree(name_a);
            ste_xfree(name_b);
        }
    const struct ste_st_tensor *head = rc ? NULL : ste_safetensors_find(st, head_name);
    if (head && (head->n_dims != 2 || head->shape[0] != 1 || head->shape[1] != (uint64_t)hp->d_model))
        rc = ste_err_set(err, STE_EINPUT, "%s: tensor '%s' is no score (1, %d) of this model's states", path,
                         head->name, hp->d_model);
    if (!rc && head) {
        ste_lora_add_head(l, hp->d_model);
        read_values(head, 0, (uint64_t)hp->d_model, l->head);
        rc = check_values(l->head, (uint64_t)hp->d_model, head, path, err);
    }
    if (!rc && !used)
        rc = ste_err_set(err, STE_EINPUT, "%s holds no LoRA tensors for this model", path);
    used += head != NULL;
    if (!rc && used < st->n)
        rc = ste_err_set(err, STE_EINPUT,
                         "%s holds %zu tensors that belong to no linear layer of this model's %d layers; is it an "
                         "adapter of another model?",
                         path, st->n - used, l->n_layers);
    return rc;
}

int ste_lora_read_peft(struct ste_lora **out, const struct ste_model *m, const char *dir, struct ste_err *err)
{
    struct ste_safetensors st;
    double alpha = 0;
    int r = 0, rc;
    *out = NULL;
    if ((rc = read_config(dir, &r, &alpha, err)))
        return rc;
    char *path = ste_path_join(dir, "adapter_model.safetensors");
    if ((rc = ste_safetensors_open(&st, path, err)) == 0) {
        struct ste_lora *l = alloc_lora(m->hp.n_layers, r, alpha);
        rc = read_pairs(l, &m->hp, &st, path, err);
        if (rc) {
            ste_lora_free(l);
        } else {
            ste_lora_rehash(l);
            *out = l;
        }
        ste_safetensors_close(&st);
    }
    ste_xfree(path);
    return rc;
}

/* ---- writing one ---- */

static int write_config(const struct ste_lora *l, const struct ste_arch *arch, const char *base_name, const char *dir,
                        struct ste_err *err)
{
    json_t *targets = json_array();
    for (int k = 0; k < STE_N_LINEAR; k++)
        for (int i = 0; i < l->n_layers; i++)
            if (l->factors[i][k].a && !l->factors[i][k].shares_a) {
                json_array_append_new(targets, json_string(ste_linear_peft_name(arch, (enum ste_linear)k)));
                break;
            }
    bool whole = l->alpha == floor(l->alpha) && l->alpha < 1e15;
    json_t *c = json_pack("{s:s,s:s,s:s,s:i,s:o,s:o,s:f,s:s,s:b,s:b}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                          "base_model_name_or_path", base_name ? base_name : "", "r", l->r, "lora_alpha",
                          whole ? json_integer((json_int_t)l->alpha) : json_real(l->alpha), "target_modules", targets,
                          "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1);
    if (c && l->head) {
        json_object_set_new(c, "task_type", json_string(head_task));
        json_object_set_new(c, "modules_to_save", json_pack("[s]", head_module));
    }
    if (!c)
        return ste_err_set(err, STE_EFAIL, "cannot write the adapter %s: the base model's name is not UTF-8", dir);
    char *path = ste_path_join(dir, "adapter_config.json"), *text = json_dumps(c, JSON_INDENT(2));
    int rc = ste_file_write(path, text, strlen(text), err);
    json_decref(c);
    ste_xfree(text);
    ste_xfree(path);
    return rc;
}

/* Which base it is for, by its bytes: a name may be of another one elsewhere. */
static int write_base(const char *sha256, const char *base_name, const char *dir, struct ste_err *err)
{
    char *path = ste_path_join(dir, base_file), *text = NULL;
    json_t *j = json_pack("{s:s,s:s}", "name", base_name ? base_name : "", "sha256", sha256);
    text = json_dumps(j, JSON_INDENT(2));
    int rc = ste_file_write(path, text, strlen(text), err);
    json_decref(j);
    ste_xfree(text);
    ste_xfree(path);
    return rc;
}

static int write_weights(const struct ste_lora *l, const struct ste_model *model, const char *dir, struct ste_err *err)
{
    const struct ste_hparams *hp = &model->hp;
    const struct ste_str layers = layers_of(model);
    size_t max = (size_t)l->n_layers * STE_N_LINEAR, n = 0, r = (size_t)l->r;
    struct ste_st_tensor *t = ste_xcalloc(2 * max + 1, sizeof *t);
    float **turned = ste_xcalloc(max, sizeof *turned);
    struct module modules[STE_N_LINEAR];
    const int n_modules = modules_of(hp, modules);
    for (int i = 0; i < l->n_layers; i++)
        for (const struct module *m = modules; m < modules + n_modules; m++) {
            const struct ste_lora_factors *p = &l->factors[i][m->first];
            if (!p->a)
                continue;
            float *b = turned[n / 2] = ste_xmalloc((size_t)m->out * r * sizeof *b), *at = b;
            for (int k = 0; k < m->n; at += (size_t)p[k++].out * r)
                for (int row = 0; row < p[k].out; row++)
                    memcpy(at + (size_t)hf_row(hp, (enum ste_linear)((int)m->first + k), row) * r,
                           p[k].b + (size_t)row * r, r * sizeof *b);
            t[n++] = (struct ste_st_tensor){peft_name(layers, hp->arch, i, m, 'A'),
                                            STE_ST_F32,
                                            2,
                                            {r, (uint64_t)m->in},
                                            p->a,
                                            (uint64_t)m->in * r * 4};
            t[n++] = (struct ste_st_tensor){peft_name(layers, hp->arch, i, m, 'B'),
                                            STE_ST_F32,
                                            2,
                                            {(uint64_t)m->out, r},
                                            b,
                                            (uint64_t)m->out * r * 4};
        }
    if (l->head)
        t[n++] = (struct ste_st_tensor){ste_xstrdup(head_name),   STE_ST_F32, 2,
                                        {1, (uint64_t)l->n_head}, l->head,    (uint64_t)l->n_head * 4};
    char *path = ste_path_join(dir, "adapter_model.safetensors");
    int rc = ste_safetensors_write(path, t, n, err);
    for (size_t i = 0; i < n; i++)
        ste_xfree(t[i].name);
    for (size_t i = 0; i < max; i++)
        ste_xfree(turned[i]);
    ste_xfree(turned);
    ste_xfree(t);
    ste_xfree(path);
    return rc;
}

static void remove_adapter(const char *dir)
{
    char *config = ste_path_join(dir, "adapter_config.json"),
         *weights = ste_path_join(dir, "adapter_model.safetensors"), *base = ste_path_join(dir, base_file);
    unlink(config);
    unlink(weights);
    unlink(base);
    rmdir(dir);
    ste_xfree(config);
    ste_xfree(weights);
    ste_xfree(base);
}

/* A new folder is made under another name and renamed. In one that is there already (it may hold other files) the
 * config goes first and comes last: without it the folder is no adapter. */
int ste_lora_write_peft(struct ste_lora *l, const struct ste_model *m, const char *base_name, const char *dir,
                        struct ste_err *err)
{
    bool there = ste_is_folder(dir);
    size_t len = strlen(dir);
    if (l->r > VLLM_MOST)
        ste_warn("the adapter %s has rank %d; vLLM loads no more than %d", dir, l->r, VLLM_MOST);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    char *at = there ? ste_xstrdup(dir) : ste_xasprintf("%.*s.tmp%ld", (int)len, dir, (long)getpid());
    char *config = ste_path_join(at, "adapter_config.json");
    int rc = ste_mkdirs(at, err);
    if (!rc && unlink(config) && errno != ENOENT)
        rc = ste_err_errno(err, "cannot replace %s", config);
    if (!rc)
        rc = write_weights(l, m, at, err);
    if (!rc)
        rc = write_base(m->sha256, base_name, at, err);
    if (!rc)
        rc = write_config(l, m->hp.arch, base_name, at, err);
    if (!rc && !there && rename(at, dir))
        rc = ste_err_errno(err, "cannot rename %s to %s", at, dir);
    if (rc && !there)
        remove_adapter(at);
    if (!rc && !there) {
        char *parent = ste_xasprintf("%.*s/..", (int)len, dir);
        rc = ste_folder_sync(parent, err);
        ste_xfree(parent);
    }
    if (!rc)
        ste_lora_rehash(l);
    ste_xfree(config);
    ste_xfree(at);
    return rc;
}
