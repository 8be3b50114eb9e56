#define STE_SIMD 0
#define ATTN_KERNELS ste_attn_portable
#include "engine/cpu/attention/attention_body.h"
