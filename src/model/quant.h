/*
 * The weight types of GGUF files (formats: ggml's ggml-common.h) and their exact values in f32. These are
 * the reference: the engine's packed forms must hold the same values.
 */
#ifndef STE_MODEL_QUANT_H
#define STE_MODEL_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum ste_type { /* GGUF's numbers */
                STE_F32 = 0,
                STE_F16 = 1,
                STE_Q4_0 = 2,
                STE_Q4_1 = 3,
                STE_Q5_0 = 6,
                STE_Q5_1 = 7,
                STE_Q8_0 = 8,
                STE_Q4_K = 12,
                STE_Q5_K = 13,
                STE_Q6_K = 14,
                STE_BF16 = 30,
};

/* Packed blocks as they lie in the file; sizes are asserted in quant.c. */
struct ste_block_q4_0 {
    uint16_t d;
    uint8_t qs[16];
};
struct ste_block_q4_1 {
    uint16_t d, m;
    uint8_t qs[16];
};
struct ste_block_q5_0 {
    uint16_t d;
    uint8_t qh[4], qs[16];
};
struct ste_block_q5_1 {
    uint16_t d, m;
    uint8_t qh[4], qs[16];
};
struct ste_block_q8_0 {
    uint16_t d;
    int8_t qs[32];
};
struct ste_block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12], qs[128];
};
struct ste_block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12], qh[32], qs[128];
};
struct ste_block_q6_k {
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    uint16_t d;
};

const char *ste_type_name(enum ste_type t); /* NULL: not a type that ste reads */
int ste_type_block(enum ste_type t);        /* weights a block: 1, 32 or 256 */
size_t ste_type_bytes(enum ste_type t);     /* bytes a block */

/* N weights (a multiple of the block) at SRC as f32. */
void ste_dequantize(enum ste_type t, const void *src, float *dst, size_t n);

float ste_f16_to_f32(uint16_t h);
uint16_t ste_f32_to_f16(float f);  /* round to nearest even */
uint16_t ste_f32_to_bf16(float f); /* the same */

#endif
