/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A number is a pure function of key and counter, never of time, thread or order.
 */
#ifndef STE_CORE_RNG_H
#define STE_CORE_RNG_H

#include <stdint.h>

void ste_philox(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4]);

/* A stream of numbers with a key of its own (from a hash) and a name for what it is drawn for. */
struct ste_rng {
    uint32_t key[2];
    uint32_t stream;
    uint64_t next; /* index of the next number */
};

/* SEED is any 64-bit key; equal (seed, stream) give equal numbers. */
void ste_rng_init(struct ste_rng *r, uint64_t seed, uint32_t stream);
uint32_t ste_rng_u32(struct ste_rng *r);
uint32_t ste_rng_below(struct ste_rng *r, uint32_t n); /* 0 .. n-1, unbiased; n > 0 */
double ste_rng_uniform(struct ste_rng *r);             /* [0, 1), 53 bits */
double ste_rng_normal(struct ste_rng *r);              /* mean 0, variance 1 */

#endif
