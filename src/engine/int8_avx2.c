#define STE_SIMD 2
#define INT8_KERNELS ste_int8_avx2
#include "engine/int8_body.h"
