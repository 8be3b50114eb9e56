#define STE_SIMD 2
#define ATTN_KERNELS ste_attn_avx2
#include "engine/cpu/attention/attention_body.h"
