/* Dialogues out of rendered chat templates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "data/rendered.h"

/* TEXT reads as a user's QUESTION behind SYSTEM (NULL: none), and its answer begins with ANSWER (NULL: it has none). */
static void reads(const char *text, const char *system, const char *question, const char *answer)
{
    struct ste_dialogue d = {0};
    const char *begins;
    ste_rendered_read(&d, text, &begins);
    assert_int_equal(d.n, system ? 2 : 1);
    if (system) {
        assert_int_equal(d.turns[0].role, STE_ROLE_SYSTEM);
        assert_string_equal(d.turns[0].text, system);
    }
    assert_int_equal(d.turns[d.n - 1].role, STE_ROLE_USER);
    assert_string_equal(d.turns[d.n - 1].text, question);
    if (answer)
        assert_string_equal(begins, answer);
    else
        assert_null(begins);
    ste_dialogue_clear(&d);
}

static void test_families(void **state)
{
    reads("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
          "Be brief.", "Why?", "");
    reads("system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.", "Be brief.",
          "Why?", "So.");
    reads("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n", NULL, "Why?", "So.<|im_end|>\n");
    reads("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant"
          "<|end_header_id|>\n\nSo.",
          NULL, "Why?", "So.");
    reads("<bos><start_of_turn>user\nWhy?<end_of_turn>\n<start_of_turn>model\n", NULL, "Why?", "");
    reads("<|user|>\nWhy?<|end|>\n<|assistant|>\nSo.", NULL, "Why?", "So.");
    reads("<|system|>\nS</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n", "S", "Why?", "");
    reads("<s>[INST] Why? [/INST] So.</s>", NULL, "Why?", " So.</s>");
    reads("<｜begin▁of▁sentence｜>Rules.<｜User｜>Why?<｜Assistant｜><think>\n", "Rules.", "Why?", "<think>\n");
}

static void test_no_dialogue(void **state)
{
    reads("Why?", NULL, "Why?", NULL);
    reads("", NULL, "", NULL);
    reads("user\nWhy?", NULL, "user\nWhy?", NULL);
    /* does not end with the assistant */
    reads("<|im_start|>user\nWhy?<|im_end|>\n", NULL, "<|im_start|>user\nWhy?<|im_end|>\n", NULL);
    /* an assistant that nobody asked */
    reads("<|im_start|>assistant\n", NULL, "<|im_start|>assistant\n", NULL);
    /* a role that is not known */
    const char *tool = "<|im_start|>tool\nx<|im_end|>\n<|im_start|>assistant\n";
    reads(tool, NULL, tool, NULL);
}

static void test_turns(void **state)
{
    struct ste_dialogue d = {0};
    const char *answer;
    ste_rendered_read(&d,
                      "<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n1.<|im_end|>\n<|im_start|>user\n2?"
                      "<|im_end|>\n<|im_start|>assistant\n",
                      &answer);
    assert_int_equal(d.n, 3);
    assert_int_equal(d.turns[1].role, STE_ROLE_ASSISTANT);
    assert_string_equal(d.turns[1].text, "1.");
    assert_string_equal(d.turns[2].text, "2?");
    ste_dialogue_clear(&d);
}

static void test_answer_length(void **state)
{
    assert_int_equal(ste_rendered_answer_length("So.<|im_end|>\n<|endoftext|>"), 3);
    assert_int_equal(ste_rendered_answer_length("So.</s>"), 3);
    assert_int_equal(ste_rendered_answer_length("a </s> b"), 8);
    assert_int_equal(ste_rendered_answer_length("<|im_end|>"), 0);
    assert_int_equal(ste_rendered_answer_length(""), 0);
}

static void test_behind(void **state)
{
    assert_string_equal(ste_rendered_behind("Why?So.", "Why?"), "So.");
    assert_string_equal(ste_rendered_behind("Why?", "Why?"), "");
    assert_null(ste_rendered_behind("Who?So.", "Why?"));
    /* a plain prompt whose beginning is gone cannot be told from its answer */
    assert_null(ste_rendered_behind("y?So.", "Why?"));
    const char *prompt = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n";
    assert_string_equal(ste_rendered_behind("y?<|im_end|>\n<|im_start|>assistant\nSo.", prompt), "So.");
    assert_null(ste_rendered_behind("So.", prompt));
    /* in a time that grows with the length and no faster */
    const size_t n = 2000000;
    char *a = ste_xmalloc(n + 64), *b = ste_xmalloc(n + 64);
    memset(a, 'a', n);
    memset(b, 'a', n);
    strcpy(a + n, "[/INST]");
    strcpy(b + n, "b[/INST]");
    assert_null(ste_rendered_behind(a, b));
    ste_xfree(a);
    ste_xfree(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),      cmocka_unit_test(test_no_dialogue), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_answer_length), cmocka_unit_test(test_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
