#include "data/truth.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"

/* ---- numbers ---- */

/* "1,234.5", "3/4", "\frac{3}{4}" at P, with its sign. Returns how many bytes it has, 0: none stands here. */
static size_t number_at(const char *p, double *out)
{
    int a, b, n = 0;
    if (sscanf(p, "\\frac{%d}{%d}%n", &a, &b, &n) == 2 && n && b) {
        *out = (double)a / b;
        return (size_t)n;
    }
    char digits[40];
    size_t used = 0, k = 0;
    if (*p == '-')
        digits[k++] = p[used++];
    if (p[used] == '.' ? !isdigit((unsigned char)p[used + 1]) : !isdigit((unsigned char)p[used]))
        return 0;
    bool point = false;
    for (; k + 1 < sizeof digits; used++) {
        const char c = p[used], next = c ? p[used + 1] : 0;
        if (isdigit((unsigned char)c))
            digits[k++] = c;
        else if (c == '.' && !point && isdigit((unsigned char)next))
            digits[k++] = c, point = true;
        else if (c != ',' || point || strspn(p + used + 1, "0123456789") != 3)
            break;
    }
    digits[k] = 0;
    *out = strtod(digits, NULL);
    int below;
    if (p[used] == '/' && sscanf(p + used, "/%d%n", &below, &n) == 1 && below > 0) {
        *out /= below;
        used += (size_t)n;
    }
    return used;
}

/* The next number from *P on that stands by itself: no part of a word, no power, no index. Moves *P behind it. */
static bool next_number(const char **p, const char *end, double *out)
{
    for (const char *q = *p, *start = q; q < end && *q; q++) {
        const char before = q > start ? q[-1] : ' ';
        if (*q == '-' && (isalnum((unsigned char)before) || before == ')'))
            continue; /* a difference, or a range: the number comes next */
        const size_t n = number_at(q, out);
        if (n && !isalpha((unsigned char)before) && !strchr("^_", before)) {
            *p = q + n;
            return true;
        }
        q += n ? n - 1 : 0;
    }
    *p = end;
    return false;
}

static bool equal(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(1, fabs(b));
}

/* ---- where an answer says what it comes to ---- */

/* The last place of WORD in TEXT, whatever its case. */
static const char *last_of(const char *text, const char *word)
{
    const char *last = NULL;
    const size_t n = strlen(word);
    for (const char *p = text; *p; p++)
        if (strncasecmp(p, word, n) == 0)
            last = p + n;
    return last;
}

/* The brace that ends what begins at P, or the end of the text. */
static const char *brace_end(const char *p)
{
    for (int depth = 1; *p; p++)
        if ((depth += (*p == '{') - (*p == '}')) == 0)
            break;
    return p;
}

/* The stretch of ANSWER that says it: in the last \boxed{}, behind the last "####" or "answer is", or NULL. */
static const char *said_at(const char *answer, const char **end)
{
    static const char *const marks[] = {
        "####", "answer is", "answer:", "answer:**", "answer**:", "option", "choice is", "choice:", "correct:"};
    const char *at = last_of(answer, "\\boxed{");
    if (at) {
        *end = brace_end(at);
        return at;
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *here = last_of(answer, marks[i]);
        at = here && (!at || here > at) ? here : at;
    }
    if (!at)
        return NULL;
    at += strspn(at, " \t\r\n:*$");
    for (*end = at; **end && **end != '\n'; (*end)++)
        if (**end == '.' && (isspace((unsigned char)(*end)[1]) || !(*end)[1]) && *end > at)
            break;
    return at;
}

static enum ste_finding find_number(double truth, const char *answer)
{
    const char *end, *at = said_at(answer, &end), *p = at;
    double v, last = NAN;
    if (!at || !next_number(&p, end, &v)) { /* then the last line that has one says it */
        for (const char *line = answer; *line; line = *end ? end + 1 : end) {
            end = line + strcspn(line, "\n");
            p = line;
            if (next_number(&p, end, &v))
                at = line;
        }
        end = at ? at + strcspn(at, "\n") : NULL;
    }
    bool named = false;
    for (p = at; at && next_number(&p, end, &v); last = v)
        named |= equal(v, truth);
    if (isnan(last))
        return STE_FOUND_UNCLEAR;
    if (equal(last, truth))
        return STE_FOUND_RIGHT;
    const bool rounded = fabs(last - truth) <= 0.01 * fabs(truth) && floor(truth) != truth;
    return named || rounded ? STE_FOUND_UNCLEAR : STE_FOUND_WRONG;
}

/* ---- choices ---- */

/* A letter that names a choice at P: alone, or before ")", ".", ":" or "*". */
static char choice_at(const char *text, const char *p)
{
    const char before = p > text ? p[-1] : ' ', after = *p ? p[1] : 0;
    if (*p < 'A' || *p > 'J' || isalnum((unsigned char)before) || (before == '\'' && p > text + 1))
        return 0;
    if (!after || strchr(").:*}\n", after))
        return *p;
    if (!isspace((unsigned char)after))
        return 0;
    const bool article = *p == 'A' || *p == 'I';
    return !article || strncmp(p + 2, "or ", 3) == 0 || strncmp(p + 2, "and ", 4) == 0 ? *p : 0;
}

static enum ste_finding find_choice(char truth, const char *answer)
{
    const char *end, *at = said_at(answer, &end);
    char found = 0;
    if (!at || end <= at) { /* then it begins with its letter */
        at = answer + strspn(answer, " \t\n(*\"");
        end = at + 1;
    }
    for (const char *p = at; p < end; p++) {
        const char c = choice_at(answer, p);
        if (c && found && c != found)
            return STE_FOUND_UNCLEAR;
        found = c ? c : found;
    }
    return !found ? STE_FOUND_UNCLEAR : found == truth ? STE_FOUND_RIGHT : STE_FOUND_WRONG;
}

enum ste_finding ste_truth_find(const char *truth, const char *answer)
{
    const char *value = strchr(truth, ' ');
    if (!value || ste_truth_tests(truth))
        return STE_FOUND_UNCLEAR;
    return *truth == 'c' ? find_choice(value[1], answer) : find_number(strtod(value + 1, NULL), answer);
}

/* ---- code ---- */

const char *ste_truth_tests(const char *truth)
{
    return strncmp(truth, "tests\n", 6) == 0 ? truth + 6 : NULL;
}

static const char *function_in(const char *text, const char *end)
{
    for (const char *p = text; p && p < end; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (strncmp(p, "def ", 4) == 0 || strncmp(p, "class ", 6) == 0)
            return p;
    return NULL;
}

char *ste_truth_code(const char *answer)
{
    const char *fence = strstr(answer, "```");
    if (!fence)
        return function_in(answer, answer + strlen(answer)) == answer ? ste_xstrdup(answer) : NULL;
    for (; fence; fence = strstr(fence, "```")) {
        const char *code = strchr(fence, '\n'), *end = code ? strstr(code, "\n```") : NULL;
        if (!end)
            return NULL;
        if (function_in(code + 1, end))
            return ste_xstrndup(code + 1, (size_t)(end - code - 1));
        fence = end + 4;
    }
    return NULL;
}

/* ---- rows ---- */

static int add_lines(struct ste_buf *out, const json_t *v, const char *key, const char *where, struct ste_err *err)
{
    if (ste_json_text(v)) {
        ste_buf_addf(out, "%s\n", ste_json_text(v));
        return 0;
    }
    const json_t *line;
    size_t i;
    json_array_foreach(v, i, line)
    {
        if (!ste_json_text(line))
            break;
        ste_buf_addf(out, "%s\n", ste_json_text(line));
    }
    return json_is_array(v) && i == json_array_size(v)
               ? 0
               : ste_err_set(err, STE_EINPUT, "%s: %s must be a text or a list of texts, lines of Python", where, key);
}

static int read_tests(const json_t *row, struct ste_buf *out, const char *where, struct ste_err *err)
{
    static const char *const keys[] = {"test_imports", "test_setup_code", "tests", "test_list"};
    if (!json_object_get(row, "tests") && !json_object_get(row, "test_list"))
        return 0;
    int rc = 0;
    for (int k = 0; rc == 0 && k < 4; k++) {
        const json_t *v = json_object_get(row, keys[k]);
        if (v && !json_is_null(v))
            rc = add_lines(out, v, keys[k], where, err);
    }
    return rc;
}

static void asserts_of(const struct ste_dialogue *d, struct ste_buf *out)
{
    const char *text = d->n ? d->turns[d->n - 1].text : "";
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strncmp(p, "assert ", 7) == 0)
            ste_buf_addf(out, "%.*s\n", (int)strcspn(p, "\n"), p);
}

/* "number 42" or "choice B" of the field answer, or MATH's solution; NULL: nothing that can be compared. */
static char *read_answer(const json_t *row)
{
    const json_t *v = json_object_get(row, "answer");
    if (!v || json_is_null(v))
        v = json_object_get(row, "solution");
    const json_int_t index = json_integer_value(v);
    if (json_is_integer(v) && json_is_array(json_object_get(row, "choices"))) /* MMLU's number of the choice, from 0 */
        return index >= 0 && index < 10 ? ste_xasprintf("choice %c", (char)('A' + index)) : NULL;
    if (json_is_integer(v) || (json_is_real(v) && isfinite(json_real_value(v))))
        return ste_xasprintf("number %.17g", json_number_value(v));
    const char *text = ste_json_text(v);
    if (!text)
        return NULL;
    const char *at = last_of(text, "\\boxed{"), *end;
    if (at)
        end = brace_end(at);
    else if ((at = last_of(text, "####")))
        end = at + strcspn(at, "\n");
    else
        end = (at = text) + strlen(text);
    at += strspn(at, " $(");
    while (end > at && strchr(" $.%)\n", end[-1]))
        end--;
    if (end == at + 1 && *at >= 'A' && *at <= 'J')
        return ste_xasprintf("choice %c", *at);
    double number;
    return end > at && number_at(at, &number) == (size_t)(end - at) ? ste_xasprintf("number %.17g", number) : NULL;
}

int ste_truth_read(const json_t *row, const struct ste_dialogue *d, char **out, const char *where, struct ste_err *err)
{
    struct ste_buf tests = STE_BUF_INIT;
    int rc = read_tests(row, &tests, where, err);
    *out = rc == 0 && !tests.len ? read_answer(row) : NULL;
    if (rc == 0 && !*out && !tests.len)
        asserts_of(d, &tests);
    if (rc == 0 && tests.len)
        *out = ste_xasprintf("tests\n%s", tests.s);
    ste_buf_clear(&tests);
    return rc;
}
