/* JSONL, YAML, options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/options.h"
#include "core/rng.h"
#include "core/yaml.h"

static char path[] = "/tmp/ste-formats-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

static void put(const void *p, size_t n)
{
    struct ste_err err;
    assert_int_equal(ste_file_write(path, p, n, &err), 0);
}

static void has(const struct ste_err *err, const char *part)
{
    if (!strstr(err->msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err->msg, part);
}

static void jsonl_errors_name_the_line_and_go_on(void **state)
{
    static const char text[] =
        "\xEF\xBB\xBF{\"a\":1}\r\n\n  \n{\"a\":\n[1]\n{\"a\":\"\xff\"}\n{\"a\":\"\\u0000\"}\n{\"a\":2}";
    static const struct {
        int rc;
        long line;
        const char *part;
    } want[] = {{1, 1, ""},
                {STE_EINPUT, 4, "not JSON"},
                {STE_EINPUT, 5, "not a JSON object"},
                {STE_EINPUT, 6, "not UTF-8 at byte 7"},
                {STE_EINPUT, 7, "NUL character (\\u0000)"},
                {1, 8, ""},
                {0, 8, ""}};
    struct ste_jsonl *f;
    struct ste_err err;
    json_t *row;
    put(text, sizeof text - 1);
    assert_int_equal(ste_jsonl_open(&f, path, &err), 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        err.msg[0] = 0;
        assert_int_equal(ste_jsonl_next(f, &row, &err), want[i].rc);
        assert_int_equal(ste_jsonl_line(f), want[i].line);
        if (want[i].rc < 0) {
            char *where = ste_xasprintf("%s:%ld: ", path, want[i].line);
            has(&err, where);
            has(&err, want[i].part);
            free(where);
        }
        json_decref(row);
    }
    ste_jsonl_close(f);
    assert_int_equal(ste_jsonl_open(&f, "/nowhere/x", &err), STE_EIO);
    has(&err, "/nowhere/x");
}

/* Whole numbers beyond 64 bits and reals beyond a double come out as they came in; one that is no number stays an
 * error. */
static void large_numbers_are_kept(void **state)
{
    static const char text[] =
        "{\"id\":12345678901234567890,\"t\":\"\\\"9e999\",\"n\":[-99999999999999999999,1e400,7],\"o\":{\"k\":1}}\n";
    struct ste_jsonl *f;
    struct ste_jsonl_writer *w;
    struct ste_err err;
    struct ste_buf b = STE_BUF_INIT;
    json_t *row, *bad;
    const char *s = NULL;
    long long n;
    put(text, sizeof text - 1);
    assert_int_equal(ste_jsonl_open(&f, path, &err), 0);
    assert_int_equal(ste_jsonl_next(f, &row, &err), 1);
    ste_jsonl_close(f);
    char *id = ste_json_name(json_object_get(row, "id"));
    assert_string_equal(id, "12345678901234567890");
    free(id);
    assert_int_equal(ste_json_string(row, "id", true, &s, "f:1", &err), STE_EINPUT);
    assert_string_equal(err.msg, "f:1: the field \"id\" must be a string, not a number that large");
    assert_int_equal(ste_json_int(row, "id", true, &n, "f:1", &err), STE_EINPUT);
    assert_null(ste_json_text(json_object_get(row, "id")));
    assert_string_equal(ste_json_text(json_object_get(row, "t")), "\"9e999");
    assert_int_equal(ste_jsonl_create(&w, path, &err), 0);
    assert_int_equal(ste_jsonl_write(w, row, &err), 0);
    assert_int_equal(ste_jsonl_commit(w, &err), 0);
    assert_int_equal(ste_file_read(path, 1000, &b, &err), 0);
    assert_string_equal(b.s, text);
    static const char *const wrong[] = {"{\"a\":99999999999999999999x}", "{\"a\":099999999999999999999}",
                                        "{\"a\":99999999999999999999,\"b\":\"\\u0000\"}"};
    for (size_t i = 0; i < 3; i++) {
        bad = ste_json_parse(wrong[i], strlen(wrong[i]), "w", &err);
        assert_null(bad);
        has(&err, i == 2 ? "NUL" : "not JSON");
    }
    ste_buf_clear(&b);
    json_decref(row);
}

/* A file that is one list is read as its items; the line is where an item begins. */
static void lists_are_read_as_rows(void **state)
{
    static const struct {
        const char *text;
        long lines[3]; /* of the rows; then 0 */
        const char *wrong;
    } cases[] = {
        {"[{\"a\":\"],{\"},\n {\"a\":[1,{}]}]", {1, 2}, NULL},
        {"\xEF\xBB\xBF\n\n[\n  {\n    \"a\": \"\\\"\"\n  },\n  {\"b\": 2}\n]\n", {4, 7}, NULL},
        {"[]", {0}, NULL},
        {"[{\"a\":1},\n", {1}, ":2: the file is one JSON list, and it has no end"},
        {"[{\"a\":1},\n{\"b\":\"]", {1}, ":2: the file is one JSON list, and it has no end"},
        {"[{\"a\":1}]\n{\"b\":2}\n", {1}, ":2: the file is one JSON list, and something stands behind it"},
        {"[{\"a\":1},\n3]", {1}, ":2: not a JSON object"},
        {"[{\"a\":1},\n{\"a\" 3}]", {1}, ":2: not JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_jsonl *f;
        struct ste_err err = {0};
        json_t *row;
        int rc, n = 0;
        put(cases[i].text, strlen(cases[i].text));
        assert_int_equal(ste_jsonl_open(&f, path, &err), 0);
        for (; (rc = ste_jsonl_next(f, &row, &err)) > 0; n++) {
            assert_int_equal(ste_jsonl_line(f), cases[i].lines[n]);
            json_decref(row);
        }
        assert_int_equal(cases[i].lines[n], 0);
        assert_int_equal(rc, cases[i].wrong ? STE_EINPUT : 0);
        if (cases[i].wrong)
            has(&err, cases[i].wrong);
        assert_int_equal(ste_jsonl_next(f, &row, &err), 0);
        ste_jsonl_close(f);
    }
}

static void jsonl_lines_are_bounded(void **state)
{
    struct ste_err err;
    struct ste_jsonl *f;
    json_t *row;
    size_t n = (size_t)50 << 20;
    char *big = ste_xmalloc(n + 16);
    memset(big, 'x', n);
    memcpy(big, "{\"a\":\"", 6);
    memcpy(big + n, "\"}\n{\"b\":1}\n", 11);
    put(big, n + 11);
    assert_int_equal(ste_jsonl_open(&f, path, &err), 0);
    assert_int_equal(ste_jsonl_next(f, &row, &err), STE_EINPUT);
    has(&err, ":1: the line is 52.4 MB long");
    assert_int_equal(ste_jsonl_next(f, &row, &err), 1);
    assert_int_equal(ste_jsonl_line(f), 2);
    json_decref(row);
    ste_jsonl_close(f);
    /* the largest line that is allowed, without an end */
    memcpy(big + STE_JSONL_MAX_LINE - 2, "\"}", 2);
    put(big, STE_JSONL_MAX_LINE);
    assert_int_equal(ste_jsonl_open(&f, path, &err), 0);
    assert_int_equal(ste_jsonl_next(f, &row, &err), 1);
    json_decref(row);
    assert_int_equal(ste_jsonl_next(f, &row, &err), 0);
    ste_jsonl_close(f);
    free(big);
}

static void jsonl_is_written_whole(void **state)
{
    struct ste_err err;
    struct ste_jsonl_writer *w;
    struct ste_buf b = STE_BUF_INIT;
    put("old", 3);
    json_t *row = json_pack("{s:s, s:f}", "b", "\xc3\xa9", "a", 0.1);
    assert_int_equal(ste_jsonl_create(&w, path, &err), 0);
    assert_int_equal(ste_jsonl_write(w, row, &err), 0);
    assert_int_equal(ste_file_read(path, 100, &b, &err), 0);
    assert_string_equal(b.s, "old");
    assert_int_equal(ste_jsonl_commit(w, &err), 0);
    ste_buf_reset(&b);
    assert_int_equal(ste_file_read(path, 100, &b, &err), 0);
    assert_string_equal(b.s, "{\"b\":\"\xc3\xa9\",\"a\":0.10000000000000001}\n");
    char *canonical = ste_json_canonical(row);
    assert_string_equal(canonical, "{\"a\":0.10000000000000001,\"b\":\"\xc3\xa9\"}");
    const char *s = NULL;
    long long n;
    assert_int_equal(ste_json_string(row, "a", true, &s, "f:3", &err), STE_EINPUT);
    assert_string_equal(err.msg, "f:3: the field \"a\" must be a string, not a number");
    assert_int_equal(ste_json_int(row, "c", true, &n, "f:3", &err), STE_EINPUT);
    assert_string_equal(err.msg, "f:3: the field \"c\" is missing");
    assert_int_equal(ste_json_int(row, "c", false, &n, "f:3", &err), 0);
    assert_int_equal(ste_jsonl_create(&w, "/dev/full", &err), 0);
    assert_int_equal(ste_jsonl_write(w, row, &err), 0);
    assert_int_equal(ste_jsonl_commit(w, &err), STE_EIO);
    has(&err, "No space left");
    free(canonical);
    json_decref(row);
    ste_buf_clear(&b);
}

static json_t *yaml(const char *text, struct ste_err *err)
{
    return ste_yaml_parse(text, strlen(text), "t.yaml", err);
}

static void yaml_core_schema(void **state)
{
    struct ste_err err;
    json_t *j =
        yaml("a: 1\nb: 1.5\nc: true\nd: no\ne: \"1\"\nf: ~\ng:\nh: [x, 0x10, -3]\ni: |\n  two\n  lines\nj: 1e-6\n"
             "k: 'it''s'\nl: {m: 2}\n",
             &err);
    assert_non_null(j);
    char *s = ste_json_canonical(j);
    assert_string_equal(s, "{\"a\":1,\"b\":1.5,\"c\":true,\"d\":\"no\",\"e\":\"1\",\"f\":null,\"g\":null,"
                           "\"h\":[\"x\",16,-3],\"i\":\"two\\nlines\\n\",\"j\":9.9999999999999995e-7,\"k\":\"it's\","
                           "\"l\":{\"m\":2}}");
    free(s);
    json_decref(j);
    j = yaml("", &err);
    assert_true(json_is_null(j));
}

static void yaml_errors_name_the_line(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3: the key \"a\" is given twice"},
        {"a: &x 1\nb: *x\n", "t.yaml:1: anchors"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2: a second document"},
        {"a: 1\nb: [1, 2\nc: 3\n", "t.yaml:3: "},
        {"a: 1\n\tb: 2\n", "t.yaml:2: "},
        {"a: 99999999999999999999\n", "t.yaml:1: the number is too large"},
        {"a: .nan\n", "t.yaml:1: "},
        {"a: !!int 3\n", "t.yaml:1: tags"},
        {"[1]: 2\n", "t.yaml:1: a key must be"},
        {"a: \"\\0\"\n", "t.yaml:1: a NUL"},
        {"a: 1\nb: \xff\n", "t.yaml:2: "},
        {"a: 1\n b: 2\n", "t.yaml:2: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_err err = {0};
        json_t *j = yaml(cases[i].text, &err);
        assert_null(j);
        assert_int_equal(err.code, STE_EINPUT);
        has(&err, cases[i].part);
    }
    char deep[500];
    memset(deep, '[', 499);
    deep[499] = 0;
    struct ste_err err;
    assert_null(yaml(deep, &err));
    has(&err, "nested too deeply");
}

/* Whatever is written reads back as the same value. */
static void yaml_round_trip(void **state)
{
    static const char *const pieces[] = {"a",
                                         " ",
                                         "\n",
                                         "\t",
                                         ":",
                                         "#",
                                         "-",
                                         "\"",
                                         "'",
                                         "\\",
                                         "{",
                                         "true",
                                         "1",
                                         "~",
                                         "\xc3\xa9",
                                         "\xe2\x80\xa8",
                                         "\xf0\x9f\x98\x80",
                                         "\x7f",
                                         "\x01",
                                         "\r",
                                         "|",
                                         "\xc2\x85"};
    struct ste_rng r;
    ste_rng_init(&r, 1, 1);
    for (int round = 0; round < 3000; round++) {
        struct ste_buf s = STE_BUF_INIT, out = STE_BUF_INIT;
        struct ste_err err;
        ste_buf_reserve(&s, 0);
        for (uint32_t k = ste_rng_below(&r, 8); k; k--)
            ste_buf_adds(&s, pieces[ste_rng_below(&r, sizeof pieces / sizeof *pieces)]);
        json_t *j = json_pack("{s:s, s:[s,i,f], s:{s:b, s:n}, s:[], s:{}, s:f}", "text", s.s, "list", s.s, 3, 1e-6,
                              "map", "yes", 1, "none", "empty", "nothing", "real", 2.0);
        ste_yaml_write(j, &out);
        json_t *back = ste_yaml_parse(out.s, out.len, "t.yaml", &err);
        if (!back)
            fail_msg("%s\n%s", err.msg, out.s);
        if (!json_equal(j, back))
            fail_msg("not the same: %s", out.s);
        json_decref(j);
        json_decref(back);
        ste_buf_clear(&s);
        ste_buf_clear(&out);
    }
}

struct sampling {
    double temperature;
};
struct opts {
    char *seed_model;
    int mode;
    long long n;
    struct sampling pair;
    bool both;
    struct ste_strings files;
};
#define OPTIONS_OF struct sampling
static const struct ste_option sampling[] = {STE_REAL("temperature", temperature, "0.7", 0, 2, "heat"), {0}};
#undef OPTIONS_OF
#define OPTIONS_OF struct opts
static const struct ste_option table[] = {
    STE_STRING("seed_model", seed_model, "small", NULL, "the seed"),
    STE_CHOICE("judge.mode", mode, "closed", STE_NAMES("free", "closed"), "how"),
    STE_INT("judge.samples", n, "15", 1, 100, "how many"),
    STE_TABLE("pair", pair, sampling),
    {.key = "judge.both",
     .kind = STE_OPT_BOOL,
     .offset = STE_FIELD(both, bool),
     .initial = "false",
     .speed_only = true,
     .help = "both orders"},
    STE_LIST("eval.files", files, NULL, NULL, "files"),
    {0},
};

static void options_are_set_and_checked(void **state)
{
    static const struct {
        const char *set, *part;
    } bad[] = {
        {"judge.sampels=3", "did you mean \"judge.samples\"?"},
        {"temperature=1", "did you mean \"pair.temperature\"?"},
        {"qqqqqqqq=1", "there is no option \"qqqqqqqq\""},
        {"judge.samples=0", "judge.samples must be from 1 to 100, not 0"},
        {"judge.samples=3x", "must be a whole number"},
        {"pair.temperature=nan", "must be a number"},
        {"judge.mode=fre", "must be one of free|closed"},
        {"judge.mode=free|closed", "must be one of free|closed"},
        {"judge.mode=free|", "must be one of free|closed"},
        {"judge.mode=", "must be one of free|closed"},
        {"judge.both=maybe", "true or false"},
        {"judge.samples", "takes key=value"},
    };
    struct opts o;
    struct ste_err err;
    ste_options_init(table, &o);
    assert_string_equal(o.seed_model, "small");
    assert_int_equal(o.n, 15);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ste_options_set(table, &o, bad[i].set, &err), STE_EUSAGE);
        has(&err, bad[i].part);
    }
    assert_int_equal(ste_options_set(table, &o, "eval.files=a.jsonl,b.jsonl", &err), 0);
    assert_int_equal(o.files.n, 2);
    assert_string_equal(o.files.items[1], "b.jsonl");
    static const struct {
        const char *text, *items; /* ITEMS: each with a bar behind it */
    } lists[] = {{"[train.jsonl]", "train.jsonl|"},
                 {"[ a b.jsonl ,c]", "a b.jsonl|c|"},
                 {"a, b", "a|b|"},
                 {"[\"a,b\", 'c]']", "a,b|c]|"},
                 {"\"x=1 y=1\",\"y=1\"", "x=1 y=1|y=1|"},
                 {"", ""},
                 {"[]", ""},
                 {"[a].jsonl", "[a].jsonl|"},
                 {"don't,can't", "don't|can't|"},
                 {"a,,b,", "a|b|"},
                 {" ", ""}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *set = ste_xasprintf("eval.files=%s", lists[i].text);
        struct ste_buf got = STE_BUF_INIT;
        assert_int_equal(ste_options_set(table, &o, set, &err), 0);
        ste_buf_adds(&got, "");
        for (size_t k = 0; k < o.files.n; k++)
            ste_buf_addf(&got, "%s|", o.files.items[k]);
        assert_string_equal(got.s, lists[i].items);
        ste_buf_clear(&got);
        free(set);
    }
    ste_options_clear(table, &o);
}

static void options_load_dump_and_differ(void **state)
{
    struct opts a, b;
    struct ste_err err;
    struct ste_buf lines = STE_BUF_INIT;
    ste_options_init(table, &a);
    ste_options_init(table, &b);
    json_t *j = yaml("seed_model: big\njudge:\n  samples: 3\n  both: true\npair:\neval:\n  files: [x, 7]\n", &err);
    assert_int_equal(ste_options_load(table, &a, j, "r.yaml", &err), 0);
    json_decref(j);
    json_t *dump = ste_options_dump(table, &a, false);
    assert_int_equal(ste_options_diff(table, &b, &a, &lines), 3);
    assert_string_equal(lines.s, "seed_model: \"small\" -> \"big\"\njudge.samples: 15 -> 3\n"
                                 "eval.files: [] -> [\"x\", \"7\"]\n"); /* judge.both is speed only */
    assert_int_equal(ste_options_load(table, &b, dump, "dump", &err), 0);
    ste_buf_reset(&lines);
    assert_int_equal(ste_options_diff(table, &a, &b, &lines), 0);
    assert_true(b.both);
    json_decref(dump);
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"judge:\n  sample: 3\n", "r.yaml: there is no option \"judge.sample\"; did you mean \"judge.samples\"?"},
        {"judge: 3\n", "r.yaml: judge must be a mapping"},
        {"judge:\n  samples: [1]\n", "r.yaml: judge.samples must be one value"},
        {"pair:\n  temperature: hot\n", "r.yaml: pair.temperature must be a number"},
        {"- a\n", "r.yaml must be a mapping"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        j = yaml(bad[i].text, &err);
        assert_int_equal(ste_options_load(table, &a, j, "r.yaml", &err), STE_EUSAGE);
        has(&err, bad[i].part);
        json_decref(j);
    }
    ste_buf_reset(&lines);
    ste_options_help(table, false, 40, &lines);
    assert_non_null(strstr(lines.s, "judge.samples = N"));
    for (char *s = lines.s; *s; s += strcspn(s, "\n") + 1)
        assert_true(strcspn(s, "\n") <= 40);
    ste_buf_clear(&lines);
    ste_options_clear(table, &a);
    ste_options_clear(table, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonl_errors_name_the_line_and_go_on),
        cmocka_unit_test(large_numbers_are_kept),
        cmocka_unit_test(lists_are_read_as_rows),
        cmocka_unit_test(jsonl_lines_are_bounded),
        cmocka_unit_test(jsonl_is_written_whole),
        cmocka_unit_test(yaml_core_schema),
        cmocka_unit_test(yaml_errors_name_the_line),
        cmocka_unit_test(yaml_round_trip),
        cmocka_unit_test(options_are_set_and_checked),
        cmocka_unit_test(options_load_dump_and_differ),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
