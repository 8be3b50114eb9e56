/* The quantizers of the k-quants, for quantize.c: N weights, a multiple of 256, that are finite and at most 65504. */
#ifndef STE_MODEL_QUANTIZE_K_H
#define STE_MODEL_QUANTIZE_K_H

#include <stdbool.h>

#include "model/quant.h"

void ste_quantize_q4_k(const float *x, void *dst, size_t n);
void ste_quantize_q5_k(const float *x, void *dst, size_t n);
void ste_quantize_q6_k(const float *x, void *dst, size_t n);

#endif
