#define STE_SIMD 0
#define BF16_KERNELS ste_bf16_portable
#include "engine/cpu/bf16/bf16_body.h"
