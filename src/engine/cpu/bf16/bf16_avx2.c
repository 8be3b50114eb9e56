#define STE_SIMD 2
#define BF16_KERNELS ste_bf16_avx2
#define BF16_DOT_KERNELS ste_bf16_dot_avx2
#include "engine/cpu/bf16/bf16_body.h"
