#define STE_SIMD 2
#define INT8_KERNELS ste_int8_avx2
#include "engine/cpu/int8/int8_body.h"
