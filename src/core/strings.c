#include "core/strings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

void ste_strings_add(struct ste_strings *l, const char *s)
{
    l->items = ste_xrealloc(l->items, (l->n + 1) * sizeof *l->items);
    l->items[l->n++] = ste_xstrdup(s);
}

size_t ste_strings_place(struct ste_strings *l, const char *s)
{
    size_t i = 0;
    while (i < l->n && strcmp(l->items[i], s) != 0)
        i++;
    if (i == l->n)
        ste_strings_add(l, s);
    return i;
}

void ste_strings_clear(struct ste_strings *l)
{
    for (size_t i = 0; i < l->n; i++)
        ste_xfree(l->items[i]);
    ste_xfree(l->items);
    *l = (struct ste_strings){0};
}

/* Edit distance with swaps of neighbours (optimal string alignment). Long names are not compared. */
static int edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX)
        return 1000;
    int d[MAX + 1][MAX + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *ste_nearest(const char *s, const char *const *names)
{
    const char *best = NULL;
    int least = 1000;
    for (; *names; names++) {
        int d = edit_distance(s, *names);
        const char *dot = strrchr(*names, '.');
        if (dot && !strchr(s, '.')) { /* "temperature" for "pair.temperature" */
            int tail = edit_distance(s, dot + 1) + 1;
            d = tail < d ? tail : d;
        }
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    int n = (int)strlen(s);
    int limit = n <= 3 ? 1 : n <= 6 ? 2 : n / 3;
    return least <= limit ? best : NULL;
}

bool ste_ends_in(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

int ste_name_find(const char *const *names, const char *s)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], s) == 0)
            return i;
    return -1;
}

double ste_share(const struct ste_strings *shares, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < shares->n; i++)
        if (strncmp(shares->items[i], name, n) == 0 && shares->items[i][n] == '=')
            return strtod(shares->items[i] + n + 1, NULL);
    return 0;
}

int ste_shares_add(struct ste_strings *shares, const char *key, const char *item, struct ste_err *err)
{
    const size_t n = strcspn(item, "=");
    const char *number = item[n] ? item + n + 1 : item + n;
    char *end, *name = ste_xstrndup(item, n);
    double v = strtod(number, &end);
    int rc = 0;
    if (!n || end == number || *end || !isfinite(v) || v < 0)
        rc = ste_err_set(err, STE_EUSAGE, "%s takes names with shares of 0 or more, as in %s=2, not \"%s\"", key,
                         n ? name : "name", item);
    for (size_t i = 0; rc == 0 && i < shares->n; i++)
        if (strncmp(shares->items[i], item, n + 1) == 0)
            rc = ste_err_set(err, STE_EUSAGE, "%s names %s twice", key, name);
    if (rc == 0) {
        char *one = ste_xasprintf("%s=%.12g", name, v);
        ste_strings_add(shares, one);
        ste_xfree(one);
    }
    ste_xfree(name);
    return rc;
}

int ste_strings_replace(struct ste_strings *l, struct ste_strings *fresh, int rc)
{
    ste_strings_clear(rc ? fresh : l);
    if (!rc)
        *l = *fresh;
    return rc;
}

int ste_shares_parse(struct ste_strings *l, const char *key, const char *text, struct ste_err *err)
{
    struct ste_strings fresh = {0};
    int rc = 0;
    while (rc == 0 && text && *(text += strspn(text, " {}\t"))) {
        const size_t n = strcspn(text, ",}"), name = strcspn(text, "=: ,}"), sign = name + strspn(text + name, " ");
        const bool has_sign = sign < n && (text[sign] == '=' || text[sign] == ':');
        const size_t number = has_sign ? sign + 1 + strspn(text + sign + 1, " ") : n;
        char *item = ste_xasprintf("%.*s=%.*s", (int)name, text, number < n ? (int)(n - number) : 0, text + number);
        rc = ste_shares_add(&fresh, key, item, err);
        ste_xfree(item);
        text += n + (text[n] ? 1 : 0);
    }
    return ste_strings_replace(l, &fresh, rc);
}

static void trim(const char **s, size_t *n)
{
    while (*n && strchr(" \t", **s))
        ++*s, --*n;
    while (*n && strchr(" \t", (*s)[*n - 1]))
        --*n;
}

void ste_strings_parse(struct ste_strings *l, const char *text)
{
    size_t left = strlen(text);
    trim(&text, &left);
    if (left > 1 && *text == '[' && text[left - 1] == ']') {
        text++;
        left -= 2;
    }
    while (left) {
        trim(&text, &left);
        const char *quote = left && strchr("\"'", *text) ? memchr(text + 1, *text, left - 1) : NULL;
        const size_t skip = quote ? (size_t)(quote + 1 - text) : 0;
        const char *comma = memchr(text + skip, ',', left - skip), *item = text;
        size_t whole = comma ? (size_t)(comma - text) : left, n = whole;
        trim(&item, &n);
        if (quote && n == skip) {
            item++;
            n -= 2;
        }
        char *one = ste_xstrndup(item, n);
        if (n)
            ste_strings_add(l, one);
        ste_xfree(one);
        text += whole + (comma != NULL);
        left -= whole + (comma != NULL);
    }
}
