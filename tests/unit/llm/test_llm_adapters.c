/* Adapters of one model: the same one loaded twice has two holders, and each engine has serials of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "../engine/small_model.h"
#include "engine/adapter.h"
#include "llm/local.h"

static struct ste_llm *open_llm(const char *path)
{
    struct ste_llm *l = NULL;
    struct ste_err err = {0};
    if (ste_llm_open(&l, path, &(struct ste_llm_params){.activations = STE_ACT_AUTO, .threads = 1, .batch = 4}, &err))
        fail_msg("%s", err.msg);
    return l;
}

/* One of a checkpoint that equals the judge's adapter must leave the judge's alone. */
static void an_equal_adapter_is_dropped_alone(void **state)
{
    struct ste_err err = {0};
    char *path;
    ste_model_close(sm_open(&path, "llama"));
    struct ste_llm *l = open_llm(path), *other = open_llm(path);
    struct ste_lora *lora, *second;
    const struct ste_hparams *hp = &ste_engine_model(ste_local_engine(l))->hp;
    assert_int_equal(ste_lora_new(&lora, hp, 4, 8, 1, &err), 0);
    assert_int_equal(ste_lora_new(&second, hp, 4, 8, 2, &err), 0);
    int first, again, third;
    assert_int_equal(ste_local_add_adapter(l, lora, &first, &err), 0);
    assert_int_equal(ste_local_add_adapter(l, lora, &again, &err), 0);
    const struct ste_adapter *kept = ste_local_adapter(l, first);
    assert_ptr_equal(ste_local_adapter(l, again), kept); /* and so the prompts computed with it are shared */
    ste_llm_drop_adapter(l, again);
    assert_ptr_equal(ste_local_adapter(l, first), kept);
    assert_string_equal(ste_llm_adapter_hash(l, first), lora->hash);
    assert_int_equal(ste_local_add_adapter(l, second, &third, &err), 0);
    assert_int_not_equal(third, first);
    assert_int_equal(ste_local_adapter(l, first)->serial, 1);
    assert_int_equal(ste_local_adapter(l, third)->serial, 2);
    ste_llm_drop_adapter(l, first);
    assert_null(ste_local_adapter(l, first));
    assert_int_equal(ste_local_add_adapter(other, second, &first, &err), 0);
    assert_int_equal(ste_local_adapter(other, first)->serial, 1);
    ste_lora_free(lora);
    ste_lora_free(second);
    ste_llm_close(l);
    ste_llm_close(other);
    gw_temp_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_equal_adapter_is_dropped_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
