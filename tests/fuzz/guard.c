/*
 * What is read of a request before its route has it: the first byte says which function, the rest are its texts, which
 * NULs part.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "serve/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct ste_fields *f)
{
    if (f->names.n != f->values.n || f->names.n > 64)
        abort();
    for (size_t i = 0; i < f->names.n; i++) {
        const char *name = f->names.items[i], *value = f->values.items[i];
        if (ste_utf8_bad(name, strlen(name)) < strlen(name) || ste_utf8_bad(value, strlen(value)) < strlen(value))
            abort();
    }
}

static void targets(const char *target, const char *pattern)
{
    struct ste_fields f = {0};
    char *path = ste_percent_decode(target, strlen(target), false);
    if (path && strlen(path) > strlen(target))
        abort();
    ste_query_read(&f, target);
    check(&f);
    ste_fields_clear(&f);
    if (ste_path_match("/runs/{run}/pairs/{id}", target, strlen(target), &f) &&
        (f.names.n != 2 || !*ste_fields_find(&f, "run") || !*ste_fields_find(&f, "id")))
        abort();
    check(&f);
    ste_fields_clear(&f);
    /* A pattern without parts is itself alone. */
    if (!strchr(pattern, '{') && ste_path_match(pattern, target, strlen(target), &f) != !strcmp(pattern, target))
        abort();
    ste_fields_clear(&f);
    ste_xfree(path);
}

static void asks(const char *a, const char *b)
{
    static char allowed[] = "judge.example";
    char *names[] = {allowed};
    const struct ste_strings list = {.items = names, .n = 1};
    /* Who is let in by a list is let in by name, and a page of its own site is that of the host. */
    if (ste_guard_host(a, NULL) && !ste_guard_host(a, &list))
        abort();
    if (!ste_guard_foreign(b, NULL, a) && !strstr(b, "://"))
        abort();
    ste_guard_foreign(b, a, "localhost");
    ste_guard_is_loopback(a);
    if (ste_guard_token(a, "a token that nobody guesses") && !strstr(a, "a token that nobody guesses") &&
        strncmp(a, "Basic", 5) && strncmp(a, "basic", 5) && !strchr(a, ' '))
        abort();
    ste_guard_token(a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    char *texts = ste_xmalloc(n + 1);
    memcpy(texts, data + 1, n - 1);
    texts[n - 1] = texts[n] = 0;
    const char *second = texts + strlen(texts) + 1;
    if (data[0] & 1)
        targets(texts, second);
    else
        asks(texts, second);
    ste_xfree(texts);
    return 0;
}
