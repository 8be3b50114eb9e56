/* Prompt packs: the built-in ones, overriding, and every way a pack can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../environment.h"
#include "core/file.h"
#include "judge/pack.h"

static char folder[] = "/tmp/ste-pack-XXXXXX";

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char *path = ste_path_join(folder, "mine.yaml");
    unlink(path);
    free(path);
    return rmdir(folder);
}

static void built_in(void **state)
{
    static const struct {
        const char *name;
        enum ste_verdict_mode mode;
        bool reasoning;
    } want[] = {{"paper", STE_MODE_FREE, true}, {"small", STE_MODE_CLOSED, true}, {"direct", STE_MODE_CLOSED, false}};
    char hashes[3][65];
    for (int i = 0; i < 3; i++) {
        struct ste_pack *p;
        struct ste_err err = {0};
        int rc = ste_pack_load(&p, want[i].name, NULL, &err);
        if (rc)
            print_message("%s\n", err.msg);
        assert_int_equal(rc, 0);
        assert_string_equal(p->name, want[i].name);
        assert_int_equal(p->mode, want[i].mode);
        assert_int_equal(p->reasoning, want[i].reasoning);
        assert_int_equal(strlen(p->hash), 64);
        strcpy(hashes[i], p->hash);
        /* The rubric comes first, so that prefixes are shared: nothing of a pair before half of the text that a
         * judgment with empty answers has, and the request before the answers, so that both orders share it. */
        const struct ste_slot rubric = {"criteria", p->judge_criteria};
        char *user = ste_pack_fill(p->judge_user, &rubric, 1);
        assert_true((size_t)(strstr(user, "{{") - user) > strlen(user) / 2);
        assert_true(strstr(user, "{{prompt}}") < strstr(user, "{{references}}"));
        assert_true(strstr(user, "{{references}}") < strstr(user, "{{response_a}}"));
        free(user);
        assert_true(strstr(p->judge_user, "{{prompt}}") < strstr(p->judge_user, "{{response_a}}"));
        assert_true(strstr(p->judge_user, "{{response_a}}") < strstr(p->judge_user, "{{response_b}}"));
        assert_non_null(p->category_user);
        assert_non_null(p->modify_user);
        assert_non_null(p->worse_user);
        if (p->mode == STE_MODE_CLOSED)
            assert_non_null(p->closing);
        /* What a parser looks for must be what the model was told to write. */
        assert_non_null(strstr(p->modify_and_answer_user, p->one_call_instruction_tag));
        assert_non_null(strstr(p->modify_and_answer_user, p->one_call_answer_tag));
        ste_pack_free(p);
    }
    assert_string_not_equal(hashes[0], hashes[1]);
    assert_string_not_equal(hashes[1], hashes[2]);
}

static int load_text(const char *yaml, struct ste_pack **p, struct ste_err *err)
{
    char *path = ste_path_join(folder, "mine.yaml");
    assert_int_equal(ste_file_write(path, yaml, strlen(yaml), NULL), 0);
    int rc = ste_pack_load(p, path, NULL, err);
    free(path);
    return rc;
}

static void own_pack_on_a_base(void **state)
{
    struct ste_pack *base, *p, *again;
    assert_int_equal(ste_pack_load(&base, "small", NULL, NULL), 0);
    struct ste_err err = {0};
    int rc = load_text("base: small\njudge:\n  closing: \" So: [[\"\n", &p, &err);
    if (rc)
        print_message("%s\n", err.msg);
    assert_int_equal(rc, 0);
    assert_string_equal(p->name, "mine");
    assert_string_equal(p->closing, " So: [[");
    assert_string_equal(p->judge_user, base->judge_user);
    assert_string_not_equal(p->hash, base->hash);
    /* By name from a folder: the same pack, the same hash; what is not there is built in. */
    assert_int_equal(ste_pack_load(&again, "mine", folder, NULL), 0);
    assert_string_equal(again->hash, p->hash);
    ste_pack_free(again);
    assert_int_equal(ste_pack_load(&again, "small", folder, NULL), 0);
    assert_string_equal(again->hash, base->hash);
    ste_pack_free(again);
    assert_int_equal(setenv("STE_PROMPTS", folder, 1), 0);
    assert_int_equal(ste_pack_load(&again, "mine", NULL, NULL), 0);
    unsetenv("STE_PROMPTS");
    ste_pack_free(again);
    ste_pack_free(p);
    ste_pack_free(base);
}

static void wrong_packs(void **state)
{
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"base: small\njudge: {user: \"{{prompt}} {{response_a}} {{fence}}\"}\n", "{{response_b}}"},
        {"base: small\njudge: {user: \"{{prompt}} {{response_a}} {{response_b}} {{fence}} {{winner}}\"}\n",
         "{{winner}}"},
        {"base: small\njudge: {user: \"{{prompt}} {{response_a}} {{response_b}} {{fence}} {{\"}\n", "never closes"},
        {"base: small\njudge: {closng: \"x\"}\n", "did you mean \"closing\""},
        {"base: small\njugde: {closing: \"x\"}\n", "did you mean \"judge\""},
        {"base: small\njudge: {mode: open}\n", "free or closed"},
        {"base: direct\njudge: {mode: free}\n", "base"},
        {"base: small\njudge: {max_tokens: 0}\n", "max_tokens"},
        {"base: small\njudge: {label_a: B}\n", "differ"},
        {"base: small\njudge: {mode: free, reasoning: false}\n", "reasoning"},
        {"base: small\nselect: {category: \"no place for it\"}\n", "{{instruction}}"},
        {"base: nowhere\n", "built-in ones are"},
        {"judge: {mode: closed}\n", "missing"},
        {"- a list\n", "mapping"},
        {"base: [small]\n", "name of a pack"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ste_pack *p = NULL;
        struct ste_err err = {0};
        int rc = load_text(bad[i].yaml, &p, &err);
        if (!rc || !strstr(err.msg, bad[i].says))
            print_message("%s -> %d %s\n", bad[i].yaml, rc, err.msg);
        assert_true(rc < 0);
        assert_non_null(strstr(err.msg, bad[i].says));
    }
    struct ste_err err = {0};
    struct ste_pack *p;
    assert_int_equal(ste_pack_load(&p, "nowhere", NULL, &err), STE_ENOTFOUND);
    assert_non_null(strstr(err.msg, "direct"));
}

static void filling(void **state)
{
    static const struct ste_slot slots[] = {{"prompt", "say {{fence}} and {{prompt}}"}, {"fence", "f00"}};
    char *s = ste_pack_fill("{{fence}}|{{prompt}}|{{fence}}|{{other}}|{{", slots, 2);
    /* A value is never searched: an answer that holds "{{fence}}" does not learn the fence. */
    assert_string_equal(s, "f00|say {{fence}} and {{prompt}}|f00|{{other}}|{{");
    free(s);
    s = ste_pack_fill("", slots, 2);
    assert_string_equal(s, "");
    free(s);
}

int main(void)
{
    read_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in),
        cmocka_unit_test(own_pack_on_a_base),
        cmocka_unit_test(wrong_packs),
        cmocka_unit_test(filling),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
