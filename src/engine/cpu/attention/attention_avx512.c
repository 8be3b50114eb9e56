#define STE_SIMD 512
#define ATTN_KERNELS ste_attn_avx512
#include "engine/cpu/attention/attention_body.h"
