/* config.json as the keys of a GGUF. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "model/folder_internal.h"

const json_t *ste_folder_get(const struct ste_folder *f, const char *key)
{
    const json_t *const places[] = {f->text, f->config, f->defaults};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const json_t *v = json_object_get(places[i], key);
        if (v && !json_is_null(v))
            return v;
    }
    return NULL;
}

const char *ste_folder_key(const struct ste_folder *f, const char *name)
{
    static _Thread_local char key[96];
    snprintf(key, sizeof key, "%s.%s", f->arch->name, name);
    return key;
}

/* ---- what it is ---- */

static const struct ste_arch *arch_of(const char *type)
{
    for (size_t i = 0; ste_archs[i]; i++)
        if (ste_archs[i]->hf.types && ste_name_find(ste_archs[i]->hf.types, type) >= 0)
            return ste_archs[i];
    return NULL;
}

static int unknown_type(const struct ste_folder *f, const char *type)
{
    struct ste_buf names = STE_BUF_INIT;
    for (size_t i = 0; ste_archs[i]; i++)
        for (size_t k = 0; ste_archs[i]->hf.types && ste_archs[i]->hf.types[k]; k++)
            ste_buf_addf(&names, "%s%s", names.len ? ", " : "", ste_archs[i]->hf.types[k]);
    ste_err_set(f->err, STE_EINPUT, "%s: the model's type is '%.40s', which ste does not run; it runs %s", f->path,
                type, names.s);
    ste_buf_clear(&names);
    return STE_EINPUT;
}

/* Said by name, before anything else disagrees. */
static int check_kind(const struct ste_folder *f)
{
    static const char *const experts[] = {"num_local_experts", "num_experts", "n_routed_experts"};
    const json_t *quantized = ste_folder_get(f, "quantization_config"),
                 *class = json_array_get(json_object_get(f->config, "architectures"), 0);
    const char *method = json_string_value(json_object_get(quantized, "quant_method")),
               *name = json_string_value(class);
    if (quantized)
        return ste_err_set(f->err, STE_EINPUT,
                           "%s: the weights are quantized (quantization_config, by %.40s), which ste reads from GGUF "
                           "files alone; name a folder with BF16, F16 or F32 weights, or a GGUF file of the model",
                           f->path, method ? method : "an unnamed method");
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        const json_t *n = ste_folder_get(f, experts[i]);
        if (json_is_integer(n) && json_integer_value(n) > 0)
            return ste_err_set(f->err, STE_EINPUT, "%s: the model is a mixture of experts (%s), which ste does not run",
                               f->path, experts[i]);
    }
    const json_t *kinds = ste_folder_get(f, "layer_types");
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        static const char *const known[] = {"attention", "full_attention", "sliding_attention", NULL};
        const char *kind = json_string_value(json_array_get(kinds, i));
        if (!kind || ste_name_find(known, kind) < 0)
            return ste_err_set(f->err, STE_EINPUT,
                               "%s: layer %zu is of type '%.40s' (layer_types), which ste does not run", f->path, i,
                               kind ? kind : "?");
    }
    if (name && !strstr(name, "ForCausalLM") && !strstr(name, "ForConditionalGeneration"))
        return ste_err_set(f->err, STE_EINPUT,
                           "%s: the model is a %.60s, which writes no text; a seed is a model ...ForCausalLM", f->path,
                           name);
    return 0;
}

int ste_folder_arch(struct ste_folder *f)
{
    static const char in_both[] = "model.language_model.layers";
    const json_t *text = json_object_get(f->config, "text_config");
    f->text = json_is_object(text) ? text : f->config;
    const char *type = json_string_value(json_object_get(f->text, "model_type"));
    int rc = check_kind(f);
    if (rc)
        return rc;
    if (!type)
        return ste_err_set(f->err, STE_EINPUT, "%s does not say the model's type (model_type)", f->path);
    f->arch = arch_of(type);
    if (!f->arch)
        return unknown_type(f, type);
    f->defaults = f->arch->hf.defaults ? json_loads(f->arch->hf.defaults, 0, NULL) : NULL;
    ste_gguf_set_string(f->g, "general.architecture", f->arch->name, strlen(f->arch->name));
    if (f->text != f->config)
        ste_gguf_set_string(f->g, STE_HF_LAYERS_KEY, in_both, strlen(in_both));
    for (size_t i = 0; ste_archs[i] != f->arch; i++)
        if (!strcmp(ste_archs[i]->name, f->arch->name))
            ste_gguf_set_string(f->g, STE_HF_TYPE_KEY, type, strlen(type));
    return 0;
}

/* ---- numbers ---- */

static const struct field {
    const char *name, *key;
    bool whole, required;
} fields[] = {
    {"num_hidden_layers", "block_count", true, true},
    {"hidden_size", "embedding_length", true, true},
    {"intermediate_size", "feed_forward_length", true, true},
    {"shared_intermediate_size", "feed_forward_length", true, false}, /* Granite 4: the other is that of experts */
    {"num_attention_heads", "attention.head_count", true, true},
    {"num_key_value_heads", "attention.head_count_kv", true, false},
    {"head_dim", "attention.key_length", true, false},
    {"head_dim", "attention.value_length", true, false},
    {"max_position_embeddings", "context_length", true, true},
    {"vocab_size", "vocab_size", true, false},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", false, true},
    {"attention_multiplier", "attention.scale", false, false},
    {"embedding_multiplier", "embedding_scale", false, false},
    {"residual_multiplier", "residual_scale", false, false},
    {"logits_scaling", "logit_scale", false, false},
    {"attn_logit_softcapping", "attn_logit_softcapping", false, false},
    {"final_logit_softcapping", "final_logit_softcapping", false, false},
};

static int set_field(struct ste_folder *f, const struct field *field)
{
    const json_t *v = ste_folder_get(f, field->name);
    if (!v)
        return field->required ? ste_err_set(f->err, STE_EINPUT, "%s does not say %s", f->path, field->name) : 0;
    const double x = json_number_value(v);
    if (!json_is_number(v) || (field->whole && !json_is_integer(v)) || !(x > 0) || x > 0x1p31)
        return ste_err_set(f->err, STE_EINPUT, "%s: %s must be a positive %snumber", f->path, field->name,
                           field->whole ? "whole " : "");
    if (field->whole)
        ste_gguf_set_int(f->g, ste_folder_key(f, field->key), json_integer_value(v));
    else
        ste_gguf_set_real(f->g, ste_folder_key(f, field->key), x);
    return 0;
}

static int check_gate(const struct ste_folder *f)
{
    const json_t *v = ste_folder_get(f, "hidden_activation");
    const char *said = json_string_value(v ? v : ste_folder_get(f, "hidden_act"));
    const char *const silu[] = {"silu", "swish", NULL}, *const gelu[] = {"gelu_pytorch_tanh", "gelu_new", NULL};
    if (!said || ste_name_find(f->arch->gate == STE_GATE_SILU ? silu : gelu, said) >= 0)
        return 0;
    return ste_err_set(f->err, STE_EINPUT, "%s: the activation is '%.40s'; ste runs %s models with %s", f->path, said,
                       f->arch->name, f->arch->gate == STE_GATE_SILU ? silu[0] : gelu[0]);
}

/* Gemma: the scores are scaled by the root of a number of its own. */
static void set_scale(struct ste_folder *f)
{
    const json_t *v = ste_folder_get(f, "query_pre_attn_scalar"), *dim = ste_folder_get(f, "head_dim");
    if (json_is_number(v) && json_number_value(v) > 0 && json_number_value(v) != json_number_value(dim))
        ste_gguf_set_real(f->g, ste_folder_key(f, "attention.scale"), 1 / sqrt(json_number_value(v)));
}

int ste_folder_keys(struct ste_folder *f)
{
    int rc = check_gate(f);
    for (size_t i = 0; i < sizeof fields / sizeof *fields && !rc; i++)
        rc = set_field(f, &fields[i]);
    if (!rc && json_is_true(ste_folder_get(f, "use_bidirectional_attention")))
        rc = ste_err_set(f->err, STE_EINPUT,
                         "%s: attention sees what comes after (use_bidirectional_attention), "
                         "which ste does not do",
                         f->path);
    set_scale(f);
    return rc ? rc : ste_folder_positions(f);
}
