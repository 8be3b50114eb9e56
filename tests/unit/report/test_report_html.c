#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"
#include "report/html.h"

static void check_text(const char *text, size_t n, const char *want)
{
    struct ste_buf out = STE_BUF_INIT;
    ste_html_text_n(&out, text, n);
    assert_string_equal(out.s, want);
    ste_buf_clear(&out);
}

static void test_text(void **state)
{
    check_text("", 0, "");
    check_text("plain", 5, "plain");
    check_text("</script>", 9, "&lt;/script&gt;");
    check_text("\"a\" & 'b'", 9, "&quot;a&quot; &amp; &#39;b&#39;");
    check_text("a\tb\r\nc\n", 7, "a\tb\r\nc\n");
    check_text("a\0b\x1b[0m\x7f", 8,
               "a\xef\xbf\xbd"
               "b\xef\xbf\xbd[0m\xef\xbf\xbd");
    check_text("\xc2\x85\xc2\xa0", 4, "\xef\xbf\xbd\xc2\xa0"); /* a control character; a space that is none */
    check_text("\xff<\xc0\xaf", 4, "\xef\xbf\xbd&lt;\xef\xbf\xbd\xef\xbf\xbd"); /* no UTF-8; overlong */
    check_text("a\xe2\x82", 3, "a\xef\xbf\xbd\xef\xbf\xbd");                    /* cut within a character */
    check_text("\xf0\x9f\x98\x80\xd7\x90", 6, "\xf0\x9f\x98\x80\xd7\x90");      /* an emoji, a Hebrew letter */
}

static void test_every_byte(void **state)
{
    struct ste_buf out = STE_BUF_INIT;
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            const char text[] = {(char)a, (char)b, '<'};
            ste_buf_reset(&out);
            ste_html_text_n(&out, text, sizeof text);
            assert_int_equal(ste_utf8_bad(out.s, out.len), out.len);
            assert_null(strpbrk(out.s, "<>\"'"));
            assert_int_equal(strlen(out.s), out.len);
        }
    ste_buf_clear(&out);
}

static const char *volatile none; /* NULL, which the compiler does not know */

static void test_printf(void **state)
{
    struct ste_buf out = STE_BUF_INIT;
    ste_html_printf(&out, "<p title=\"%s\">%d %5.2f%% %zu %lld %ld %u %x %c %.*s|%-4d|%s</p>", "<\">", -3, 1.005,
                    (size_t)SIZE_MAX, LLONG_MIN, 7L, 8u, 255, '<', 3, "a<bcd", 5, none);
    assert_string_equal(out.s,
                        "<p title=\"&lt;&quot;&gt;\">-3  1.00% 18446744073709551615 -9223372036854775808 7 8 ff &lt; "
                        "a&lt;b|5   |</p>");
    ste_buf_clear(&out);
}

static void test_page(void **state)
{
    struct ste_buf out = STE_BUF_INIT;
    ste_html_begin(&out, "a </title><script>");
    ste_html_end(&out);
    assert_int_equal(strncmp(out.s, "<!doctype html>\n", 16), 0);
    assert_non_null(strstr(out.s, "<title>a &lt;/title&gt;&lt;script&gt;</title>"));
    assert_non_null(strstr(out.s, "prefers-color-scheme: dark"));
    assert_non_null(strstr(out.s, "default-src 'none'"));
    assert_null(strstr(out.s, "http://"));
    assert_null(strstr(out.s, "https://"));
    assert_null(strstr(out.s, "<script"));
    ste_buf_reset(&out);
    ste_html_begin_served(&out, "t", "<link rel=\"stylesheet\" href=\"/style.css\">\n", "<nav>n</nav>\n");
    ste_html_end(&out);
    assert_null(strstr(out.s, "<style"));
    assert_true(strstr(out.s, "/style.css") < strstr(out.s, "</head>"));
    assert_true(strstr(out.s, "<nav>") < strstr(out.s, "<main id=\"main\">"));
    ste_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_every_byte),
                                       cmocka_unit_test(test_printf), cmocka_unit_test(test_page)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
