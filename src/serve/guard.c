#include "serve/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/utf8.h"

/* The name in "name:port", without a final dot; caller frees. */
static char *name_of(const char *host)
{
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    size_t n = !end ? strlen(host) : *host == '[' ? (size_t)(end - host) + 1 : (size_t)(end - host);
    if (n && host[n - 1] == '.')
        n--;
    return ste_xstrndup(host, n);
}

bool ste_guard_is_loopback(const char *address)
{
    unsigned a, b, c, d;
    char more;
    return strcasecmp(address, "localhost") == 0 || strcmp(address, "::1") == 0 || strcmp(address, "[::1]") == 0 ||
           (sscanf(address, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &more) == 4 && a == 127 && b < 256 && c < 256 &&
            d < 256);
}

bool ste_guard_host(const char *host, const struct ste_strings *names)
{
    if (!host)
        return true;
    char *name = name_of(host);
    bool ok = ste_guard_is_loopback(name);
    for (size_t i = 0; names && i < names->n; i++)
        ok = ok || strcasecmp(name, names->items[i]) == 0;
    ste_xfree(name);
    return ok;
}

bool ste_guard_foreign(const char *origin, const char *site, const char *host)
{
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return true;
    if (!origin)
        return false;
    const char *its = strstr(origin, "://"); /* "null" has none */
    return !its || !host || strcasecmp(its + 3, host) != 0;
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* What TEXT in base64 stands for, up to what is none; caller frees. */
static char *from_base64(const char *text)
{
    char *out = ste_xcalloc(strlen(text) + 1, 1);
    unsigned bits = 0;
    size_t n = 0;
    for (int have = 0, d; (d = digit_of(*text)) >= 0; text++) {
        bits = bits << 6 | (unsigned)d;
        if ((have += 6) >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have);
        }
    }
    return out;
}

/* Looks at all of GIVEN, whatever it finds. */
static bool same(const char *given, const char *token)
{
    const size_t n = strlen(given), own = strlen(token);
    unsigned char differs = n != own;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(given[i] ^ token[own ? i % own : 0]);
    return !differs;
}

bool ste_guard_token(const char *authorization, const char *token)
{
    if (!authorization)
        return false;
    if (strncasecmp(authorization, "Bearer ", 7) == 0)
        return same(authorization + 7 + strspn(authorization + 7, " "), token);
    if (strncasecmp(authorization, "Basic ", 6) != 0)
        return false;
    char *pair = from_base64(authorization + 6 + strspn(authorization + 6, " "));
    const char *password = strchr(pair, ':');
    const bool ok = password && same(password + 1, token);
    ste_xfree(pair);
    return ok;
}

/* ---- targets ---- */

enum { MAX_FIELDS = 64 };

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *ste_percent_decode(const char *s, size_t n, bool plus)
{
    char *out = ste_xmalloc(n + 1);
    size_t len = 0;
    bool bad = false;
    for (size_t i = 0; i < n && !bad; i++) {
        char c = s[i];
        if (c == '%') {
            const int high = i + 2 < n ? hex_digit(s[i + 1]) : -1, low = i + 2 < n ? hex_digit(s[i + 2]) : -1;
            bad = high < 0 || low < 0;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        bad |= !c;
        out[len++] = c;
    }
    out[len] = 0;
    if (!bad && ste_utf8_bad(out, len) == len)
        return out;
    ste_xfree(out);
    return NULL;
}

void ste_fields_clear(struct ste_fields *f)
{
    ste_strings_clear(&f->names);
    ste_strings_clear(&f->values);
}

const char *ste_fields_find(const struct ste_fields *f, const char *name)
{
    for (size_t i = 0; i < f->names.n; i++)
        if (!strcmp(f->names.items[i], name))
            return f->values.items[i];
    return NULL;
}

static bool add(struct ste_fields *f, const char *name, size_t n_name, const char *value, size_t n_value, bool plus)
{
    char *k = ste_percent_decode(name, n_name, plus), *v = ste_percent_decode(value, n_value, plus);
    const bool good = k && v && f->names.n < MAX_FIELDS;
    if (good) {
        ste_strings_add(&f->names, k);
        ste_strings_add(&f->values, v);
    }
    ste_xfree(k);
    ste_xfree(v);
    return good;
}

bool ste_query_read(struct ste_fields *out, const char *query)
{
    for (const char *at = query; *at;) {
        const size_t n = strcspn(at, "&"), key = strcspn(at, "=&");
        const size_t value = key < n ? key + 1 : n;
        if (n && !add(out, at, key, at + value, n - value, true))
            return false;
        at += n + (at[n] == '&');
    }
    return true;
}

bool ste_path_match(const char *pattern, const char *path, size_t n, struct ste_fields *parts)
{
    const char *end = path + n;
    while (*pattern && path < end) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        const char *slash = memchr(path, '/', (size_t)(end - path));
        const size_t value = (size_t)((slash ? slash : end) - path), name = strcspn(pattern, "}");
        if (!value || !add(parts, pattern + 1, name - 1, path, value, false))
            return false;
        path += value;
        pattern += name + 1;
    }
    return !*pattern && path == end;
}
