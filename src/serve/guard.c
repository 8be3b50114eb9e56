#include "serve/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

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

bool ste_route_matches(const char *route, const char *path, struct ste_part *parts, size_t *n)
{
    *n = 0;
    while (*route && *path) {
        if (*route == '{') {
            const size_t length = strcspn(path, "/"), name = strcspn(route, "}");
            if (!length || *n == STE_MAX_PARTS)
                break;
            parts[(*n)++] = (struct ste_part){route + 1, name - 1, ste_xstrndup(path, length)};
            path += length;
            route += name + 1;
        } else if (*route++ != *path++) {
            route = "-";
            break;
        }
    }
    if (!*route && !*path)
        return true;
    for (size_t i = 0; i < *n; i++)
        ste_xfree(parts[i].value);
    *n = 0;
    return false;
}
