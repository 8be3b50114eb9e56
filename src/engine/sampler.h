/*
 * From logits to a token. Temperature first, then top_k, top_p and min_p on what it gives; candidates are in the order
 * of their weight, ties by id. One uniform number a token. Log-probabilities are those at temperature 1 over the whole
 * vocabulary.
 */
#ifndef STE_ENGINE_SAMPLER_H
#define STE_ENGINE_SAMPLER_H

#include "engine/cpu/kernels.h"
#include "engine/request.h"

struct ste_candidate {
    float weight; /* exp((logit - max) / temperature) */
    int32_t id;
};
struct ste_sampler {                     /* scratch, kept from token to token */
    struct ste_candidate *items, *other; /* OTHER: to sort with */
    float *values;
    size_t n, cap, other_cap, values_cap;
    double *sums; /* of each run of the vocabulary */
    size_t sums_cap;
};
void ste_sampler_clear(struct ste_sampler *s);

/* Log of the sum of exp(logits). */
double ste_log_sum(const struct ste_ops *ops, const float *logits, int n);
/* U in [0, 1) is used when the temperature is above 0. *LOGPROB may be NULL. */
int32_t ste_sample(struct ste_sampler *s, const struct ste_ops *ops, const float *logits, int n,
                   const struct ste_sampling *p, double u, float *logprob);
/* The number in [0, 1) of token INDEX of the request with this key. */
double ste_sample_uniform(uint64_t key, uint64_t index);

#endif
