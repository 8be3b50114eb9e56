/* What files say of positions. Figures of YaRN are those of transformers 5.24 (modeling_rope_utils.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "gguf_writer.h"
#include "model/positions.h"

enum { LAYERS = 7, HD = 16, CTX = 1024 };
static struct gw w;
static struct ste_model m;
static struct ste_layer layers[LAYERS];
static struct ste_err err;
static const struct ste_arch *arch;

static void begin(const struct ste_arch *of)
{
    w = (struct gw){0};
    arch = of;
}

static const char *key(const char *name)
{
    static char s[96];
    snprintf(s, sizeof s, "%s.%s", arch->name, name);
    return s;
}

static void real(const char *name, double v)
{
    gw_key_f32(&w, key(name), (float)v);
}

static void whole(const char *name, uint32_t v)
{
    gw_key_u32(&w, key(name), v);
}

static void string(const char *name, const char *v)
{
    gw_key_str(&w, key(name), v);
}

static void boolean(const char *name, bool v)
{
    gw_key(&w, key(name), 7);
    ste_buf_addc(&w.keys, v);
}

static void booleans(const char *name, const char *v) /* "ynn" */
{
    gw_key(&w, key(name), 9);
    gw_u32(&w.keys, 7);
    gw_u64(&w.keys, strlen(v));
    for (; *v; v++)
        ste_buf_addc(&w.keys, *v == 'y');
}

/* N numbers, from FIRST on and each STEP more. */
static void tensor(const char *name, int n, double first, double step)
{
    float v[HD];
    for (int i = 0; i < n; i++)
        v[i] = (float)(first + step * i);
    gw_tensor(&w, name, 0, 1, (const uint64_t[]){(uint64_t)n}, v, (size_t)n * sizeof *v);
}

static int end(void)
{
    char *path = gw_temp("p.gguf");
    struct ste_buf b = STE_BUF_INIT;
    gw_file(&w, &b);
    gw_write(path, b.s, b.len);
    ste_buf_clear(&b);
    memset(layers, 0, sizeof layers);
    ste_gguf_close(m.gguf);
    m = (struct ste_model){.layers = layers};
    m.hp = (struct ste_hparams){
        .arch = arch, .n_layers = LAYERS, .n_heads = 2, .head_dim = HD, .n_ctx_train = CTX, .rope_base = 10000};
    err.msg[0] = 0;
    assert_int_equal(ste_gguf_open(&m.gguf, path, NULL), 0);
    const int rc = ste_positions_read(&m, &err);
    gw_temp_remove(path);
    return rc;
}

static void opens(void)
{
    if (end())
        fail_msg("%s", err.msg);
}

static void refused(const char *says)
{
    assert_int_equal(end(), STE_EINPUT);
    if (!strstr(err.msg, says))
        fail_msg("'%s' instead of '%s'", err.msg, says);
}

static void near(const struct ste_rotary *r, double magnitude, const double *inv_freq)
{
    assert_true(fabs(r->magnitude - magnitude) < 1e-6);
    for (int i = 0; i < r->dims / 2; i++)
        if (!(fabs(r->inv_freq[i] / inv_freq[i] - 1) < 1e-6))
            fail_msg("frequency %d is %g, not %g", i, r->inv_freq[i], inv_freq[i]);
}

/* PLAIN of DIMS by BASE, each divided by FIRST + STEP I. */
static void near_divided(const struct ste_rotary *r, double magnitude, int dims, double base, double first, double step)
{
    double want[HD];
    assert_int_equal(r->dims, dims);
    for (int i = 0; i < dims / 2; i++)
        want[i] = pow(base, -2.0 * i / dims) / (first + step * i);
    near(r, magnitude, want);
}

static const struct ste_rotary *full(int n_ctx)
{
    return ste_rotary_of(&m, STE_ROTARY_FULL, n_ctx);
}

static void frequencies(void **state)
{
    begin(&ste_arch_llama);
    opens();
    near_divided(full(CTX), 1, HD, 10000, 1, 0);
    assert_null(ste_rotary_of(&m, STE_ROTARY_SLIDING, CTX));
    begin(&ste_arch_llama);
    whole("rope.dimension_count", 8);
    real("rope.scale_linear", 4);
    opens();
    near_divided(full(CTX), 1, 8, 10000, 4, 0);
    begin(&ste_arch_llama);
    string("rope.scaling.type", "linear");
    whole("rope.scaling.factor", 8);
    tensor("rope_freqs.weight", HD / 2, 1, 0.5);
    opens();
    near_divided(full(CTX), 1, HD, 10000, 8, 4);
    begin(&ste_arch_llama);
    string("rope.scaling.type", "none");
    whole("rope.scaling.factor", 8);
    opens();
    near_divided(full(CTX), 1, HD, 10000, 1, 0);
}

static void yarn(double factor, uint32_t n_first)
{
    begin(&ste_arch_llama);
    string("rope.scaling.type", "yarn");
    real("rope.scaling.factor", factor);
    whole("rope.scaling.original_context_length", n_first);
}

static void yarn_is_transformers(void **state)
{
    static const double usual[] = {1.0,
                                   0.2239946573972702,
                                   0.0416666641831398,
                                   0.0039528473280370235,
                                   0.0012499999720603228,
                                   0.00039528473280370235,
                                   0.0001250000059371814,
                                   3.9528473280370235e-05};
    static const double narrow[] = {1.0,
                                    0.23717081546783447,
                                    0.04999999701976776,
                                    0.007905694656074047,
                                    0.0024999999441206455,
                                    0.0007905694656074047,
                                    0.0002500000118743628,
                                    7.905694656074047e-05};
    yarn(8, 128);
    opens();
    near(full(CTX), 1.2079441541679836, usual);
    yarn(8, 128);
    real("rope.scaling.yarn_log_multiplier", 0.5);
    opens();
    near(full(CTX), 1.094179988101349, usual);
    yarn(4, 256);
    real("rope.scaling.yarn_beta_fast", 16);
    real("rope.scaling.yarn_beta_slow", 2);
    real("rope.scaling.yarn_attn_factor", 1.5);
    real("rope.scaling.yarn_ext_factor", 1);
    opens();
    near(full(CTX), 1.5, narrow);
    yarn(4, 256);
    real("rope.scaling.yarn_ext_factor", 0.5);
    refused("mixes frequencies by 0.5 (llama.rope.scaling.yarn_ext_factor)");
    yarn(4, 256);
    real("rope.scaling.yarn_beta_slow", 0);
    refused("llama.rope.scaling.yarn_beta_slow is 0, not a positive number");
}

static void longrope_goes_by_the_context(void **state)
{
    begin(&ste_arch_phi3);
    whole("rope.dimension_count", 12);
    whole("rope.scaling.original_context_length", 256);
    real("rope.scaling.attn_factor", 1.25);
    tensor("rope_factors_short.weight", 6, 1, 0.1);
    tensor("rope_factors_long.weight", 6, 2, 3);
    opens();
    near_divided(full(256), 1.25, 12, 10000, 1, 0.1);
    near_divided(full(257), 1.25, 12, 10000, 2, 3);
    begin(&ste_arch_phi3);
    tensor("rope_factors_short.weight", HD / 2, 1, 0.1);
    refused("lacks the tensor 'rope_factors_long.weight'");
    begin(&ste_arch_phi3);
    string("rope.scaling.type", "longrope");
    refused("lacks the tensor 'rope_factors_short.weight'");
    begin(&ste_arch_llama);
    tensor("rope_freqs.weight", 3, 1, 1);
    refused("tensor 'rope_freqs.weight' is not 8 numbers");
    begin(&ste_arch_llama);
    tensor("rope_freqs.weight", HD / 2, 3, -1);
    refused("'rope_freqs.weight' has a number that is not positive");
}

static void kinds(const char *windows) /* s: slides by a RoPE of its own, w: by that of all, n: turns not, f: full */
{
    for (int i = 0; i < LAYERS; i++) {
        const char c = windows[i];
        const bool slides = c == 's' || c == 'w';
        if (layers[i].window != (slides ? 20 : 0) || layers[i].rotary != (c == 'n'   ? STE_ROTARY_NONE
                                                                          : c == 's' ? STE_ROTARY_SLIDING
                                                                                     : STE_ROTARY_FULL))
            fail_msg("layer %d: window %d, turns %d, and not %c", i, layers[i].window, (int)layers[i].rotary, c);
    }
}

static void windows(void **state)
{
    begin(&ste_arch_gemma3);
    whole("attention.sliding_window", 20);
    real("rope.scaling.factor", 8);
    opens();
    kinds("sssssfs");
    near_divided(full(CTX), 1, HD, 10000, 8, 0);
    near_divided(ste_rotary_of(&m, STE_ROTARY_SLIDING, CTX), 1, HD, 10000, 1, 0);
    begin(&ste_arch_gemma3);
    whole("attention.sliding_window", 20);
    whole("attention.sliding_window_pattern", 2);
    real("rope.freq_base_swa", 300);
    opens();
    kinds("sfsfsfs");
    near_divided(ste_rotary_of(&m, STE_ROTARY_SLIDING, CTX), 1, HD, 300, 1, 0);
    begin(&ste_arch_olmo2);
    whole("attention.sliding_window", 20);
    booleans("attention.sliding_window_pattern", "ynnyyny");
    opens();
    kinds("sffssfs");
    begin(&ste_arch_olmo2);
    opens();
    kinds("fffffff");
    begin(&ste_arch_llama);
    whole("attention.sliding_window", 20);
    opens();
    kinds("wwwwwww");
    begin(&ste_arch_llama);
    whole("attention.sliding_window", CTX); /* nothing is ever out of it */
    opens();
    kinds("fffffff");
    begin(&ste_arch_olmo2);
    whole("attention.sliding_window", 20);
    booleans("attention.sliding_window_pattern", "yn");
    refused("olmo2.attention.sliding_window_pattern says so of 2 layers, and there are 7");
    begin(&ste_arch_gemma3);
    real("attention.sliding_window", 2.5);
    refused("gemma3.attention.sliding_window is 2.5, not a number of positions");
    begin(&ste_arch_gemma3);
    whole("attention.sliding_window", 20);
    real("rope.freq_base_swa", -1);
    refused("gemma3.rope.freq_base_swa is -1, not a positive number");
}

static void layers_without(void **state)
{
    begin(&ste_arch_smollm3);
    opens();
    kinds("fffnfff");
    begin(&ste_arch_granite);
    boolean("rope.scaling.finetuned", false);
    opens();
    kinds("nnnnnnn");
    assert_null(full(CTX));
    begin(&ste_arch_llama); /* there it says something else */
    boolean("rope.scaling.finetuned", false);
    opens();
    kinds("fffffff");
}

static void queries_grow(void **state)
{
    begin(&ste_arch_mistral3);
    whole("rope.scaling.original_context_length", 100);
    opens();
    assert_true(ste_query_scale(&m.hp, CTX) == 1);
    begin(&ste_arch_mistral3);
    whole("rope.scaling.original_context_length", 100);
    real("attention.temperature_scale", 0.5);
    opens();
    assert_true(ste_query_scale(&m.hp, 99) == 1);
    assert_true(fabs(ste_query_scale(&m.hp, 100) - (1 + 0.5 * log(2))) < 1e-6);
    assert_true(fabs(ste_query_scale(&m.hp, 399) - (1 + 0.5 * log(4))) < 1e-6);
    begin(&ste_arch_mistral3);
    real("attention.temperature_scale", NAN);
    refused("mistral3.attention.temperature_scale");
}

static void a_context_is_no_longer_than_the_models(void **state)
{
    const struct ste_hparams small = {.n_ctx_train = 100}, large = {.n_ctx_train = 1 << 20};
    assert_int_equal(ste_n_ctx(&small, 0), 100);
    assert_int_equal(ste_n_ctx(&small, 50), 50);
    assert_int_equal(ste_n_ctx(&small, 500), 100);
    assert_int_equal(ste_n_ctx(&large, 0), 8192);
    assert_int_equal(ste_n_ctx(&large, 100000), 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frequencies),
                                       cmocka_unit_test(yarn_is_transformers),
                                       cmocka_unit_test(longrope_goes_by_the_context),
                                       cmocka_unit_test(windows),
                                       cmocka_unit_test(layers_without),
                                       cmocka_unit_test(queries_grow),
                                       cmocka_unit_test(a_context_is_no_longer_than_the_models)};
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    ste_gguf_close(m.gguf);
    return rc;
}
