#define STE_SIMD 2
#define BF16_KERNELS ste_bf16_avx2
#include "engine/cpu/bf16/bf16_body.h"
