#include "core/rng.h"

#include <math.h>

void ste_philox(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void ste_rng_init(struct ste_rng *r, uint64_t seed, uint32_t stream)
{
    r->key[0] = (uint32_t)seed;
    r->key[1] = (uint32_t)(seed >> 32);
    r->stream = stream;
    r->next = 0;
}

uint32_t ste_rng_u32(struct ste_rng *r)
{
    uint64_t block = r->next / 4;
    uint32_t ctr[4] = {(uint32_t)block, (uint32_t)(block >> 32), r->stream, 0}, out[4];
    ste_philox(r->key, ctr, out);
    return out[r->next++ % 4];
}

uint32_t ste_rng_below(struct ste_rng *r, uint32_t n)
{
    uint32_t limit = (uint32_t)(-n) % n; /* 2^32 mod n: numbers below it would favour some results */
    uint32_t u;
    do {
        u = ste_rng_u32(r);
    } while (u < limit);
    return u % n;
}

double ste_rng_uniform(struct ste_rng *r)
{
    uint64_t hi = ste_rng_u32(r), lo = ste_rng_u32(r);
    return (double)((hi << 32 | lo) >> 11) * 0x1p-53;
}

double ste_rng_normal(struct ste_rng *r)
{
    double u = ste_rng_uniform(r), v = ste_rng_uniform(r);
    return sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * v);
}
