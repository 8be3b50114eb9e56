/* What the judging routes read of their requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/json.h"
#include "core/mem.h"
#include "serve/asked.h"

static struct ste_asked asked;
static json_t *bad;
static struct ste_err err;

static int reading(ste_asked_reader *read, const void *how, const char *text)
{
    ste_asked_clear(&asked);
    json_decref(bad);
    bad = json_array();
    err = (struct ste_err){0};
    json_t *body = ste_json_parse(text, strlen(text), "the body", &err);
    assert_non_null(body);
    int rc = read(&asked, body, how, bad, &err);
    json_decref(body);
    assert_true(rc == 0 || (rc == STE_EINPUT && *err.msg));
    return rc;
}

static void reads(ste_asked_reader *read, const char *text)
{
    if (reading(read, NULL, text))
        fail_msg("%s: %s", text, err.msg);
}

static void refuses(ste_asked_reader *read, const char *text, const char *part)
{
    if (!reading(read, NULL, text))
        fail_msg("%s: was read", text);
    if (!strstr(err.msg, part))
        fail_msg("%s: %s, without: %s", text, err.msg, part);
}

static int teardown(void **state)
{
    ste_asked_clear(&asked);
    json_decref(bad);
    bad = NULL;
    return 0;
}

static void test_pair(void **state)
{
    reads(ste_asked_judge, "{\"prompt\": \"Why?\", \"response_a\": \"x\", \"response_b\": \"y\", \"id\": 7, \"votes\": "
                           "4, \"order\": \"one\", \"reasons\": true, \"reference\": \"z\", \"own\": 1}");
    assert_false(asked.many);
    assert_true(asked.one_order && asked.reasons);
    assert_int_equal(asked.votes, 4);
    assert_int_equal(asked.pairs.n, 1);
    const struct ste_answer_pair *p = asked.pairs.items;
    assert_string_equal(p->id, "7");
    assert_string_equal(p->first, "x");
    assert_string_equal(p->second, "y");
    assert_string_equal(p->prompt.turns[0].text, "Why?");
    assert_string_equal(p->references.items[0], "z");
    assert_int_equal(json_object_size(p->row), 1); /* the id as it was given */
    assert_int_equal(json_integer_value(json_object_get(p->row, "id")), 7);

    reads(ste_asked_judge, "{\"pairs\": [{\"messages\": [{\"role\": \"user\", \"content\": \"Why?\"}], "
                           "\"response_a\": \"x\", \"response_b\": [{\"role\": \"assistant\", \"content\": \"y\"}]}, "
                           "{\"prompt\": \"Why?\", \"response_a\": \"y\", \"response_b\": \"x\"}]}");
    assert_true(asked.many);
    assert_int_equal(asked.votes, -1);
    assert_int_equal(asked.pairs.n, 2);
    assert_string_equal(asked.pairs.items[0].second, "y");
    /* what has no id is known by what it holds, whichever answer stands first */
    assert_string_equal(asked.pairs.items[0].id, asked.pairs.items[1].id);
    assert_int_equal(json_object_size(asked.pairs.items[0].row), 0);
}

static void test_bad_pairs(void **state)
{
    refuses(ste_asked_judge, "[]", "object");
    refuses(ste_asked_judge, "{}", "response_a");
    refuses(ste_asked_judge, "{\"response_a\": \"x\", \"response_b\": \"y\"}", "no prompt");
    refuses(ste_asked_judge, "{\"pairs\": []}", "list of 1 to");
    refuses(ste_asked_judge,
            "{\"pairs\": [{\"prompt\": \"q\", \"response_a\": \"x\", \"response_b\": \"y\"}, 3, "
            "{\"prompt\": \"q\", \"response_a\": \"x\"}]}",
            "pairs[1] must be an object (and 1 more");
    assert_int_equal(json_array_size(bad), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(bad, 1), "index")), 2);
    assert_non_null(strstr(json_string_value(json_object_get(json_array_get(bad, 1), "message")), "response_b"));
    refuses(ste_asked_judge,
            "{\"pairs\": [{\"id\": 1, \"prompt\": \"q\", \"response_a\": \"x\", \"response_b\": "
            "\"y\"}, {\"id\": \"1\", \"prompt\": \"q\", \"response_a\": \"x\", \"response_b\": \"z\"}]}",
            "pairs[1]: its id");
#define PAIR "\"prompt\": \"q\", \"response_a\": \"x\", \"response_b\": \"y\""
    refuses(ste_asked_judge, "{" PAIR ", \"votes\": 3}", "votes");
    refuses(ste_asked_judge, "{" PAIR ", \"votes\": -2}", "votes");
    refuses(ste_asked_judge, "{" PAIR ", \"votes\": 1e3}", "votes");
    refuses(ste_asked_judge, "{" PAIR ", \"votes\": 1000000}", "votes");
    refuses(ste_asked_judge, "{" PAIR ", \"order\": \"three\"}", "order must be \"both\" or \"one\"");
    refuses(ste_asked_judge, "{" PAIR ", \"order\": 1}", "order");
    refuses(ste_asked_judge, "{" PAIR ", \"reasons\": \"yes\"}", "reasons");
    refuses(ste_asked_judge, "{" PAIR ", \"references\": [1]}", "reference 1");
    refuses(ste_asked_judge, "{\"pairs\": [{" PAIR "}], \"vote\": 2}", "vote beside pairs");
    refuses(ste_asked_judge, "{\"pairs\": [{" PAIR "}], \"by\": \"share\"}", "by beside pairs");
    reads(ste_asked_judge, "{\"pairs\": [{" PAIR "}], \"model\": \"judge\"}");
    /* a message may not end in half a character */
    char text[512], id[128];
    for (size_t i = 0; i + 3 < sizeof id; i += 3)
        memcpy(id + i, "€", 4);
    snprintf(text, sizeof text, "{\"pairs\": [{\"id\": \"%s\", " PAIR "}, {\"id\": \"%s\", " PAIR "}]}", id, id);
    refuses(ste_asked_judge, text, "its id");
    assert_true(json_is_string(json_object_get(json_array_get(bad, 0), "message")));
}

static void test_score(void **state)
{
    reads(ste_asked_score, "{\"prompt\": \"Why?\", \"response\": \"x\", \"id\": \"a\"}");
    assert_int_equal(asked.rows.n, 1);
    assert_string_equal(asked.rows.items[0].text, "x");
    assert_string_equal(asked.rows.items[0].id, "a");
    reads(ste_asked_score, "{\"answers\": [{\"prompt\": \"Why?\", \"output\": \"x\"}, {\"prompt\": \"Why?\", "
                           "\"answer\": \"y\", \"references\": [\"r\", \"s\"]}]}");
    assert_int_equal(asked.rows.n, 2);
    assert_int_equal(asked.rows.items[1].references.n, 2);
    refuses(ste_asked_score, "{\"prompt\": \"Why?\"}", "no answer");
    refuses(ste_asked_score, "{\"answers\": [{\"output\": \"x\"}]}", "answers[0]: no prompt");
}

static void test_groups(void **state)
{
    reads(ste_asked_rank, "{\"prompt\": \"Why?\", \"answers\": {\"m\": \"x\", \"n\": \"y\"}, \"verdict\": \"both\"}");
    assert_true(asked.need_both);
    assert_int_equal(asked.n_groups, 1);
    assert_string_equal(asked.groups[0].names.items[1], "n");
    assert_string_equal(asked.groups[0].answers.items[1], "y");
    refuses(ste_asked_rank, "{\"prompt\": \"Why?\", \"answers\": [\"x\"]}", "list of 2 to");
    refuses(ste_asked_rank, "{\"prompt\": \"Why?\", \"answers\": [\"x\", \"y\"], \"anchor\": \"z\"}", "anchor");
    reads(ste_asked_group, "{\"groups\": [{\"prompt\": \"Why?\", \"responses\": [\"x\"], \"anchor\": \"z\"}], \"by\": "
                           "\"margin\", \"zero_sum\": true, \"fallback\": -1}");
    assert_int_equal(asked.by, STE_REWARD_MARGIN);
    assert_true(asked.zero_sum && asked.has_fallback);
    assert_true(asked.fallback == -1);
    assert_string_equal(asked.groups[0].anchor, "z");
    refuses(ste_asked_group, "{\"groups\": [{\"prompt\": \"Why?\", \"responses\": [\"x\", 2]}]}", "groups[0]");
    refuses(ste_asked_group, "{\"groups\": {}}", "list");
    reads(ste_asked_group, "{\"prompt\": \"<|im_start|>user\\nWhy?<|im_end|>\\n<|im_start|>assistant\\n\", "
                           "\"responses\": [\"x<|im_end|>\", \"y\"], \"rendered\": true}");
    assert_string_equal(asked.groups[0].prompt.turns[0].text, "Why?");
    assert_string_equal(asked.groups[0].answers.items[0], "x");

    struct ste_buf many = STE_BUF_INIT;
    ste_buf_adds(&many, "{\"prompt\": \"Why?\", \"responses\": [\"0\"");
    for (int i = 0; i < STE_ASKED_ANSWERS; i++)
        ste_buf_addf(&many, ", \"%d\"", i);
    ste_buf_adds(&many, "]}");
    refuses(ste_asked_group, many.s, "list of 2 to");
    ste_buf_clear(&many);
}

static void test_flat(void **state)
{
    reads(ste_asked_group,
          "{\"prompts\": [\"p\", \"q\", \"p\", \"q\"], \"completions\": [\"a\", \"b\", \"c\", [{\"role\": "
          "\"assistant\", \"content\": \"d\"}]], \"zero_sum\": true}");
    assert_int_equal(asked.flat, 4);
    assert_int_equal(asked.n_groups, 2);
    assert_string_equal(asked.groups[1].answers.items[1], "d");
    assert_int_equal(asked.groups[0].places[1], 2);
    assert_int_equal(asked.groups[1].places[0], 1);
    refuses(ste_asked_group, "{\"prompts\": [\"p\", \"p\"], \"responses\": [\"a\"]}", "one length");
    refuses(ste_asked_group, "{\"prompts\": [\"p\", \"p\", \"q\"], \"responses\": [\"a\", \"b\", \"c\"]}",
            "prompts[2]");
    refuses(ste_asked_group, "{\"prompts\": [\"p\"], \"responses\": [\"a\"], \"anchors\": []}", "one length");
    reads(ste_asked_group, "{\"prompts\": [\"p\", \"p\"], \"responses\": [\"a\", \"b\"], \"anchors\": [\"z\", \"y\"]}");
    assert_int_equal(asked.n_groups, 2);
    assert_string_equal(asked.groups[1].anchor, "y");
}

static const char *none(void *arg, const char *name)
{
    return NULL;
}

static const char *query(void *arg, const char *name)
{
    const char *const *pairs = arg;
    for (; *pairs; pairs += 2)
        if (strcmp(*pairs, name) == 0)
            return pairs[1];
    return NULL;
}

static void test_trainer_queries(void **state)
{
    struct ste_trainer_asks how;
    assert_int_equal(ste_trainer_asks_read(&how, none, NULL, &err), 0);
    assert_true(how.label == STE_LABEL_UNUSED && how.by == STE_REWARD_SCORE && !how.has_fallback);
    const char *anchor[] = {"label", "anchor", "fallback", "0.5", NULL}, *bad_use[] = {"label", "x", NULL},
               *bad_by[] = {"by", "share", NULL}, *bad_number[] = {"fallback", "nan", NULL},
               *margin[] = {"label", "anchor", "by", "margin", NULL};
    assert_int_equal(ste_trainer_asks_read(&how, query, anchor, &err), 0);
    assert_true(how.label == STE_LABEL_ANCHOR && how.by == STE_REWARD_SHARE && how.fallback == 0.5);
    assert_int_equal(ste_trainer_asks_read(&how, query, margin, &err), 0);
    assert_true(how.by == STE_REWARD_MARGIN);
    assert_int_equal(ste_trainer_asks_read(&how, query, bad_use, &err), STE_EINPUT);
    assert_int_equal(ste_trainer_asks_read(&how, query, bad_by, &err), STE_EINPUT);
    assert_int_equal(ste_trainer_asks_read(&how, query, bad_number, &err), STE_EINPUT);
}

#define CHAT "<|im_start|>user\\nWhy?<|im_end|>\\n<|im_start|>assistant\\n"

static void test_openrlhf(void **state)
{
    struct ste_trainer_asks how = {.by = STE_REWARD_SCORE};
    assert_int_equal(reading(ste_asked_openrlhf, &how,
                             "{\"query\": [\"" CHAT "So.<|im_end|>\", \"Who?I.</s>\"], \"prompts\": [\"" CHAT
                             "\", \"Who?\"], \"labels\": [\"x\", null]}"),
                     0);
    assert_int_equal(asked.rows.n, 2);
    assert_string_equal(asked.rows.items[0].text, "So.");
    assert_string_equal(asked.rows.items[0].prompt.turns[0].text, "Why?");
    assert_string_equal(asked.rows.items[1].text, "I.");
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"" CHAT "So.\"]}"), 0);
    assert_string_equal(asked.rows.items[0].text, "So.");
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"So.\"]}"), STE_EINPUT);
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"So.\"], \"prompts\": [\"Who?\"]}"), STE_EINPUT);
    assert_non_null(strstr(err.msg, "query[0]"));
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"a\"], \"prompts\": []}"), STE_EINPUT);
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": \"a\"}"), STE_EINPUT);
    assert_int_equal(reading(ste_asked_openrlhf, &how, "[1]"), STE_EINPUT);

    how.label = STE_LABEL_ANCHOR;
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"" CHAT "So.\"], \"labels\": [\"x\"]}"), 0);
    assert_int_equal(asked.n_groups, 1);
    assert_string_equal(asked.groups[0].anchor, "x");
    assert_string_equal(asked.groups[0].answers.items[0], "So.");
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"" CHAT "So.\"], \"labels\": [3]}"), STE_EINPUT);
    how.label = STE_LABEL_REFERENCE;
    assert_int_equal(reading(ste_asked_openrlhf, &how, "{\"query\": [\"" CHAT "So.\"], \"labels\": [\"x\"]}"), 0);
    assert_string_equal(asked.rows.items[0].references.items[0], "x");
}

static void test_slime(void **state)
{
    struct ste_trainer_asks how = {.by = STE_REWARD_SCORE};
    assert_int_equal(reading(ste_asked_slime, &how, "{\"prompt\": \"" CHAT "\", \"response\": \"So.\", \"label\": 3}"),
                     0);
    assert_string_equal(asked.rows.items[0].prompt.turns[0].text, "Why?");
    assert_int_equal(
        reading(ste_asked_slime, &how,
                "{\"prompt\": [{\"role\": \"user\", \"content\": \"Why?\"}], \"response\": \"So.<|im_end|>\"}"),
        0);
    assert_string_equal(asked.rows.items[0].text, "So.");
    assert_int_equal(reading(ste_asked_slime, &how, "{\"prompt\": \"\", \"response\": \"So.\"}"), STE_EINPUT);
    assert_int_equal(reading(ste_asked_slime, &how, "{\"prompt\": 1, \"response\": \"So.\"}"), STE_EINPUT);
    assert_int_equal(reading(ste_asked_slime, &how, "{\"prompt\": \"p\"}"), STE_EINPUT);
    assert_int_equal(reading(ste_asked_slime, &how, "7"), STE_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair),     cmocka_unit_test(test_bad_pairs), cmocka_unit_test(test_score),
        cmocka_unit_test(test_groups),   cmocka_unit_test(test_flat),      cmocka_unit_test(test_trainer_queries),
        cmocka_unit_test(test_openrlhf), cmocka_unit_test(test_slime),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
