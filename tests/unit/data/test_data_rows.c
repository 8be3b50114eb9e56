/* Dialogues, pairs, instructions, near-duplicates, the pages of a package index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "data/dialogue.h"
#include "data/index.h"
#include "data/instructions.h"
#include "data/minhash.h"
#include "data/pairs.h"

static char path[] = "/tmp/ste-rows-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

static void put(const char *text)
{
    struct ste_err err;
    assert_int_equal(ste_file_write(path, text, strlen(text), &err), 0);
}

static void has(const struct ste_err *err, const char *part)
{
    if (!strstr(err->msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err->msg, part);
}

static void dialogues_read_in_every_form(void **state)
{
    static const struct {
        const char *row, *text; /* TEXT NULL: refused, with PART */
        const char *part;
    } cases[] = {
        {"{\"instruction\":\"Do\",\"input\":\"this\"}", "Do\n\nthis", NULL},
        {"{\"instruction\":\"Do\",\"input\":\"\"}", "Do", NULL},
        {"{\"question\":\"Which?\",\"choices\":[\"one\",\"two\"]}", "Which?\nA. one\nB. two", NULL},
        {"{\"problem\":\"Solve x.\"}", "Solve x.", NULL},
        {"{\"prompt\":\"Hi\"}", "Hi", NULL},
        {"{\"prompt\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", "Hi", NULL},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"Hi\"}]}",
         "System: S\n\nUser: Hi", NULL},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]}]}", "Hi", NULL},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"},"
         "{\"from\":\"human\",\"value\":\"c\"}],\"system\":\"S\"}",
         "System: S\n\nUser: a\n\nAssistant: b\n\nUser: c", NULL},
        /* of the whole conversation what stands before the answer, also where the prompt has a field of its own */
        {"{\"prompt\":\"Hi\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
         "{\"role\":\"assistant\",\"content\":\"a\"}],\"system\":\"S\"}",
         "System: S\n\nUser: Hi", NULL},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
         "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}",
         "User: a\n\nAssistant: b\n\nUser: c", NULL},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"Hi\"},{\"from\":\"gpt\",\"value\":\"b\"}]}", "Hi", NULL},
        {"{\"conversation\":[{\"role\":\"user\",\"content\":\"Hi\",\"language\":\"English\"},"
         "{\"role\":\"assistant\",\"content\":\"b\"}],\"turn\":1}",
         "Hi", NULL},
        {"{\"prompt\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}", NULL,
         "the last turn"},
        {"{\"text\":\"Hi\"}", NULL, "f:1: no prompt"},
        {"{\"prompt\":\"  \\n\"}", NULL, "f:1: the prompt is empty"},
        {"{\"prompt\":3}", NULL, "f:1: \"prompt\" must be"},
        {"{\"messages\":[]}", NULL, "f:1: the list of messages is empty"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}", NULL, "the last turn"},
        {"{\"messages\":[{\"role\":\"boss\",\"content\":\"a\"}]}", NULL, "the role \"boss\""},
        {"{\"messages\":[{\"role\":\"user\"}]}", NULL, "no text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", NULL, "not text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"b\"}]}", NULL,
         "only the first"},
        {"{\"messages\":[1]}", NULL, "message 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_dialogue d;
        struct ste_err err = {0};
        struct ste_buf b = STE_BUF_INIT;
        json_t *row = json_loads(cases[i].row, 0, NULL);
        assert_non_null(row);
        int rc = ste_dialogue_read(&d, row, "f:1", &err);
        assert_int_equal(rc, cases[i].text ? 0 : STE_EINPUT);
        if (cases[i].text) {
            ste_dialogue_text(&d, &b);
            assert_string_equal(b.s, cases[i].text);
            json_t *j = ste_dialogue_json(&d);
            struct ste_dialogue again;
            assert_int_equal(ste_dialogue_from_json(&again, j, "f:1", &err), 0);
            assert_int_equal(again.n, d.n);
            ste_dialogue_clear(&again);
            json_decref(j);
            ste_dialogue_clear(&d);
        } else {
            has(&err, cases[i].part);
        }
        ste_buf_clear(&b);
        json_decref(row);
    }
}

static void pairs_are_read(void **state)
{
    struct ste_answer_pairs p;
    struct ste_err err;
    put("{\"id\":7,\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":\"b\"}\n"
        "{\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":\"a\"}\n"
        "{\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":\"b\",\"tie\":true}\n"
        "{\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}],"
        "\"rejected\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n");
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 0, &err), 0);
    assert_int_equal(p.n, 4);
    assert_string_equal(p.items[0].id, "7");
    assert_false(p.items[0].tied);
    assert_true(p.items[1].tied && p.items[2].tied);
    assert_string_equal(p.items[3].first, "a");
    assert_string_equal(p.items[3].prompt.turns[0].text, "q");
    assert_true(strstr(p.items[3].id, ":4") != NULL);
    ste_answer_pairs_clear(&p);
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 2, &err), 0);
    assert_int_equal(p.n, 2);
    ste_answer_pairs_clear(&p);
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_UNLABELLED, 0, &err), STE_EINPUT);
    has(&err, ":1: the field \"response_a\" is missing");
    put("{\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":5}\n");
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 0, &err), STE_EINPUT);
    has(&err, ":1: \"rejected\" must be");
    put("\n");
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 0, &err), STE_EINPUT);
    has(&err, "holds no rows");
}

#define TURN(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"
#define U(text) TURN("user", text)
#define A(text) TURN("assistant", text)
#define PAIR(chosen, rejected, more) "{\"chosen\":" chosen ",\"rejected\":" rejected more "}\n"

/* What both dialogues begin with is the prompt, wherever they part. */
static void dialogues_part_anywhere(void **state)
{
    static const struct {
        const char *row, *prompt, *first, *second; /* SECOND NULL: refused with FIRST */
    } cases[] = {
        {PAIR("[" U("q") "," A("a") "]", "[" U("q") "," A("b") "]", ""), "q", "a", "b"},
        {PAIR("[" U("q") "," A("a") "," U("r") "," A("c") "]", "[" U("q") "," A("b") "," U("s") "," A("d") "]", ""),
         "q", "a\n\nUser: r\n\nAssistant: c", "b\n\nUser: s\n\nAssistant: d"},
        {PAIR("[" U("q") "," A("a") "," U("r") "," A("c") "]", "[" U("q") "," A("a") "," U("s") "," A("d") "]", ""),
         "q", "a\n\nUser: r\n\nAssistant: c", "a\n\nUser: s\n\nAssistant: d"},
        {PAIR("[" U("q") "," A("a") "," U("r") "," A("c") "]", "[" U("q") "," A("a") "," U("r") "," A("d") "]", ""),
         "User: q\n\nAssistant: a\n\nUser: r", "c", "d"},
        {PAIR("[" U("q") "," A("a") "]", "[" U("q") "," A("a") "," U("r") "," A("d") "]", ""), "q", "a",
         "a\n\nUser: r\n\nAssistant: d"},
        {PAIR("[" U("q") "," A("a") "]", "[" U("other") "," A("b") "]", ""), NULL, "different questions", NULL},
        {PAIR("[" U("q") "," A("a") "]", "[" U("other") "," A("b") "]", ",\"prompt\":\"q\""), NULL,
         "different questions", NULL},
        {PAIR("[" U("q") "," A("a") "]", "\"b\"", ""), "q", "a", "b"},
        {PAIR("[" A("a") "]", "[" A("b") "," U("r") "," A("c") "]", ",\"prompt\":\"q\""), "q", "a",
         "b\n\nUser: r\n\nAssistant: c"},
        {PAIR("[" U("q") "," A("a") "]", "[" U("q") "," A("b") "]",
              ",\"prompt\":\"q\",\"system\":\"S\",\"messages\":[" U("q") "," A("a") "]"),
         "System: S\n\nUser: q", "a", "b"},
        {PAIR("[" U("q") "," U("a") "]", "[" U("q") "," A("b") "]", ""), NULL, "must end with the assistant's", NULL},
        {PAIR("\"a\"", "99999999999999999999", ",\"prompt\":\"q\""), NULL, "\"rejected\" must be a string", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_answer_pairs p;
        struct ste_err err = {0};
        put(cases[i].row);
        const int rc = ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 0, &err);
        if (!cases[i].second) {
            assert_int_equal(rc, STE_EINPUT);
            has(&err, ":1: ");
            has(&err, cases[i].first);
            continue;
        }
        if (rc)
            fail_msg("case %zu: %s", i, err.msg);
        struct ste_buf b = STE_BUF_INIT;
        ste_dialogue_text(&p.items[0].prompt, &b);
        assert_string_equal(b.s, cases[i].prompt);
        assert_string_equal(p.items[0].first, cases[i].first);
        assert_string_equal(p.items[0].second, cases[i].second);
        ste_buf_clear(&b);
        ste_answer_pairs_clear(&p);
    }
}

/* Each chosen answer against each rejected one; a limit and a sample take whole rows. */
static void lists_of_answers_make_pairs(void **state)
{
    static const char *const ids[] = {"r/1-1", "r/1-2", "r/1-3", "plain", "t/1-1", "t/1-2", "t/2-1", "t/2-2"};
    struct ste_answer_pairs p;
    struct ste_err err = {0};
    put(PAIR("[\"4\"]", "[\"5\",\"6\",\"22\"]", ",\"prompt\":\"2+2?\",\"id\":\"r\"")
            PAIR("\"a\"", "\"b\"", ",\"prompt\":\"q\",\"id\":\"plain\"")
                PAIR("[\"c\",\"d\"]", "[\"e\",\"f\"]", ",\"prompt\":\"Name one.\",\"id\":\"t\""));
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 0, &err), 0);
    assert_int_equal(p.n, 8);
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(p.items[i].id, ids[i]);
    assert_string_equal(p.items[2].second, "22");
    assert_string_equal(p.items[6].first, "d");
    assert_string_equal(p.items[6].second, "e");
    assert_string_equal(p.items[6].row_id, "t");
    assert_null(p.items[3].row_id);
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct ste_answer_pairs drawn;
        assert_int_equal(ste_answer_pairs_read(&drawn, path, NULL, STE_PAIRS_LABELLED, 0, &err), 0);
        ste_answer_pairs_sample(&drawn, 1, seed);
        assert_int_equal(drawn.n, drawn.items[0].line == 1 ? 3 : drawn.items[0].line == 2 ? 1 : 4);
        ste_answer_pairs_clear(&drawn);
    }
    ste_answer_pairs_clear(&p);
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_LABELLED, 1, &err), 0);
    assert_int_equal(p.n, 3);
    ste_answer_pairs_clear(&p);
    put("{\"prompt\":\"q\",\"response_a\":[\"a\",\"b\"],\"response_b\":\"c\"}\n");
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_UNLABELLED, 0, &err), STE_EINPUT);
    has(&err, ":1: \"response_a\" is a list of texts");
}

/* Ratings of one prompt make pairs wherever they stand, each two of them. */
static void ratings_find_their_partner(void **state)
{
    struct ste_answer_pairs p;
    struct ste_err err = {0};
#define RATING(prompt, text, n) "{\"prompt\":\"" prompt "\",\"response\":\"" text "\",\"helpfulness\":" n "}\n"
    put(RATING("q", "a", "1") RATING("r", "b", "4") RATING("alone", "x", "2") RATING("q", "c", "3")
            RATING("r", "d", "0") RATING("q", "e", "2") RATING("q", "f", "2"));
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_HELPSTEER2, 0, &err), 0);
    assert_int_equal(p.n, 3);
    assert_string_equal(p.items[0].first, "c");
    assert_string_equal(p.items[0].second, "a");
    assert_string_equal(p.items[1].first, "b");
    assert_int_equal(p.items[1].line, 5);
    assert_true(p.items[2].tied);
    ste_answer_pairs_clear(&p);
    put(RATING("q", "a", "1") RATING("r", "b", "4"));
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_HELPSTEER2, 0, &err), STE_EINPUT);
    has(&err, "no pair");
}

static void votes_are_read(void **state)
{
    struct ste_answer_pairs p;
    struct ste_err err = {0};
#define VOTE(winner)                                                                                                   \
    "{\"question_id\":1,\"model_a\":\"x\",\"model_b\":\"y\",\"turn\":1,\"judge\":\"me\",\"winner\":\"" winner          \
    "\",\"conversation_a\":[" U("q") "," A("a") "],\"conversation_b\":[" U("q") "," A("b") "]}\n"
    put(VOTE("model_b") VOTE("both_bad") VOTE("model_b") VOTE("tie (bothbad)") VOTE("both_bad"));
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_MTBENCH_VOTES, 0, &err), 0);
    assert_int_equal(p.n, 3);
    assert_string_equal(p.items[0].first, "b");
    assert_true(p.items[1].tied && p.items[2].tied);
    assert_string_not_equal(p.items[0].id, p.items[1].id);
    assert_string_not_equal(p.items[1].id, p.items[2].id);
    ste_answer_pairs_clear(&p);
    put(VOTE("neither"));
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_MTBENCH_VOTES, 0, &err), STE_EINPUT);
    has(&err, "\"neither\"");
}

/* A bad row takes nothing from those before and behind it. */
static void readers_go_on_behind_bad_rows(void **state)
{
    static const char good[] = "{\"prompt\":\"q\",\"response_a\":\"a\",\"response_b\":\"b\"}\n";
    struct ste_pairs_reader *r;
    struct ste_answer_pairs p;
    struct ste_err err = {0};
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_addf(&b, "%s%s{\"prompt\":3}\n{\"prompt\n%s", good, good, good);
    put(b.s);
    ste_buf_clear(&b);
    assert_int_equal(ste_pairs_reader_open(&r, path, NULL, STE_PAIRS_UNLABELLED, false, &err), 0);
    static const struct {
        size_t n;
        const char *wrong;
    } want[] = {{2, NULL}, {0, ":3: the field \"response_a\" is missing"}, {0, ":4: not JSON"}, {1, NULL}, {0, NULL}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(ste_pairs_reader_next(r, &p, 512, false, &err), want[i].wrong ? STE_EINPUT : 0);
        assert_int_equal(p.n, want[i].n);
        if (want[i].wrong)
            has(&err, want[i].wrong);
        ste_answer_pairs_clear(&p);
    }
    ste_pairs_reader_close(r);
    assert_int_equal(ste_answer_pairs_read(&p, path, NULL, STE_PAIRS_UNLABELLED, 0, &err), STE_EINPUT);
    has(&err, ":3: ");
}

static void files_have_names_of_their_own(void **state)
{
    static const char *const paths[] = {"/nowhere/a/test.jsonl", "/nowhere/b/test.jsonl", "test.json",   "x/one.jsonl",
                                        "q/x/one.jsonl",         "/nowhere/b/more.jsonl", "n/two.jsonl", "n/two.json"};
    static const char *const names[] = {"a/test",  "b/test", "test",        "x/one",
                                        "q/x/one", "more",   "n/two.jsonl", "n/two.json"};
    struct ste_strings given = {0}, got;
    struct ste_err err = {0};
    for (size_t i = 0; i < 8; i++)
        ste_strings_add(&given, paths[i]);
    assert_int_equal(ste_pairs_names(&given, &got, &err), 0);
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(got.items[i], names[i]);
    ste_strings_clear(&got);
    ste_strings_clear(&given);
    char *again = ste_xasprintf("/tmp/../%s", path);
    ste_strings_add(&given, path);
    ste_strings_add(&given, again);
    assert_int_equal(ste_pairs_names(&given, &got, &err), STE_EUSAGE);
    has(&err, "one file");
    ste_strings_clear(&got);
    ste_strings_clear(&given);
    free(again);
}

static void instructions_are_read(void **state)
{
    struct ste_instructions l = {0};
    struct ste_err err;
    put("{\"instruction\":\"one\",\"source\":\"s\",\"category\":\"c\",\"id\":\"x\"}\n\n{\"prompt\":\"two\"}\n");
    assert_int_equal(ste_instructions_read(&l, path, 0, &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.items[0].source, "s");
    assert_null(l.items[1].category);
    assert_int_equal(l.items[1].line, 3);
    assert_int_equal(ste_instructions_read(&l, path, 1, &err), 0);
    assert_int_equal(l.n, 3);
    assert_int_equal(ste_instructions_read(&l, "builtin", 0, &err), 0);
    assert_true(l.n >= 303);
    ste_instructions_clear(&l);
    put("{\"prompt\":\"one\"}\n{\"prmpt\":\"two\"}\n");
    assert_int_equal(ste_instructions_read(&l, path, 0, &err), STE_EINPUT);
    has(&err, ":2: no prompt");
    ste_instructions_clear(&l);
    char *txt = ste_xasprintf("%s.txt", path);
    assert_int_equal(ste_file_write(txt, " one \r\n\ntwo", 11, &err), 0);
    assert_int_equal(ste_instructions_read(&l, txt, 0, &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.items[0].dialogue.turns[0].text, "one");
    ste_instructions_clear(&l);
    assert_int_equal(ste_file_write(txt, "one\n\xff\n", 6, &err), 0);
    assert_int_equal(ste_instructions_read(&l, txt, 0, &err), STE_EINPUT);
    has(&err, ".txt:2: not UTF-8");
    ste_instructions_clear(&l);
    unlink(txt);
    free(txt);
}

static void folds(const char *text, const char *want)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_text_fold(text, &b);
    assert_string_equal(b.s, want);
    ste_buf_clear(&b);
}

static void texts_fold(void **state)
{
    folds("  Hello,   World! ", "hello world");
    folds("It\xe2\x80\x99s \xe2\x80\x9c"
          "fine\xe2\x80\x9d",
          "it s fine");
    folds("\xc3\x89T\xc3\x89 \xd0\x96", "\xc3\xa9t\xc3\xa9 \xd0\xb6");
    folds("? !", "?!");
    folds("", "");
}

static void near_duplicates_cluster(void **state)
{
    static const char *const texts[] = {
        "Write a Python function that returns the sum of all even numbers in a list.",
        "Explain how photosynthesis works to a child of ten years.",
        "write a python function that returns the sum of all even numbers in the list",
        "What is the capital of Mongolia?",
        "Explain how photosynthesis works to a child of ten years!!",
        "",
        "",
        "Name three rivers of South America and the countries that they cross.",
    };
    static const size_t want[] = {0, 1, 0, 3, 1, 5, 5, 7};
    size_t cluster[8];
    ste_minhash_cluster(texts, 8, 0.7, cluster);
    for (int i = 0; i < 8; i++)
        assert_int_equal(cluster[i], want[i]);
    assert_true(ste_text_similarity(texts[1], texts[4]) == 1.0);
    assert_true(ste_text_similarity(texts[1], texts[3]) < 0.2);

    struct ste_minhash_index *x = ste_minhash_index_new(0.7);
    size_t which;
    double similarity;
    assert_false(ste_minhash_index_find(x, texts[0], NULL, NULL));
    ste_minhash_index_add(x, texts[0]);
    ste_minhash_index_add(x, texts[1]);
    ste_minhash_index_add(x, texts[4]);
    assert_true(ste_minhash_index_find(x, texts[2], &which, &similarity));
    assert_int_equal(which, 0);
    assert_true(similarity > 0.8 && similarity < 1);
    assert_true(ste_minhash_index_find(x, texts[4], &which, NULL));
    assert_int_equal(which, 1);
    assert_false(ste_minhash_index_find(x, texts[3], NULL, NULL));
    ste_minhash_index_free(x);
}

/* Texts of equal shingle sets or of equal folds are similar by 1 and no copies; a threshold of 0 tells them apart. */
static void exact_copies_are_copies(void **state)
{
    static const char shorter[] = "Count: one two three, one two three, one two three.",
                      longer[] = "Count: one two three, one two three, one two three, one two three.";
    assert_true(ste_text_similarity(shorter, longer) == 1.0);
    struct ste_minhash_index *x = ste_minhash_index_new(0);
    ste_minhash_index_add(x, shorter);
    assert_false(ste_minhash_index_find(x, longer, NULL, NULL));
    assert_false(ste_minhash_index_find(x, "count one two three; one two three; one two three", NULL, NULL));
    assert_true(ste_minhash_index_find(x, shorter, NULL, NULL));
    ste_minhash_index_add(x, "7 + 3?");
    assert_false(ste_minhash_index_find(x, "7 - 3?", NULL, NULL));
    ste_minhash_index_free(x);
}

/* Against all pairs: nothing below the threshold is joined, and what is clearly above it always is. */
static void clusters_equal_the_exact_ones(void **state)
{
    enum { N = 400 };
    char *texts[N];
    size_t got[N], want[N];
    for (int i = 0; i < N; i++)
        texts[i] = ste_xasprintf(
            "Sort the items of the list of families and then print item %d of it, please, as a table with %d columns",
            i * 7919 % 97, i * 104729 % 89);
    ste_minhash_cluster((const char *const *)texts, N, 0.90, got);
    for (size_t i = 0; i < N; i++) {
        want[i] = i;
        for (size_t j = 0; j < i; j++)
            if (want[j] != want[i] && ste_text_similarity(texts[i], texts[j]) >= 0.90) {
                size_t a = want[i], b = want[j], low = a < b ? a : b;
                for (size_t k = 0; k <= i; k++)
                    if (want[k] == a || want[k] == b)
                        want[k] = low;
            }
    }
    size_t joined = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(got[i], want[i]);
        joined += want[i] != (size_t)i;
        free(texts[i]);
    }
    assert_in_range(joined, 6, N - 20); /* many clusters, some with many texts */
}

static void index_pages_are_read(void **state)
{
    static const char json[] = "{\"files\":[{\"filename\":\"My_Pack-1.0-py3-none-any.whl\",\"url\":\"../../files/"
                               "w?x=1\",\"hashes\":{\"sha256\":"
                               "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}},"
                               "{\"filename\":\"my_pack-1.0.1-py3-none-any.whl\",\"url\":\"x\"},"
                               "{\"filename\":\"my-pack-1.0.tar.gz\",\"url\":\"sdist\"}]}";
    static const char html[] =
        "<a href='my_pack-0.9-py3-none-any.whl'>a</a> <A class=x HREF=\"/f/my_pack-1.0-py3-none-any"
        ".whl?a=1&amp;b=2#sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\">";
    struct ste_index_file f;
    struct ste_err err;
    const char *base = "http://host.invalid/simple/my-pack/";
    assert_int_equal(ste_index_read_page(&f, json, sizeof json - 1, base, "my.pack", "1.0", &err), 0);
    assert_string_equal(f.url, "http://host.invalid/files/w?x=1");
    assert_memory_equal(f.sha256, "ba7816bf", 8);
    ste_index_file_clear(&f);
    assert_int_equal(ste_index_read_page(&f, html, sizeof html - 1, base, "my-pack", "1.0", &err), 0);
    assert_string_equal(f.url, "http://host.invalid/f/my_pack-1.0-py3-none-any.whl?a=1&b=2");
    assert_string_equal(f.name, "my_pack-1.0-py3-none-any.whl");
    assert_memory_equal(f.sha256, "ba7816bf", 8);
    ste_index_file_clear(&f);
    assert_int_equal(ste_index_read_page(&f, html, sizeof html - 1, base, "my-pack", "2.0", &err), STE_ENOTFOUND);
    has(&err, "my-pack 2.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_read_in_every_form),
        cmocka_unit_test(pairs_are_read),
        cmocka_unit_test(dialogues_part_anywhere),
        cmocka_unit_test(lists_of_answers_make_pairs),
        cmocka_unit_test(ratings_find_their_partner),
        cmocka_unit_test(votes_are_read),
        cmocka_unit_test(readers_go_on_behind_bad_rows),
        cmocka_unit_test(files_have_names_of_their_own),
        cmocka_unit_test(exact_copies_are_copies),
        cmocka_unit_test(instructions_are_read),
        cmocka_unit_test(texts_fold),
        cmocka_unit_test(near_duplicates_cluster),
        cmocka_unit_test(clusters_equal_the_exact_ones),
        cmocka_unit_test(index_pages_are_read),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
