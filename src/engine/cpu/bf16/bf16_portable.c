#define STE_SIMD 0
#define BF16_KERNELS ste_bf16_portable
#define BF16_DOT_KERNELS ste_bf16_dot_portable
#include "engine/cpu/bf16/bf16_body.h"
