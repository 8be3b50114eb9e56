/* Positions in config.json: RoPE's base and how it is stretched, in the form of transformers 4 (rope_theta and
 * rope_scaling) or 5 (rope_parameters, of each kind of layer where they differ), sliding windows, layers without RoPE.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/folder_internal.h"

struct rope {
    struct ste_folder *f;
    const json_t *full, *sliding; /* what is said of layers that see all, and of those that slide; NULL: nothing */
    const char *type;             /* of the first */
    int head_dim, n_ctx;
};

/* What the parameters say of KEY, or config.json itself, where folders of older versions have it. */
static const json_t *of(const struct rope *r, const char *key)
{
    const json_t *v = json_object_get(r->full, key);
    return v && !json_is_null(v) ? v : ste_folder_get(r->f, key);
}

static double number(const struct rope *r, const char *key, double if_none)
{
    const json_t *v = of(r, key);
    return json_is_number(v) ? json_number_value(v) : if_none;
}

static int refuse(const struct rope *r, const char *key, const char *what)
{
    return ste_err_set(r->f->err, STE_EINPUT, "%s: %s is %s", r->f->path, key, what);
}

static int positive(const struct rope *r, const char *key, double if_none, double *out)
{
    const json_t *v = of(r, key);
    *out = v ? json_number_value(v) : if_none;
    return (!v || json_is_number(v)) && *out > 0 && isfinite(*out) ? 0 : refuse(r, key, "no positive number");
}

static void set(const struct rope *r, const char *name, double v)
{
    ste_gguf_set_real(r->f->g, ste_folder_key(r->f, name), v);
}

static void set_whole(const struct rope *r, const char *name, double v)
{
    ste_gguf_set_int(r->f->g, ste_folder_key(r->f, name), (int64_t)v);
}

static void set_text(const struct rope *r, const char *name, const char *s)
{
    ste_gguf_set_string(r->f->g, ste_folder_key(r->f, name), s, strlen(s));
}

static int add_divisors(const struct rope *r, const char *name, float *divisors, int n)
{
    return ste_gguf_add(r->f->g, name, STE_F32, 1, (const uint64_t[]){(uint64_t)n},
                        ste_gguf_keep_small(r->f->g, divisors), r->f->err);
}

/* ---- stretched positions ---- */

static int linear(const struct rope *r)
{
    double factor;
    int rc = positive(r, "factor", 1, &factor);
    set_text(r, "rope.scaling.type", "linear");
    set(r, "rope.scaling.factor", factor);
    return rc;
}

/* What cosines and sines are multiplied by, where two numbers say so and not one. GGUF has a key for the second of
 * them, the first being 1. */
static void set_magnitude(const struct rope *r, double factor)
{
    const double first = number(r, "mscale", 0), all = number(r, "mscale_all_dim", 0), grown = 0.1 * log(factor);
    if (first == 1 && all > 0)
        set(r, "rope.scaling.yarn_log_multiplier", all);
    else if (first > 0 && all > 0 && !of(r, "attention_factor"))
        set(r, "rope.scaling.yarn_attn_factor", (1 + first * grown) / (1 + all * grown));
}

static int yarn(const struct rope *r)
{
    static const struct {
        const char *name, *key;
    } more[] = {
        {"attention_factor", "yarn_attn_factor"}, {"beta_fast", "yarn_beta_fast"}, {"beta_slow", "yarn_beta_slow"}};
    double factor, n_first, x;
    int rc;
    if ((rc = positive(r, "factor", 1, &factor)) ||
        (rc = positive(r, "original_max_position_embeddings", r->n_ctx, &n_first)))
        return rc;
    if (json_is_false(of(r, "truncate")))
        return refuse(r, "truncate", "false, which ste does not do for yarn");
    set_text(r, "rope.scaling.type", "yarn");
    set(r, "rope.scaling.factor", factor);
    set_whole(r, "rope.scaling.original_context_length", n_first);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        char key[64];
        if (!of(r, more[i].name))
            continue;
        if ((rc = positive(r, more[i].name, 1, &x)))
            return rc;
        snprintf(key, sizeof key, "rope.scaling.%s", more[i].key);
        set(r, key, x);
    }
    set_magnitude(r, factor);
    if (of(r, "llama_4_scaling_beta"))
        set(r, "attention.temperature_scale", number(r, "llama_4_scaling_beta", 0));
    return 0;
}

/* Llama 3: waves that are longer than the first context are stretched, those that are much shorter stay, and those
 * between are mixed. */
static int llama3(const struct rope *r, double base, int dims)
{
    const int n = dims / 2;
    double factor, low, high, n_first;
    int rc;
    if ((rc = positive(r, "factor", 8, &factor)) || (rc = positive(r, "low_freq_factor", 1, &low)) ||
        (rc = positive(r, "high_freq_factor", 4, &high)) ||
        (rc = positive(r, "original_max_position_embeddings", 8192, &n_first)))
        return rc;
    if (!(high > low))
        return refuse(r, "high_freq_factor", "not larger than low_freq_factor");
    float *divisors = ste_xcalloc((size_t)n, sizeof *divisors);
    for (int i = 0; i < n; i++) {
        const double wave = 2 * acos(-1) * pow(base, 2.0 * i / dims), smooth = (n_first / wave - low) / (high - low);
        divisors[i] = (float)(wave < n_first / high  ? 1
                              : wave > n_first / low ? factor
                                                     : 1 / ((1 - smooth) / factor + smooth));
    }
    return add_divisors(r, "rope_freqs.weight", divisors, n);
}

static int divisors_of(const struct rope *r, const char *key, const char *name, int n)
{
    const json_t *list = of(r, key);
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return ste_err_set(r->f->err, STE_EINPUT, "%s: %s must be a list of %d numbers, one for each pair that turns",
                           r->f->path, key, n);
    float *divisors = ste_xcalloc((size_t)n, sizeof *divisors);
    for (int i = 0; i < n; i++)
        divisors[i] = (float)json_number_value(json_array_get(list, (size_t)i));
    return add_divisors(r, name, divisors, n);
}

static int longrope(const struct rope *r, int dims)
{
    double n_first, factor;
    int rc;
    if ((rc = positive(r, "original_max_position_embeddings", r->n_ctx, &n_first)) ||
        (rc = divisors_of(r, "long_factor", "rope_factors_long.weight", dims / 2)) ||
        (rc = divisors_of(r, "short_factor", "rope_factors_short.weight", dims / 2)))
        return rc;
    const double grown = r->n_ctx / n_first;
    rc = positive(r, "attention_factor", grown > 1 ? sqrt(1 + log(grown) / log(n_first)) : 1, &factor);
    set_whole(r, "rope.scaling.original_context_length", n_first);
    set(r, "rope.scaling.attn_factor", factor);
    return rc;
}

static int stretch(const struct rope *r, double base, int dims)
{
    if (!strcmp(r->type, "default") || !strcmp(r->type, "none"))
        return 0;
    if (!strcmp(r->type, "linear"))
        return linear(r);
    if (!strcmp(r->type, "yarn"))
        return yarn(r);
    if (!strcmp(r->type, "llama3"))
        return llama3(r, base, dims);
    if (!strcmp(r->type, "longrope") || !strcmp(r->type, "su"))
        return longrope(r, dims);
    return ste_err_set(r->f->err, STE_EINPUT,
                       "%s stretches its positions (rope_type is '%.40s'), which ste does not do; it does linear, "
                       "yarn, llama3 and longrope",
                       r->f->path, r->type);
}

static int turns(struct rope *r)
{
    const json_t *v4 = ste_folder_get(r->f, "rope_scaling"), *v5 = ste_folder_get(r->f, "rope_parameters");
    double base, part, local;
    int rc;
    r->full = v5 ? v5 : v4;
    if (json_object_get(v5, "full_attention"))
        r->full = json_object_get(v5, "full_attention");
    r->sliding = json_object_get(v5, "sliding_attention");
    const json_t *type = json_object_get(r->full, "rope_type");
    r->type = json_string_value(type ? type : json_object_get(r->full, "type"));
    r->type = r->type ? r->type : "default";
    const char *other = json_string_value(json_object_get(r->sliding, "rope_type"));
    if (other && strcmp(other, "default"))
        return ste_err_set(r->f->err, STE_EINPUT,
                           "%s stretches the positions of sliding layers (rope_type is '%.40s'), which ste does not do",
                           r->f->path, other);
    if ((rc = positive(r, "rope_theta", 10000, &base)) || (rc = positive(r, "partial_rotary_factor", 1, &part)))
        return rc;
    set(r, "rope.freq_base", base);
    const json_t *theta = json_object_get(r->sliding, "rope_theta");
    local = json_number_value(theta ? theta : ste_folder_get(r->f, "rope_local_base_freq"));
    if (local > 0)
        set(r, "rope.freq_base_swa", local);
    const int dims = (int)(part * r->head_dim);
    if (part != 1)
        set_whole(r, "rope.dimension_count", dims);
    return stretch(r, base, dims);
}

/* ---- windows, and layers that do not turn ---- */

/* Which layers slide, by their types or by a rule; 0 and *LIST NULL: the architecture's own rule holds. */
static int sliding_list(const struct rope *r, int n_layers, bool **list)
{
    const json_t *types = ste_folder_get(r->f, "layer_types"), *from = ste_folder_get(r->f, "max_window_layers");
    *list = NULL;
    if (!types && !from)
        return 0;
    if (types && json_array_size(types) != (size_t)n_layers)
        return ste_err_set(r->f->err, STE_EINPUT, "%s: layer_types must be a list of %d, one for each layer",
                           r->f->path, n_layers);
    *list = ste_xcalloc((size_t)n_layers, sizeof **list);
    for (int i = 0; i < n_layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        (*list)[i] = types ? type && !strcmp(type, "sliding_attention") : i >= json_integer_value(from);
        if (types && !(*list)[i] && (!type || strcmp(type, "full_attention"))) {
            ste_xfree(*list);
            return ste_err_set(r->f->err, STE_EINPUT,
                               "%s: layer %d is of type '%.40s'; ste runs full_attention and "
                               "sliding_attention",
                               r->f->path, i, type ? type : "?");
        }
    }
    return 0;
}

static int windows(const struct rope *r, int n_layers)
{
    const json_t *window = ste_folder_get(r->f, "sliding_window"), *period;
    bool *list, some = false;
    if (!window || json_is_false(ste_folder_get(r->f, "use_sliding_window")))
        return 0;
    if (!json_is_integer(window) || json_integer_value(window) < 1)
        return refuse(r, "sliding_window", "no positive whole number");
    int rc = sliding_list(r, n_layers, &list);
    if (rc)
        return rc;
    for (int i = 0; list && i < n_layers; i++)
        some = some || list[i];
    if (some)
        ste_gguf_set_bools(r->f->g, ste_folder_key(r->f, "attention.sliding_window_pattern"), list, (uint64_t)n_layers);
    if (!(period = ste_folder_get(r->f, "sliding_window_pattern")))
        period = ste_folder_get(r->f, "_sliding_window_pattern");
    if (!list && json_is_integer(period) && json_integer_value(period) > 0)
        set_whole(r, "attention.sliding_window_pattern", json_number_value(period));
    if (some || !list)
        set_whole(r, "attention.sliding_window", json_number_value(window));
    ste_xfree(list);
    return 0;
}

/* Which layers turn at all is the architecture's own rule, which the list must agree with. */
static int turning_list(const struct rope *r, int n_layers)
{
    const json_t *list = ste_folder_get(r->f, "no_rope_layers");
    const int each = r->f->arch->no_rope_each;
    for (int i = 0; json_is_array(list) && i < n_layers; i++) {
        const bool says = json_integer_value(json_array_get(list, (size_t)i)) != 0, is = !each || (i + 1) % each != 0;
        if (says != is)
            return ste_err_set(r->f->err, STE_EINPUT,
                               "%s: no_rope_layers leaves out other layers than each %dth, which ste does not do",
                               r->f->path, each);
    }
    return 0;
}

int ste_folder_positions(struct ste_folder *f)
{
    struct rope r = {.f = f, .n_ctx = (int)json_integer_value(ste_folder_get(f, "max_position_embeddings"))};
    const int n_layers = (int)json_integer_value(ste_folder_get(f, "num_hidden_layers")),
              n_heads = (int)json_integer_value(ste_folder_get(f, "num_attention_heads"));
    const json_t *dim = ste_folder_get(f, "head_dim");
    r.head_dim = (int)(dim ? json_integer_value(dim) : json_integer_value(ste_folder_get(f, "hidden_size")) / n_heads);
    const char *kind = json_string_value(ste_folder_get(f, "position_embedding_type"));
    int rc;
    if (f->arch->rope_is_optional && kind && strcmp(kind, "rope"))
        ste_gguf_set_bool(f->g, ste_folder_key(f, "rope.scaling.finetuned"), false);
    if (n_layers > 1000 || r.head_dim > 1 << 12)
        return ste_err_set(f->err, STE_EINPUT, "%s: %d layers and heads of %d are more than any model has", f->path,
                           n_layers, r.head_dim);
    if ((rc = turns(&r)) || (rc = windows(&r, n_layers)))
        return rc;
    return turning_list(&r, n_layers);
}
