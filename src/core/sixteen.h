/* Text, sixteen bytes at a time; for core/ alone. */
#ifndef STE_CORE_SIXTEEN_H
#define STE_CORE_SIXTEEN_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef uint8_t ste_bytes16 __attribute__((vector_size(16)));

/* A bit for each byte that is true, the first one lowest. */
static inline unsigned ste_bits_of(ste_bytes16 truth)
{
#ifdef __SSE2__
    return (unsigned)_mm_movemask_epi8((__m128i)truth);
#else
    unsigned bits = 0;
    for (int i = 0; i < 16; i++)
        bits |= (truth[i] ? 1u : 0u) << i;
    return bits;
#endif
}

/* The first of the bytes that is not itself in a JSON string: a control character, a quote or a backslash. */
static inline const char *ste_first_escaped(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        ste_bytes16 v;
        memcpy(&v, p, sizeof v);
        const unsigned some = ste_bits_of((ste_bytes16)((v < ' ') | (v == '"') | (v == '\\')));
        if (some)
            return p + __builtin_ctz(some);
    }
    while (p < end && (unsigned char)*p >= ' ' && *p != '"' && *p != '\\')
        p++;
    return p;
}

#endif
