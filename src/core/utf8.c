#include "core/utf8.h"

#include <stdint.h>
#include <string.h>

/* The length of the character at S, 0 if it is wrong, or -1 if it is cut off by the end. */
static int char_len(const uint8_t *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    int len = s[0] >= 0xC2 && s[0] <= 0xDF   ? 2
              : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
              : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                             : 0;
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= n)
            return -1;
        uint8_t lo = 0x80, hi = 0xBF;
        if (i == 1) {
            lo = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
            hi = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
        }
        if (s[i] < lo || s[i] > hi)
            return 0;
    }
    return len;
}

size_t ste_utf8_bad(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        for (; n - i >= sizeof eight; i += sizeof eight) { /* of ASCII, as most text is */
            memcpy(&eight, s + i, sizeof eight);
            if (eight & 0x8080808080808080u)
                break;
        }
        if (i == n)
            break;
        int len = char_len((const uint8_t *)s + i, n - i);
        if (len <= 0)
            return i;
        i += (size_t)len;
    }
    return n;
}

size_t ste_utf8_whole(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const uint8_t *p = (const uint8_t *)s + n - back;
        if ((*p & 0xC0) != 0x80)
            return *p >= 0xC0 && char_len(p, back) == -1 ? n - back : n;
    }
    return n;
}

size_t ste_utf8_length(const char *s)
{
    const size_t bytes = strlen(s);
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) /* with no end to look for at each, many bytes are taken at once */
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}
