/* The bf16-dot products by AVX512_BF16's VDPBF16PS: 8 rows of X times two panels in registers. */
#define STE_SIMD 512
#define BF16_KERNELS ste_bf16_dot_vdp
#define BF16_PAIRS
#include "engine/cpu/bf16/bf16_steps_body.h"
