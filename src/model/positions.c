#include "model/positions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { MOST_BY_DEFAULT = 8192 }; /* positions: longer contexts cost memory that few need */

/* ---- what they come to ---- */

void ste_rotary_plain(struct ste_rotary *r, double base, int dims)
{
    r->dims = dims;
    r->magnitude = 1;
    for (int i = 0; i < dims / 2; i++)
        r->inv_freq[i] = pow(base, -2.0 * i / dims);
}

const struct ste_rotary *ste_rotary_of(const struct ste_model *m, enum ste_rotary_kind kind, int n_ctx)
{
    bool some = false;
    for (int l = 0; l < m->hp.n_layers; l++)
        some = some || m->layers[l].rotary == kind;
    return !some                                                                           ? NULL
           : kind == STE_ROTARY_FULL && m->hp.n_ctx_short > 0 && n_ctx > m->hp.n_ctx_short ? &m->hp.rotary_long
                                                                                           : &m->hp.rotary[kind];
}

double ste_query_scale(const struct ste_hparams *hp, int pos)
{
    return hp->temperature_scale != 0 ? 1 + hp->temperature_scale * log(1 + floor((double)pos / hp->temperature_length))
                                      : 1;
}

int ste_n_ctx(const struct ste_hparams *hp, long long asked)
{
    const long long n = asked > 0 ? asked : MOST_BY_DEFAULT;
    return n < hp->n_ctx_train ? (int)n : hp->n_ctx_train;
}

/* ---- what a file says ---- */

struct reader {
    struct ste_model *m;
    struct ste_hparams *hp;
    const char *path;
    struct ste_err *err;
    char key[96];
};

static const char *key_of(struct reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->hp->arch->name, name);
    return r->key;
}

/* What NAME says, a number of either kind; IF_NONE without it. */
static double number(struct reader *r, const char *name, double if_none)
{
    const char *key = key_of(r, name);
    double x;
    int64_t i;
    return ste_gguf_real(r->m->gguf, key, &x) ? x : ste_gguf_int(r->m->gguf, key, &i) ? (double)i : if_none;
}

/* A number that must be positive. */
static int positive(struct reader *r, const char *name, double if_none, double *out)
{
    *out = number(r, name, if_none);
    return *out > 0 && isfinite(*out)
               ? 0
               : ste_err_set(r->err, STE_EINPUT, "%s: %s is %g, not a positive number", r->path, r->key, *out);
}

/* Divisors of the inverse frequencies; NULL where the file has no such tensor. */
static int divisors(struct reader *r, const char *name, const struct ste_tensor **out)
{
    const int n = r->hp->rotary[STE_ROTARY_FULL].dims / 2;
    const struct ste_tensor *t = *out = ste_gguf_tensor(r->m->gguf, name);
    if (t && (t->type != STE_F32 || t->n_dims != 1 || t->shape[0] != (uint64_t)n))
        return ste_err_set(r->err, STE_EINPUT, "%s: tensor '%s' is not %d numbers of type F32", r->path, name, n);
    for (int i = 0; t && i < n; i++)
        if (!(((const float *)t->data)[i] > 0))
            return ste_err_set(r->err, STE_EINPUT, "%s: tensor '%s' has a number that is not positive", r->path, name);
    return 0;
}

static void divide(struct ste_rotary *y, const struct ste_tensor *by)
{
    for (int i = 0; by && i < y->dims / 2; i++)
        y->inv_freq[i] /= (double)((const float *)by->data)[i];
}

enum scaling { NONE, LINEAR, YARN, LONGROPE };

static int scaling_of(struct reader *r, enum scaling *out)
{
    static const char *const names[] = {"none", "linear", "yarn", "longrope"};
    struct ste_str s;
    *out = LINEAR; /* without a factor it changes nothing */
    if (!ste_gguf_string(r->m->gguf, key_of(r, "rope.scaling.type"), &s))
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == s.n && !memcmp(names[i], s.s, s.n)) {
            *out = (enum scaling)i;
            return 0;
        }
    return ste_err_set(r->err, STE_EINPUT,
                       "%s stretches its positions (%s is %.*s), which ste does not do; it does linear, yarn and "
                       "longrope",
                       r->path, r->key, (int)(s.n < 20 ? s.n : 20), s.s);
}

/* 1 (and 0, with which some writers say "none") changes nothing. */
static int factor_of(struct reader *r, double *out)
{
    static const char *const names[] = {"rope.scaling.factor", "rope.scale_linear", "rope.scale"};
    *out = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && *out == 0; i++)
        *out = number(r, names[i], 0);
    if (!(*out >= 0) || !isfinite(*out))
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %g, not a positive number", r->path, r->key, *out);
    *out = *out == 0 ? 1 : *out;
    return 0;
}

/* YaRN (Peng et al., arXiv 2309.00071): frequencies that turn often within the first context stay, those that never
 * come round are divided, and those between are mixed. */
static int yarn(struct reader *r, struct ste_rotary *y, double factor, double n_first)
{
    const double ext = number(r, "rope.scaling.yarn_ext_factor", 1),
                 all = number(r, "rope.scaling.yarn_log_multiplier", 0), pi = acos(-1),
                 per = y->dims / (2 * log(r->hp->rope_base));
    double fast, slow, magnitude;
    int rc;
    if (ext >= 0 && ext != 1) /* less than 0: nothing is said */
        return ste_err_set(r->err, STE_EINPUT,
                           "%s mixes frequencies by %g (%s.rope.scaling.yarn_ext_factor); ste does so by 1 only",
                           r->path, ext, r->hp->arch->name);
    const double grown = factor > 1 ? 0.1 * log(factor) : 0;
    if ((rc = positive(r, "rope.scaling.yarn_beta_fast", 32, &fast)) ||
        (rc = positive(r, "rope.scaling.yarn_beta_slow", 1, &slow)) ||
        (rc = positive(r, "rope.scaling.yarn_attn_factor", (1 + grown) / (1 + all * grown), &magnitude)))
        return rc;
    const double low = fmax(floor(per * log(n_first / (fast * 2 * pi))), 0),
                 high = fmin(ceil(per * log(n_first / (slow * 2 * pi))), y->dims - 1);
    for (int i = 0; i < y->dims / 2; i++) {
        const double ramp = fmin(fmax((i - low) / fmax(high - low, 0.001), 0), 1);
        y->inv_freq[i] *= ramp / factor + (1 - ramp);
    }
    y->magnitude *= magnitude;
    return 0;
}

static int stretch(struct reader *r)
{
    struct ste_hparams *hp = r->hp;
    struct ste_rotary *y = &hp->rotary[STE_ROTARY_FULL];
    enum scaling scaling;
    double factor, n_first, magnitude;
    int rc;
    if ((rc = scaling_of(r, &scaling)) || (rc = factor_of(r, &factor)) ||
        (rc = positive(r, "rope.scaling.original_context_length", hp->n_ctx_train, &n_first)) ||
        (rc = positive(r, "rope.scaling.attn_factor", 1, &magnitude)) ||
        (rc = divisors(r, "rope_freqs.weight", &r->m->rope_divisors[0])) ||
        (rc = divisors(r, "rope_factors_short.weight", &r->m->rope_divisors[1])) ||
        (rc = divisors(r, "rope_factors_long.weight", &r->m->rope_divisors[2])))
        return rc;
    const struct ste_tensor *const *by = r->m->rope_divisors;
    if (!by[1] != !by[2] || (scaling == LONGROPE && !by[1]))
        return ste_err_set(r->err, STE_EINPUT, "%s lacks the tensor 'rope_factors_%s.weight', which longrope needs",
                           r->path, by[1] ? "long" : "short");
    divide(y, by[0]);
    y->magnitude = magnitude;
    hp->temperature_length = n_first;
    if (scaling == YARN && (rc = yarn(r, y, factor, n_first)))
        return rc;
    for (int i = 0; scaling == LINEAR && factor != 1 && i < y->dims / 2; i++)
        y->inv_freq[i] /= factor;
    if (by[1]) {
        hp->n_ctx_short = (int)fmin(n_first, hp->n_ctx_train);
        hp->rotary_long = *y;
        divide(y, by[1]);
        divide(&hp->rotary_long, by[2]);
    }
    return 0;
}

/* Of a head, how many dimensions turn. */
static int read_dims(struct reader *r, int *out)
{
    const double n = number(r, "rope.dimension_count", r->hp->head_dim);
    if (!(n >= 2) || n > r->hp->head_dim || n > STE_MAX_HEAD_DIM || fmod(n, 2) != 0)
        return ste_err_set(r->err, STE_EINPUT,
                           "%s turns %g of a head's %d dimensions (%s); ste turns an even number of them, at most %d",
                           r->path, n, r->hp->head_dim, r->key, STE_MAX_HEAD_DIM);
    *out = (int)n;
    return 0;
}

/* Which layers slide. PERIOD: all but each such one; 0: all. */
static int read_pattern(struct reader *r, int window)
{
    const struct ste_arch *arch = r->hp->arch;
    const double period = number(r, "attention.sliding_window_pattern", arch->sliding.period);
    int64_t *list = NULL;
    uint64_t n = 0;
    if (!(period >= 0) || period != floor(period))
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %g, not a number of layers", r->path, r->key, period);
    if (ste_gguf_ints(r->m->gguf, r->key, &list, &n) && n < (uint64_t)r->hp->n_layers) {
        ste_xfree(list);
        return ste_err_set(r->err, STE_EINPUT, "%s: %s says so of %llu layers, and there are %d", r->path, r->key,
                           (unsigned long long)n, r->hp->n_layers);
    }
    for (int i = 0; i < r->hp->n_layers; i++) {
        struct ste_layer *l = &r->m->layers[i];
        const bool slides = list ? list[i] != 0 : period == 0 || i % (int)period < (int)period - 1;
        l->window = slides && window < r->hp->n_ctx_train ? window : 0;
        l->rotary = slides && arch->sliding.plain ? STE_ROTARY_SLIDING : STE_ROTARY_FULL;
    }
    ste_xfree(list);
    return 0;
}

static int read_windows(struct reader *r, int dims)
{
    struct ste_hparams *hp = r->hp;
    const double window = number(r, "attention.sliding_window", 0); /* 0: none */
    double base;
    int rc;
    if (!(window >= 0) || window != floor(window) || window > 1 << 30)
        return ste_err_set(r->err, STE_EINPUT, "%s: %s is %g, not a number of positions", r->path, r->key, window);
    if (window == 0)
        return 0;
    if ((rc = positive(r, "rope.freq_base_swa", hp->arch->sliding.base > 0 ? hp->arch->sliding.base : hp->rope_base,
                       &base)))
        return rc;
    ste_rotary_plain(&hp->rotary[STE_ROTARY_SLIDING], base, dims);
    return read_pattern(r, (int)window);
}

static void leave_out(struct reader *r)
{
    const struct ste_arch *arch = r->hp->arch;
    bool turns = true;
    if (arch->rope_is_optional)
        ste_gguf_bool(r->m->gguf, key_of(r, "rope.scaling.finetuned"), &turns);
    for (int i = 0; i < r->hp->n_layers; i++)
        if (!turns || (arch->no_rope_each > 0 && (i + 1) % arch->no_rope_each == 0))
            r->m->layers[i].rotary = STE_ROTARY_NONE;
}

int ste_positions_read(struct ste_model *m, struct ste_err *err)
{
    struct reader r = {.m = m, .hp = &m->hp, .path = ste_gguf_path(m->gguf), .err = err};
    struct ste_hparams *hp = &m->hp;
    int dims = 0, rc;
    if ((rc = read_dims(&r, &dims)))
        return rc;
    ste_rotary_plain(&hp->rotary[STE_ROTARY_FULL], hp->rope_base, dims);
    if ((rc = stretch(&r)) || (rc = read_windows(&r, dims)))
        return rc;
    leave_out(&r);
    hp->temperature_scale = number(&r, "attention.temperature_scale", 0);
    if (!isfinite(hp->temperature_scale))
        return ste_err_set(err, STE_EINPUT, "%s: %s is %g, not a number", r.path, r.key, hp->temperature_scale);
    return positive(&r, "attention.temperature_length", hp->temperature_length, &hp->temperature_length);
}
