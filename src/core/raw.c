#include "core/raw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/sixteen.h"
#include "core/utf8.h"

#define DEEPEST 64

/* ---- reading ---- */

/* Each takes what stands at P and gives the place behind it; NULL: it is none. */

static const char *pass_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static const char *pass_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* What the 16 bytes at P are, a bit for each, the first one lowest. */
struct sixteen {
    unsigned commas, digits, zeros;
};
static struct sixteen sixteen_at(const char *p)
{
    ste_bytes16 v;
    memcpy(&v, p, sizeof v);
    const ste_bytes16 above = v - '0';
    return (struct sixteen){ste_bits_of((ste_bytes16)(v == ',')), ste_bits_of((ste_bytes16)(above <= 9)),
                            ste_bits_of((ste_bytes16)(above == 0))};
}

/* The number that the first N of the 8 bytes X are, as they stand in memory, N from 1 to 8: two by two, then four by
 * four, then all. */
static uint32_t number_in(uint64_t x, unsigned n)
{
    uint64_t y = (x ^ 0x3030303030303030u) << (64 - 8 * n);
    y = (10 * y + (y >> 8)) & 0x00FF00FF00FF00FFu;
    y = (100 * y + (y >> 16)) & 0x0000FFFF0000FFFFu;
    return (uint32_t)(10000 * y + (y >> 32));
}

static uint64_t eight_at(const char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(x) : x;
}

static const char *pass_text(const char *p, const char *end)
{
    for (p = ste_first_escaped(p + 1, end); p < end && *p != '"'; p = ste_first_escaped(p + 1, end)) {
        if (*p != '\\' || ++p == end || !strchr("\"\\/bfnrtu", *p) || !*p)
            return NULL;
        for (int i = 0; *p == 'u' && i < 4; i++)
            if (end - p < 5 || !strchr("0123456789abcdefABCDEF", p[i + 1]) || !p[i + 1])
                return NULL;
    }
    return p < end ? p + 1 : NULL;
}

static const char *pass_number(const char *p, const char *end)
{
    p += *p == '-';
    const char *whole = p;
    p = pass_digits(p, end);
    if (p == whole || (*whole == '0' && p > whole + 1))
        return NULL;
    if (p < end && *p == '.') {
        const char *from = p + 1;
        if ((p = pass_digits(from, end)) == from)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *from = p + 1;
        from += from < end && (*from == '+' || *from == '-');
        if ((p = pass_digits(from, end)) == from)
            return NULL;
    }
    return p;
}

static const char *pass_word(const char *p, const char *end, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

static const char *pass_value(const char *p, const char *end, int depth);

/* Plain numbers with a comma right behind each: most of a list of token ids. */
static const char *pass_ids(const char *p, const char *end)
{
    const char *from = p;
    for (unsigned first = 1; end - p >= 16; p += 16) {
        const struct sixteen x = sixteen_at(p);
        const unsigned begin = x.commas << 1 | first,
                       other = (~(x.commas | x.digits) | (begin & (x.commas | x.zeros))) & 0xFFFF,
                       commas = x.commas & ((other & (0 - other)) - 1);
        if (commas)
            from = p + (32 - __builtin_clz(commas));
        if (other)
            break;
        first = x.commas >> 15;
    }
    return from;
}

static const char *pass_members(const char *p, const char *end, int depth)
{
    const bool object = *p == '{';
    const char close = object ? '}' : ']';
    p = pass_blanks(p + 1, end);
    if (p < end && *p == close)
        return p + 1;
    for (;; p++) {
        p = pass_blanks(object ? p : pass_ids(p, end), end);
        if (object) {
            p = p < end && *p == '"' ? pass_text(p, end) : NULL;
            p = p ? pass_blanks(p, end) : NULL;
            if (!p || p == end || *p++ != ':')
                return NULL;
        }
        p = pass_value(p, end, depth + 1);
        p = p ? pass_blanks(p, end) : NULL;
        if (!p || p == end || *p != ',')
            return p && p < end && *p == close ? p + 1 : NULL;
    }
}

static const char *pass_value(const char *p, const char *end, int depth)
{
    p = pass_blanks(p, end);
    if (p == end || depth > DEEPEST)
        return NULL;
    switch (*p) {
    case '{':
    case '[':
        return pass_members(p, end, depth);
    case '"':
        return pass_text(p, end);
    case 't':
        return pass_word(p, end, "true");
    case 'f':
        return pass_word(p, end, "false");
    case 'n':
        return pass_word(p, end, "null");
    default:
        return pass_number(p, end);
    }
}

bool ste_raw_read(struct ste_raw *out, const char *s, size_t n)
{
    *out = (struct ste_raw){0};
    const char *from = pass_blanks(s, s + n), *end = pass_value(from, s + n, 0);
    if (!end || pass_blanks(end, s + n) < s + n || ste_utf8_bad(s, n) < n)
        return false;
    *out = (struct ste_raw){from, (size_t)(end - from)};
    return true;
}

/* From here on the text is known to be JSON, within a list or an object: what is looked for comes. */

static bool begins(struct ste_raw v, char c)
{
    return v.n && *v.s == c;
}

static const char *behind_text(const char *p, const char *end)
{
    for (p = ste_first_escaped(p + 1, end); *p == '\\'; p = ste_first_escaped(p + 2, end))
        ;
    return p + 1;
}

/* Behind a list with neither texts nor lists nor objects in it, such as one of token ids; NULL: it has some. */
static const char *behind_plain_list(const char *p, const char *end)
{
    const char *close = memchr(p, ']', (size_t)(end - p));
    const size_t n = (size_t)(close - p) - 1;
    return memchr(p + 1, '"', n) || memchr(p + 1, '[', n) || memchr(p + 1, '{', n) ? NULL : close + 1;
}

static bool is_bracket(char c)
{
    return (c | 0x20) == '{' || (c | 0x20) == '}';
}

static const char *behind_value(const char *p, const char *end)
{
    if (*p == '"')
        return behind_text(p, end);
    if (*p != '[' && *p != '{') {
        while (*p > ' ' && *p != ',' && !is_bracket(*p))
            p++;
        return p;
    }
    for (int depth = 0;;) {
        while (*p != '"' && !is_bracket(*p))
            p++;
        const char *behind = *p == '"' ? behind_text(p, end) : *p == '[' ? behind_plain_list(p, end) : NULL;
        if (!behind) {
            depth += *p == '[' || *p == '{' ? 1 : -1;
            behind = p + 1;
        }
        p = behind;
        if (!depth)
            return p;
    }
}

static struct ste_raw value_at(const char *p, const char *end)
{
    p = pass_blanks(p, end);
    return *p == ']' ? (struct ste_raw){0} : (struct ste_raw){p, (size_t)(behind_value(p, end) - p)};
}

void ste_raw_pick(struct ste_raw object, const char *const *keys, size_t n, struct ste_raw *out)
{
    const char *p = object.s, *end = object.s + object.n;
    size_t left = n;
    for (size_t i = 0; i < n; i++)
        out[i] = (struct ste_raw){0};
    while (left && begins(object, '{') && *p != '}') {
        const char *name = pass_blanks(p + 1, end);
        if (*name != '"')
            break; /* {} */
        const char *behind = behind_text(name, end);
        const size_t length = (size_t)(behind - name) - 2;
        const struct ste_raw v = value_at(pass_blanks(behind, end) + 1, end);
        for (size_t i = 0; i < n; i++)
            if (!out[i].s && strncmp(keys[i], name + 1, length) == 0 && !keys[i][length]) {
                out[i] = v;
                left--;
            }
        p = pass_blanks(v.s + v.n, end); /* a comma, or the end */
    }
}

struct ste_raw ste_raw_get(struct ste_raw object, const char *key)
{
    struct ste_raw v;
    ste_raw_pick(object, &key, 1, &v);
    return v;
}

struct ste_raw ste_raw_first(struct ste_raw list)
{
    return begins(list, '[') ? value_at(list.s + 1, list.s + list.n) : (struct ste_raw){0};
}

struct ste_raw ste_raw_after(struct ste_raw list, struct ste_raw item)
{
    const char *end = list.s + list.n, *p = pass_blanks(item.s + item.n, end);
    return *p == ',' ? value_at(p + 1, end) : (struct ste_raw){0};
}

bool ste_raw_is_list(struct ste_raw v)
{
    return begins(v, '[');
}

bool ste_raw_is_object(struct ste_raw v)
{
    return begins(v, '{');
}

bool ste_raw_is_text(struct ste_raw v)
{
    return begins(v, '"');
}

bool ste_raw_is(struct ste_raw v, const char *written)
{
    return v.n == strlen(written) && memcmp(v.s, written, v.n) == 0;
}

bool ste_raw_int(struct ste_raw v, int64_t *out)
{
    const bool negative = begins(v, '-');
    int64_t x = 0;
    if (v.n == (size_t)negative)
        return false;
    for (size_t i = negative; i < v.n; i++) {
        const int digit = v.s[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(x, 10, &x) ||
            __builtin_sub_overflow(x, digit, &x)) /* below 0, where there is one number more */
            return false;
    }
    return negative ? (*out = x, true) : !__builtin_sub_overflow((int64_t)0, x, out);
}

bool ste_raw_real(struct ste_raw v, double *out)
{
    char digits[64];
    if (!v.n || v.n >= sizeof digits || !(begins(v, '-') || (*v.s >= '0' && *v.s <= '9')))
        return false;
    memcpy(digits, v.s, v.n);
    digits[v.n] = 0;
    *out = strtod(digits, NULL);
    return true;
}

static size_t count_commas(struct ste_raw v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.n;) {
        const size_t end = v.n - i < 255 ? v.n : i + 255;
        uint8_t some = 0; /* as narrow as what is compared */
        for (; i < end; i++)
            some += v.s[i] == ',';
        n += some;
    }
    return n;
}

/* Adds plain numbers of up to 8 digits with a comma right behind each to the *N that IDS has; gives the place behind.
 */
static const char *add_ids(const char *p, const char *end, int32_t *ids, size_t *n)
{
    const char *from = p;
    size_t k = *n;
    for (; end - p >= 24; p += 16) { /* 8 more may be looked at than there are in a piece */
        const struct sixteen x = sixteen_at(p);
        const unsigned other = ~(x.commas | x.digits) & 0xFFFF;
        for (unsigned commas = x.commas & ((other & (0 - other)) - 1); commas; commas &= commas - 1) {
            const char *comma = p + __builtin_ctz(commas);
            if (comma == from || comma > from + 8)
                break;
            ids[k++] = (int32_t)number_in(eight_at(from), (unsigned)(comma - from));
            from = comma + 1;
        }
        if (other || from + 8 < p + 16)
            break;
    }
    *n = k;
    return from;
}

bool ste_raw_ids(struct ste_raw list, int32_t **ids, size_t *n)
{
    int32_t *out = *ids = ste_xmalloc((count_commas(list) + 1) * sizeof *out);
    *n = 0;
    if (!begins(list, '['))
        return false;
    const char *end = list.s + list.n, *p = pass_blanks(list.s + 1, end);
    size_t k = 0;
    while (*p != ']') {
        p = pass_blanks(add_ids(p, end, out, &k), end);
        uint64_t id = 0;
        const char *from = p;
        for (unsigned digit; (digit = (unsigned)*p - '0') < 10 && p < from + 10; p++)
            id = 10 * id + digit;
        p = pass_blanks(p, end);
        if (p == from || id > INT32_MAX || (*p != ',' && *p != ']'))
            return false;
        out[k++] = (int32_t)id;
        p = *p == ',' ? pass_blanks(p + 1, end) : p;
    }
    *n = k;
    return true;
}

/* The text that N bytes between quotes stand for, into TO, which has room for them; where it ends. NULL: it has \u. */
static char *unescape(const char *s, size_t n, char *to)
{
    static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t"; /* what stands behind the backslash, and what for */
    for (const char *end = s + n, *at; s < end; s = at + 2) {
        at = memchr(s, '\\', (size_t)(end - s));
        const size_t plain = (size_t)((at ? at : end) - s);
        memcpy(to, s, plain);
        to += plain;
        if (!at)
            break;
        if (at[1] == 'u')
            return NULL;
        size_t i = 0;
        while (named[i] != at[1])
            i += 2;
        *to++ = named[i + 1];
    }
    return to;
}

char *ste_raw_text(struct ste_raw v)
{
    if (!begins(v, '"'))
        return NULL;
    char *text = ste_xmalloc(v.n), *end = unescape(v.s + 1, v.n - 2, text);
    if (end) {
        *end = 0;
        return text;
    }
    ste_xfree(text);
    json_t *j = json_loadb(v.s, v.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    text = j ? ste_xstrdup(json_string_value(j)) : NULL;
    json_decref(j);
    return text;
}

/* ---- values ---- */

static json_t *text_value(struct ste_raw v)
{
    char *text = ste_xmalloc(v.n), *end = unescape(v.s + 1, v.n - 2, text);
    json_t *j = end ? json_stringn_nocheck(text, (size_t)(end - text)) : NULL;
    ste_xfree(text);
    return j;
}

static json_t *number_value(struct ste_raw v)
{
    int64_t whole;
    double real;
    if (ste_raw_int(v, &whole))
        return json_integer(whole);
    const bool is_real = memchr(v.s, '.', v.n) || memchr(v.s, 'e', v.n) || memchr(v.s, 'E', v.n);
    return is_real && ste_raw_real(v, &real) && isfinite(real) ? json_real(real) : NULL;
}

/* Adds the members of V to INTO; false: one of them cannot be. */
static bool add_members(json_t *into, struct ste_raw v)
{
    const char *p = v.s, *end = v.s + v.n;
    char key[64];
    while (*p != '}' && *p != ']') {
        size_t n = 0;
        p = pass_blanks(p + 1, end);
        if (*p == '}' || *p == ']')
            break;
        if (begins(v, '{')) {
            const char *behind = behind_text(p, end);
            n = (size_t)(behind - p) - 2;
            if (n >= sizeof key || memchr(p, '\\', n + 1))
                return false;
            memcpy(key, p + 1, n);
            key[n] = 0;
            p = pass_blanks(behind, end) + 1;
        }
        const struct ste_raw member = value_at(p, end);
        json_t *j = ste_raw_value(member);
        if (begins(v, '{') ? json_object_set_new_nocheck(into, key, j) : json_array_append_new(into, j))
            return false;
        p = pass_blanks(member.s + member.n, end);
    }
    return true;
}

json_t *ste_raw_value(struct ste_raw v)
{
    json_t *j;
    switch (*v.s) {
    case '{':
    case '[':
        j = *v.s == '{' ? json_object() : json_array();
        if (add_members(j, v))
            return j;
        json_decref(j);
        return NULL;
    case '"':
        return text_value(v);
    case 't':
        return json_true();
    case 'f':
        return json_false();
    case 'n':
        return json_null();
    default:
        return number_value(v);
    }
}
