/* JUDGE as users write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/file.h"
#include "judge/judge.h"

static char root[] = "/tmp/ste-spec-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    *strrchr(path, '/') = 0;
    assert_int_equal(ste_mkdirs(path, NULL), 0);
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(ste_file_write(path, text, strlen(text), NULL), 0);
}

static int setup(void **state)
{
    if (!mkdtemp(root))
        return -1;
    const char *recipe =
        "models:\n  seed: some-model\nprompts:\n  pack: direct\n  folder: \"\"\nverdict:\n  mode: pack\n";
    put("run/recipe.resolved.yaml", recipe);
    put("run/adapters/iter-2/adapter_config.json", "{}");
    put("run/adapters/iter-10/adapter_config.json", "{}");
    put("run/adapters/iter-11.part/adapter_config.json", "{}");
    put("run/adapters/iter-12/README", "no adapter");
    put("fresh/recipe.resolved.yaml", "models: {seed: some-model}\nverdict: {mode: free}\n");
    put("headless/recipe.resolved.yaml", "prompts: {pack: small}\n");
    put("plain/file", "");
    put("adapter/adapter_config.json", "{\"task_type\": \"CAUSAL_LM\", \"base_model_name_or_path\": \"some-model\"}");
    put("reward/adapter_config.json", "{\"task_type\": \"SEQ_CLS\", \"base_model_name_or_path\": \"some-model\"}");
    put("baseless/adapter_config.json", "{\"task_type\": \"CAUSAL_LM\"}");
    return 0;
}

static int teardown(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static int parse(struct ste_judge_spec *s, const char *form, struct ste_err *err)
{
    char judge[256];
    snprintf(judge, sizeof judge, form, root);
    *err = (struct ste_err){0};
    return ste_judge_spec_parse(s, judge, err);
}

static void forms(void **state)
{
    struct ste_judge_spec s;
    struct ste_err err;
    char want[256];
    assert_int_equal(parse(&s, "smollm2-135m-instruct", &err), 0);
    assert_string_equal(s.model, "smollm2-135m-instruct");
    assert_null(s.adapter);
    assert_null(s.pack);
    ste_judge_spec_clear(&s);

    assert_int_equal(parse(&s, "http://localhost:8000/v1,http://b:1/v1#org/base", &err), 0);
    assert_string_equal(s.model, "http://localhost:8000/v1,http://b:1/v1#org/base");
    assert_null(s.adapter);
    ste_judge_spec_clear(&s);

    assert_int_equal(parse(&s, "%s/run", &err), 0);
    assert_string_equal(s.model, "some-model");
    snprintf(want, sizeof want, "%s/run/adapters/iter-10", root);
    assert_string_equal(s.adapter, want);
    assert_string_equal(s.pack, "direct");
    assert_null(s.pack_folder);
    assert_int_equal(s.mode, STE_MODE_PACK);
    ste_judge_spec_clear(&s);

    assert_int_equal(parse(&s, "%s/run:2", &err), 0);
    snprintf(want, sizeof want, "%s/run/adapters/iter-2", root);
    assert_string_equal(s.adapter, want);
    ste_judge_spec_clear(&s);

    assert_int_equal(parse(&s, "%s/run:0", &err), 0);
    assert_null(s.adapter);
    assert_string_equal(s.pack, "direct");
    ste_judge_spec_clear(&s);

    for (int reward = 0; reward < 2; reward++) {
        assert_int_equal(parse(&s, reward ? "%s/reward" : "%s/adapter", &err), 0);
        assert_string_equal(s.model, "some-model");
        snprintf(want, sizeof want, "%s/%s", root, reward ? "reward" : "adapter");
        assert_string_equal(s.adapter, want);
        assert_null(s.pack);
        assert_int_equal(s.reward, reward);
        ste_judge_spec_clear(&s);
    }

    assert_int_equal(parse(&s, "likelihood:%s/run:2", &err), 0);
    assert_true(s.likelihood);
    assert_string_equal(s.model, "some-model");
    assert_non_null(strstr(s.adapter, "/run/adapters/iter-2"));
    ste_judge_spec_clear(&s);
    assert_int_equal(parse(&s, "likelihood:smollm2-135m-instruct", &err), 0);
    assert_string_equal(s.model, "smollm2-135m-instruct");
    ste_judge_spec_clear(&s);

    assert_int_equal(parse(&s, "%s/fresh:0", &err), 0);
    assert_false(s.likelihood);
    assert_null(s.pack);
    assert_int_equal(s.mode, STE_MODE_FREE);
    ste_judge_spec_clear(&s);
}

static void refused(void **state)
{
    static const struct {
        const char *form;
        int code;
        const char *says;
    } bad[] = {
        {"%s/run:3", STE_ENOTFOUND, "newest iteration is 10"},
        {"%s/run:12", STE_ENOTFOUND, "newest iteration is 10"},
        {"%s/run:x", STE_EUSAGE, "is a number"},
        {"%s/run:", STE_EUSAGE, "is a number"},
        {"%s/run:-1", STE_EUSAGE, "is a number"},
        {"%s/fresh", STE_ENOTFOUND, "no trained iteration yet"},
        {"%s/headless:0", STE_EINPUT, "models.seed"},
        {"%s/plain", STE_ENOTFOUND, "not a run"},
        {"%s/baseless", STE_ENOTFOUND, "base_model_name_or_path"},
        {"%s/plain:1", STE_ENOTFOUND, "not a run"},
        {"likelihood:", STE_EUSAGE, "no name"},
        {"likelihood:%s/reward", STE_EUSAGE, "reward model"},
        {"likelihood:%s/plain", STE_ENOTFOUND, "not a run"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ste_judge_spec s;
        struct ste_err err;
        int rc = parse(&s, bad[i].form, &err);
        if (rc != bad[i].code || !strstr(err.msg, bad[i].says))
            print_message("%s -> %d %s\n", bad[i].form, rc, err.msg);
        assert_int_equal(rc, bad[i].code);
        assert_non_null(strstr(err.msg, bad[i].says));
        assert_null(s.model);
    }
    struct ste_judge_spec s;
    struct ste_err err;
    assert_int_equal(ste_judge_spec_parse(&s, "", &err), STE_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
