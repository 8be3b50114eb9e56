/* The interpreter of chat templates: what jinja2 in transformers' environment makes of the same texts, where each byte
 * comes from, what is refused and what is bounded. tests/interop/templates.py holds published templates against it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "model/jinja/jinja.h"

static const char variables[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \" S \"}, {\"role\": \"user\", \"content\": \"a<b>c\"}, "
    "{\"role\": "
    "\"assistant\", \"content\": \"<think>r</think>\\n\\nh\u00e9\"}], \"tools\": null, \"t\": true, \"eos\": \"</s>\", "
    "\"d\": {\"k\": 1, \"l\": [1.5, \"x\", null, 1e20, 1e-7], \"items_\": 2}}";

static uint8_t mark(const void *arg, const json_t *object, const char *key)
{
    (void)arg;
    (void)object;
    return strcmp(key, "content") == 0;
}

/* Renders TEMPLATE; the error's code, with its sentence in ERR. */
static int render(const char *template, size_t n, struct ste_buf *text, struct ste_buf *marks, bool *raised,
                  struct ste_err *err)
{
    struct ste_jinja *j = NULL;
    json_t *v = json_loads(variables, 0, NULL);
    const struct ste_jinja_input in = {v, mark, NULL, {2024, 7, 6}};
    assert_non_null(v);
    int rc = ste_jinja_new(&j, "T", template, n, err);
    if (!rc)
        rc = ste_jinja_render(j, &in, text, marks, raised, err);
    ste_jinja_free(j);
    json_decref(v);
    return rc;
}

/* clang-format off */
static const struct {
    const char *template, *text;
} same[] = {
    /* white space */
    {"a\n  {% if t %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"},
    {"a  {%- if t -%}  b  {%- endif +%}\nc", "ab\nc"},
    {"x {{- 1 -}} y\n{# c #}\n  {#- d -#}  z{{ 2 }}\n", "x1y\nz2"},
    {"a\r\nb\r\n", "a\nb"},
    {"  {%+ if t %}x{% endif %}", "  x"},
    {"{% raw %}{{ x }}{% endraw %}!", "{{ x }}!"},
    /* values */
    {"{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 1.0 }}", "7 3 -4 2 3.5 8 1.0"},
    {"{{ 'a' 'b' ~ 1 ~ none ~ true }} {{ 'a' * 3 }} {{ [1] + [2] }} {{ (1,) }}", "ab1NoneTrue aaa [1, 2] (1,)"},
    {"{{ d }}", "{'k': 1, 'l': [1.5, 'x', None, 1e+20, 1e-07], 'items_': 2}"},
    {"{{ ['it\\'s', '\"', '\\n'] }}", "[\"it's\", '\"', '\\n']"},
    {"{{ '\\u00e9\\x41\\t\\u20ac\\U0001F600|' }}", "\u00e9A\t\u20ac\U0001F600|"},
    {"{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ not t or t }} {{ 2 in [1, 2] }} {{ 'x' not in 'abc' }}", "True True True True True True"},
    {"{{ 'y' if false }}|{{ 'y' if t else 'n' }}|{{ nothing }}|{{ d.nothing }}|{{ d.nothing is defined }}", "|y|||False"},
    {"{{ d.k }} {{ d['k'] }} {{ d.l[1] }} {{ d.l[-4] }} {{ d.l.0 }} {{ d.items_ }}", "1 1 x x 1.5 2"},
    /* slices */
    {"{{ 'h\u00e9llo'[1:3] }} {{ 'h\u00e9llo'[::-1] }} {{ 'h\u00e9llo'[-2:] }} {{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-1] }} {{ 'ab'[5:] }}|", "\u00e9l oll\u00e9h lo [2, 3] [3, 2, 1] |"},
    /* filters */
    {"{{ ' x '|trim }} {{ 'abc'|length }} {{ nothing|default('d') }} {{ ''|default('d', true) }} {{ 'aXb'|lower|upper }}", "x 3 d d AXB"},
    {"{{ [1, 2]|join('-') }} {{ 'a-b'|replace('-', '+') }} {{ [3, 1, 2]|sort }} {{ [1, 2]|first }} {{ [1, 2]|last }} {{ 'abc'|list }}", "1-2 a+b [1, 2, 3] 1 2 ['a', 'b', 'c']"},
    {"{{ messages|map(attribute='role')|join(',') }}", "system,user,assistant"},
    {"{{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|rejectattr('role', 'in', ['user'])|list|length }}", "1 2"},
    {"{{ d|tojson }}", "{\"k\": 1, \"l\": [1.5, \"x\", null, 1e+20, 1e-07], \"items_\": 2}"},
    {"{{ [1, {'a': '<\\n\\u00e9'}, []]|tojson(indent=2) }}", "[\n  1,\n  {\n    \"a\": \"<\\n\u00e9\"\n  },\n  []\n]"},
    {"{{ '\\u00e9'|tojson(ensure_ascii=true) }} {{ d|tojson(separators=(',', ':'))|length }}", "\"\\u00e9\" 49"},
    {"{{ 'a\\nb'|indent(2) }} {{ '12'|int + 1 }} {{ 'hi x'|capitalize }} {{ [1, 1, 2]|unique|list }} {{ none|string }}", "a\n  b 13 Hi x [1, 2] None"},
    {"{% for k, v in d|dictsort %}{{ k }};{% endfor %}{% for k, v in d.items() %}{{ k }};{% endfor %}", "items_;k;l;k;l;items_;"},
    {"{% filter upper %}abc{% endfilter %}{% set x %}q{{ 1 }}{% endset %}{{ x }}", "ABCq1"},
    /* tests */
    {"{{ 1 is number }} {{ 'a' is string }} {{ none is none }} {{ d is mapping }} {{ 'a' is iterable }} {{ t is true }} {{ 1 is not string }} {{ t is boolean }}", "True True True True True True True True"},
    {"{{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 2 is eq 2 }} {{ d is sequence }} {{ nothing is undefined }}", "True True True True True"},
    /* methods */
    {"{{ 'a</t>b</t>c'.split('</t>')[-1] }} {{ 'xxaxx'.strip('x') }} {{ ' a b  c '.split() }} {{ 'a.b.c'.rsplit('.', 1) }}", "c a ['a', 'b', 'c'] ['a.b', 'c']"},
    {"{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abab'.replace('a', 'c', 1) }} {{ 'a b'.title() }} {{ 'abc'.find('c') }}", "True True cbab A B 2"},
    {"{{ '{} and {}'.format('x', 1) }} {{ d.get('k') }} {{ d.get('z', 5) }} {{ d.keys()|list }} {{ ','.join(['a', 'b']) }}", "x and 1 1 5 ['k', 'l', 'items_'] a,b"},
    /* statements */
    {"{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }}{% if not loop.last %},{% endif %}{% endfor %}", "1TrueFalse2,2FalseFalse1,3FalseTrue0"},
    {"{% for m in messages if m.role != 'user' %}{{ m.role }}{{ loop.length }}{% else %}none{% endfor %}{% for x in [] %}{% else %}none{% endfor %}", "system2assistant2none"},
    {"{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}", "21"},
    {"{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "4"},
    {"{% macro f(a, b='z') %}<{{ a }}{{ b }}>{% endmacro %}{{ f('x') }}{{ f(b='y', a='w') }}", "<xz><wy>"},
    {"{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% else %}{{ i }}{% endif %}{% endfor %}", "02"},
    {"{% generation %}{% set y = 1 %}in{% endgeneration %}{{ y is defined }}", "inFalse"},
    {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{{ loop is defined }}", "12False"},
    {"{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}", "TruesystemTrueuserFalse"},
    {"{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%B %-d, %Y %A %j') }}", "06 Jul 2024|July 6, 2024 Saturday 188"},
};

static const struct {
    const char *template, *sentence; /* how it begins */
} wrong[] = {
    {"a\n{{ x", "T, line 2: the tag {{ is not closed"},
    {"a\n\n{% if t %}x", "T, line 3: the block that begins here has no {% endif %}"},
    {"{% endif %}", "T, line 1: {% endif %} ends nothing"},
    {"{% if t %}{% endfor %}", "T, line 1: {% endfor %} stands where {% endif %} is expected"},
    {"\n{{ 1 + }}", "T, line 2: '}}' stands where a value is expected"},
    {"{{ 'abc }}", "T, line 1: a text that begins with ' does not end"},
    {"{# x", "T, line 1: the comment {# is not closed"},
    {"{% include 'x' %}", "T, line 1: the statement 'include' is not supported"},
    {"{{ '\\uZZ' }}", "T, line 1: \\u is not followed by"},
    {"{{ 99999999999999999999 }}", "T, line 1: the number 99999999999999999999 is too large"},
    {"{{ a `b` }}", "T, line 1: a tag cannot hold the byte 0x60"},
    {"\xff", "T, line 1: the template is no text in UTF-8"},
    {"{{ 1|nosuch }}", "T, line 1: the filter 'nosuch' is not supported"},
    {"{{ 1 is nosuch }}", "T, line 1: the test 'nosuch' is not supported"},
    {"{{ nosuch() }}", "T, line 1: 'nosuch' is undefined, or is no function"},
    {"{{ [].append(1) }}", "T, line 1: 'append' is undefined, or is no function"},
    {"\n\n{{ nosuch.x }}", "T, line 3: 'nosuch' is undefined"},
    {"{{ 'a' + 1 }}", "T, line 1: '+' cannot be done with a text and a number"},
    {"{{ 1 / 0 }}", "T, line 1: a number is divided by 0"},
    {"{{ 9223372036854775807 + 1 }}", "T, line 1: a number grows beyond 64 bits"},
    {"{% for x in 5 %}{% endfor %}", "T, line 1: there is nothing to go over in a number"},
    {"{% set a, b = [1] %}", "T, line 1: 1 values cannot be given to 2 names"},
    {"{% set d.x = 1 %}", "T, line 1: 'd' is no namespace"},
    {"{% macro f() %}{% endmacro %}{{ f(1) }}", "T, line 1: the macro f is given an argument"},
    {"{{ nothing|tojson }}", "T, line 1: an undefined value cannot be written as JSON"},
    {"{{ [1, 'a']|sort }}", "T, line 1: a number and a text have no order"},
    /* without end */
    {"{% for i in range(100000) %}\n{% for j in range(100000) %}{% endfor %}{% endfor %}", "T, line 2: the template takes more than 2000000 steps"},
    {"{% macro f() %}\n{{ f() }}{% endmacro %}{{ f() }}", "T, line 2: more than 300 things stand within each other"},
    {"{% set n = namespace(s='abcdefgh') %}{% for i in range(50) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "T, line 1: "},
    {"{{ 'abcdefgh' * 999999999 }}", "T, line 1: "},
    {"{{ ('x' * 4000).replace('', 'y' * 4000000) }}", "T, line 1: "},
    {"{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "T, line 1: values stand too deep"},
    {"{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x == n.x }}", "T, line 1: values stand too deep"},
};

/* Marks: 0 from the template, 1 from a message. */
static const struct {
    const char *template, *text, *marks;
} from[] = {
    {"<{{ messages[1].role }}>{{ messages[1].content }}", "<user>a<b>c", "00000011111"},
    {"{{ messages[0].content|trim }}", "S", "1"},
    {"{{ '[' + messages[0]['content'][1:] ~ ']' }}", "[S ]", "0110"},
    {"{{ messages[1].content.split('<')[1] }}", "b>c", "111"},
    {"{{ messages[1].content|replace('<', '{')|replace('>', messages[0].content) }}", "a{b S c", "1011111"},
    {"{{ messages[1].content|upper }}", "A<B>C", "11111"},
    {"{{ [messages[1].content, 'x']|join('|') }}", "a<b>c|x", "1111100"},
    {"{{ messages[1]|tojson }}", "{\"role\": \"user\", \"content\": \"a<b>c\"}", "0000000000000000000000000000011111" "00"},
    {"{% set x %}({{ messages[0].content }}){% endset %}{{ x }}", "( S )", "01110"},
    {"{% macro f(a) %}({{ a }}){% endmacro %}{{ f(messages[0].content) }}", "( S )", "01110"},
    {"{% for c in messages[0].content %}{{ c }}-{% endfor %}", " -S- -", "101010"},
    {"{{ messages[1].content[::-1] }}", "c>b<a", "11111"},
    {"{{ [messages[0].content] }}", "[' S ']", "0011100"},
    {"{{ '{}!'.format(messages[0].content) }}", " S !", "1110"},
    {"{{ messages[0].content * 2 }}", " S  S ", "111111"},
    {"{{ messages[1].content|list|first ~ 'z' }}", "az", "10"},
    {"{{ messages[0].content|string|indent(1, true) }}", "  S ", "0111"},
};
/* clang-format on */

static void renders_as_transformers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct ste_buf text = STE_BUF_INIT, marks = STE_BUF_INIT;
        struct ste_err err = {0};
        if (render(same[i].template, strlen(same[i].template), &text, &marks, NULL, &err))
            fail_msg("%s: %s", same[i].template, err.msg);
        assert_string_equal(text.s, same[i].text);
        assert_int_equal(text.len, marks.len);
        ste_buf_clear(&text);
        ste_buf_clear(&marks);
    }
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ste_buf text = STE_BUF_INIT, marks = STE_BUF_INIT;
        struct ste_err err = {0};
        const clock_t start = clock();
        if (render(wrong[i].template, strlen(wrong[i].template), &text, &marks, NULL, &err) != STE_EINPUT)
            fail_msg("%s is rendered", wrong[i].template);
        if (strncmp(err.msg, wrong[i].sentence, strlen(wrong[i].sentence)) || strchr(err.msg, '\n'))
            fail_msg("%s: '%s', not '%s'", wrong[i].template, err.msg, wrong[i].sentence);
        assert_int_equal(text.len, 0);
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5);
        ste_buf_clear(&text);
        ste_buf_clear(&marks);
    }
}

static void texts_know_where_they_come_from(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        struct ste_buf text = STE_BUF_INIT, marks = STE_BUF_INIT;
        struct ste_err err = {0};
        if (render(from[i].template, strlen(from[i].template), &text, &marks, NULL, &err))
            fail_msg("%s: %s", from[i].template, err.msg);
        for (size_t k = 0; k < marks.len; k++)
            marks.s[k] = (char)(marks.s[k] + '0');
        ste_buf_addc(&marks, 0);
        assert_string_equal(text.s, from[i].text);
        if (strcmp(marks.s, from[i].marks))
            fail_msg("%s: %s is marked %s, not %s", from[i].template, text.s, marks.s, from[i].marks);
        ste_buf_clear(&text);
        ste_buf_clear(&marks);
    }
}

static void what_a_template_raises_is_told(void **state)
{
    (void)state;
    static const char raises[] = "{% for m in messages %}\n{% if m.role == 'user' %}{{ raise_exception('no\nusers') }}"
                                 "{% endif %}{% endfor %}",
                      broken[] = "{{ 1 + none }}";
    struct ste_buf text = STE_BUF_INIT, marks = STE_BUF_INIT;
    struct ste_err err = {0};
    bool raised = false;
    assert_int_equal(render(raises, sizeof raises - 1, &text, &marks, &raised, &err), STE_EINPUT);
    assert_true(raised);
    assert_string_equal(err.msg, "T, line 2: the template says: no users");
    assert_int_equal(render(broken, sizeof broken - 1, &text, &marks, &raised, &err), STE_EINPUT);
    assert_false(raised);
    ste_buf_clear(&text);
    ste_buf_clear(&marks);
}

static void large_templates_are_refused(void **state)
{
    (void)state;
    struct ste_buf b = STE_BUF_INIT, text = STE_BUF_INIT, marks = STE_BUF_INIT;
    struct ste_err err = {0};
    while (b.len < 1 << 20)
        ste_buf_adds(&b, "{% set x = 1 %}\n");
    assert_int_equal(render(b.s, b.len, &text, &marks, NULL, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "the template has 1048576 bytes; ste takes 262144 at most"));
    static const char *const deep[] = {"(", "[", "not ", "-", "{% if t %}", "{{ f(", "a if b else "};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        ste_buf_reset(&b);
        ste_buf_adds(&b, *deep[i] == '{' ? "" : "{{ ");
        for (int k = 0; k < 5000; k++)
            ste_buf_adds(&b, k && i == 5 ? deep[i] + 3 : deep[i]);
        for (int k = 0; k < 5000 && strchr("([{", *deep[i]) && i != 4; k++)
            ste_buf_adds(&b, i == 1 ? "]" : ")");
        ste_buf_adds(&b, i == 4 ? "" : " }}");
        assert_int_equal(render(b.s, b.len, &text, &marks, NULL, &err), STE_EINPUT);
        if (!strstr(err.msg, "things stand within each other"))
            fail_msg("%s: %s", deep[i], err.msg);
    }
    ste_buf_reset(&b);
    ste_buf_adds(&b, "{{ 1");
    for (int k = 0; k < 5000; k++)
        ste_buf_adds(&b, " + 1");
    ste_buf_adds(&b, " }}");
    assert_int_equal(render(b.s, b.len, &text, &marks, NULL, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "more than 300 things"));
    ste_buf_clear(&b);
    ste_buf_clear(&text);
    ste_buf_clear(&marks);
}

/* Templates of above, cut, changed and mixed: each is rendered or refused in one sentence, in bounds (of the sanitizers
 * too, with `make sanitize`). */
static void no_change_is_followed_astray(void **state)
{
    enum { TEMPLATES = sizeof same / sizeof *same };
    char b[4096];
    uint64_t x = 88172645463325252;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct ste_buf text = STE_BUF_INIT, marks = STE_BUF_INIT;
        struct ste_err err = {0};
        size_t n = 0;
        for (int part = 0; part < 3; part++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            const char *t = same[(x >> 8) % TEMPLATES].template;
            const size_t from = (x >> 20) % (strlen(t) + 1), more = (x >> 32) % (strlen(t) + 1 - from);
            memcpy(b + n, t + (x & 1 ? 0 : from), x & 1 ? strlen(t) : more);
            n += x & 1 ? strlen(t) : more;
            if (n && x & 2)
                b[(x >> 40) % n] ^= (char)(1 << (x >> 56) % 8);
        }
        char *exact = malloc(n + 1); /* so that a byte too far is seen */
        memcpy(exact, b, n);
        exact = realloc(exact, n ? n : 1);
        const int rc = render(exact, n, &text, &marks, NULL, &err);
        assert_true(rc == 0 || rc == STE_EINPUT);
        if (rc && (strncmp(err.msg, "T, line ", 8) || strchr(err.msg, '\n')))
            fail_msg("%s", err.msg);
        assert_int_equal(text.len, marks.len);
        free(exact);
        ste_buf_clear(&text);
        ste_buf_clear(&marks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_as_transformers),         cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(texts_know_where_they_come_from), cmocka_unit_test(what_a_template_raises_is_told),
        cmocka_unit_test(large_templates_are_refused),     cmocka_unit_test(no_change_is_followed_astray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
