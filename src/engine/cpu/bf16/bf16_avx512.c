#define STE_SIMD 512
#define BF16_KERNELS ste_bf16_avx512
#define BF16_DOT_KERNELS ste_bf16_dot_avx512
#include "engine/cpu/bf16/bf16_body.h"
