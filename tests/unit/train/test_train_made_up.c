/* An architecture that ste does not know, made up in this file and nowhere else. Its description is all that the
 * loader, the engine, the trainer and the files of adapters need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../engine/small_model.h"
#include "slopes.h"

static const struct ste_key keys[] = {STE_KEY_REAL("attention.scale", attn_scale, true),
                                      STE_KEY_REAL("embedding_scale", embedding_scale, true),
                                      STE_KEY_REAL("residual_scale", residual_scale, true),
                                      STE_KEY_DIVISOR("logit_scale", output_scale, true), STE_KEYS_END};
/* It norms each head of q and all of k, and what a block adds instead of what attention reads; q, k and v are rows of
 * one tensor. */
static const struct ste_arch made_up = {
    .name = "madeup",
    .keys = keys,
    .linear = {STE_USUAL_LINEARS},
    .fused = {{"attn_qkv", "self_attn.qkv_proj", STE_Q, 3}},
    .bias = {[STE_O] = true, [STE_K] = true},
    .norm = {[STE_NORM_Q] = {"attn_q_norm", STE_WIDTH_HEAD},
             [STE_NORM_K] = {"attn_k_norm", STE_WIDTH_KV},
             [STE_NORM_ATTN_OUT] = {"post_attention_norm", STE_WIDTH_MODEL},
             [STE_NORM_FFN] = {"ffn_norm", STE_WIDTH_MODEL},
             [STE_NORM_FFN_OUT] = {"post_ffw_norm", STE_WIDTH_MODEL}},
    .gate = STE_GATE_GELU,
    .rope = STE_ROPE_HALVES,
};

enum { N = 90 };
static struct ste_err err;
static struct ste_model *m;
static struct ste_lora *lora;
static int32_t ids[N];

static void it_loads(void **state)
{
    assert_true(fabs(m->hp.attn_scale - 0.3) < 1e-6);
    assert_true(fabs(m->hp.output_scale - 1 / 0.3) < 1e-5);
    assert_int_equal(m->layers[1].norm[STE_NORM_K]->shape[0], SM_KV * SM_HD);
    const struct ste_tensor *q = m->layers[1].linear[STE_Q], *v = m->layers[1].linear[STE_V];
    assert_int_equal(v->shape[1], SM_KV * SM_HD);
    assert_ptr_equal(v->data, (const float *)q->data + (SM_HEADS + SM_KV) * SM_HD * SM_D);
    assert_ptr_equal(lora->factors[1][STE_V].a, lora->factors[1][STE_Q].a);
    struct ste_model *other;
    struct ste_lora *again;
    char *path = gw_temp("adapter"), *rm = ste_xasprintf("rm -r '%s'", path);
    assert_int_equal(ste_model_open(&other, ste_gguf_path(m->gguf), &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "architecture 'madeup'"));
    assert_int_equal(ste_lora_write_peft(lora, m, "madeup", path, &err), 0);
    assert_int_equal(ste_lora_read_peft(&again, m, path, &err), 0);
    assert_string_equal(again->hash, lora->hash);
    ste_lora_free(again);
    char *config = ste_path_join(path, "adapter_config.json"), *file = ste_path_join(path, "adapter.gguf");
    struct ste_buf b = STE_BUF_INIT;
    struct ste_gguf *g;
    assert_int_equal(ste_file_read(config, 1 << 20, &b, &err), 0);
    assert_non_null(strstr(b.s, "\"qkv_proj\""));
    assert_null(strstr(b.s, "\"k_proj\""));
    assert_int_equal(ste_lora_write_gguf(lora, m, file, &err), 0);
    assert_int_equal(ste_gguf_open(&g, file, &err), 0);
    assert_int_equal(ste_gguf_tensor(g, "blk.1.attn_qkv.weight.lora_b")->shape[1], (SM_HEADS + 2 * SM_KV) * SM_HD);
    assert_non_null(ste_gguf_tensor(g, "blk.1.ffn_up.weight.lora_a"));
    assert_int_equal(ste_gguf_n_tensors(g), SM_LAYERS * 5 * 2);
    ste_gguf_close(g);
    ste_buf_clear(&b);
    free(config);
    free(file);
    assert_int_equal(system(rm), 0);
    free(rm);
    gw_temp_remove(path);
}

/* What the engine gives its own tokens is what the trainer's forward pass gives them. */
static void it_generates_what_it_trains(void **state)
{
    struct ste_engine_params p;
    struct ste_engine *e;
    struct ste_adapter *a;
    struct ste_completion c;
    struct ste_trainer *t = trainer_of(m, lora, 0);
    uint64_t ticket;
    double loss = 0, want = 0;
    ste_engine_default_params(&p);
    assert_int_equal(ste_engine_new(&e, m, &p, &err), 0);
    assert_int_equal(ste_adapter_new(&a, e, lora, &err), 0);
    const struct ste_request r = {.prompt = ids,
                                  .n_prompt = 40,
                                  .adapter = a,
                                  .max_tokens = 50,
                                  .ignore_end_of_turn = true,
                                  .sampling = {.top_p = 1}};
    assert_int_equal(ste_engine_submit(e, &r, &ticket, &err), 0);
    assert_int_equal(ste_engine_next(e, &c, &err), 1);
    memcpy(ids + 40, c.tokens, 50 * sizeof *ids);
    for (int i = 0; i < 50; i++)
        want -= (double)c.logprobs[i] / 50;
    assert_int_equal(ste_trainer_loss(t, &(struct ste_example){ids, N, 40, 1, NULL}, 1, &loss, &err), 0);
    if (fabs(loss - want) > 2e-3 * want) /* K and V of the cache are rounded to f16 */
        fail_msg("the engine's loss is %g, the trainer's %g", want, loss);
    ste_completion_clear(&c);
    ste_adapter_free(a);
    ste_engine_free(e);
    ste_trainer_free(t);
}

static void it_trains(void **state)
{
    const struct ste_example x = {ids, N, 20, 1, NULL};
    struct ste_trainer *t = trainer_of(m, lora, 3e-3);
    struct ste_train_step step = {0};
    double first = 0;
    check_slopes(t, m, &x);
    for (int k = 0; k < 20; k++) {
        assert_int_equal(ste_trainer_step(t, &x, 1, &step, &err), 0);
        first = k ? first : step.loss;
    }
    assert_true(step.loss < 0.8 * first);
    ste_trainer_free(t);
}

/* Fused layers share A, whose gradient is a sum over them too: in the order of the examples, however they are packed.
 */
static void packs_change_nothing(void **state)
{
    const struct ste_example x[] = {{ids, 50, 20, 1, NULL}, {ids + 30, 60, 9, 0.5f, NULL}, {ids + 7, 33, 2, 1, NULL}};
    char hash[2][65];
    for (int packs = 0; packs < 2; packs++) {
        struct ste_train_params p;
        struct ste_trainer *t = NULL;
        struct ste_lora *g;
        double loss;
        ste_train_default_params(&p);
        p.r = lora->r;
        p.alpha = lora->alpha;
        p.micro_tokens = packs ? 1 : 512;
        assert_int_equal(ste_trainer_new(&t, m, NULL, &p, &err), 0);
        assert_int_equal(ste_trainer_set_lora(t, lora, &err), 0);
        assert_int_equal(ste_lora_new(&g, &m->hp, p.r, p.alpha, 0, &err), 0);
        assert_int_equal(ste_trainer_grads(t, x, 3, g, &loss, &err), 0);
        ste_lora_rehash(g);
        strcpy(hash[packs], g->hash);
        ste_lora_free(g);
        ste_trainer_free(t);
    }
    assert_string_equal(hash[0], hash[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_loads), cmocka_unit_test(it_generates_what_it_trains),
                                       cmocka_unit_test(it_trains), cmocka_unit_test(packs_change_nothing)};
    char *path = sm_write(&made_up);
    if (ste_model_open_as(&m, path, &made_up, &err))
        fail_msg("%s", err.msg);
    lora = sm_lora(m);
    for (int i = 0; i < N; i++)
        ids[i] = (i * 37 + i / 7) % TINY_BYTES;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    ste_lora_free(lora);
    ste_model_close(m);
    tiny_model_remove(path);
    return rc;
}
