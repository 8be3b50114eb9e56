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
                STE_Q2_K = 10,
                STE_Q3_K = 11,
                STE_Q4_K = 12,
                STE_Q5_K = 13,
                STE_Q6_K = 14,
                STE_IQ4_NL = 20,
                STE_IQ4_XS = 23,
                STE_BF16 = 30,
                STE_MXFP4 = 39,
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
struct ste_block_q2_k {
    uint8_t scales[16], qs[64];
    uint16_t d, dmin;
};
struct ste_block_q3_k {
    uint8_t hmask[32], qs[64], scales[12];
    uint16_t d;
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
struct ste_block_iq4_nl {
    uint16_t d;
    uint8_t qs[16];
};
struct ste_block_iq4_xs {
    uint16_t d, scales_h;
    uint8_t scales_l[4], qs[128];
};
struct ste_block_mxfp4 {
    uint8_t e; /* the scale is 2^(e - 127) */
    uint8_t qs[16];
};

/* What the four bits of a weight stand for: of IQ4_NL and IQ4_XS; of MXFP4, doubled. */
extern const int8_t ste_iq4_values[16], ste_mxfp4_values[16];
float ste_mxfp4_scale(uint8_t e); /* half of the block's, for doubled values */
/* Scales of sub-block J: of Q4_K and Q5_K (32 weights, 6 bits each), of Q3_K (16 weights) and of IQ4_XS (32). */
void ste_k_scale_min(const uint8_t packed[12], int j, int *scale, int *min);
int ste_q3_k_scale(const uint8_t packed[12], int j);           /* -32 .. 31 */
int ste_iq4_xs_scale(const struct ste_block_iq4_xs *b, int j); /* the same */

const char *ste_type_name(enum ste_type t); /* NULL: not a type that ste reads */
/* A type of GGUF's that ste does not read, by its number: its name; NULL: none that is known. */
const char *ste_type_unread_name(uint32_t t);
int ste_type_block(enum ste_type t);    /* weights a block: 1, 32 or 256 */
size_t ste_type_bytes(enum ste_type t); /* bytes a block */

/* N weights (a multiple of the block) at SRC as f32. */
void ste_dequantize(enum ste_type t, const void *src, float *dst, size_t n);

float ste_f16_to_f32(uint16_t h);
uint16_t ste_f32_to_f16(float f);  /* round to nearest even */
uint16_t ste_f32_to_bf16(float f); /* the same */

#endif
