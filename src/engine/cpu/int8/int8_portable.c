#define STE_SIMD 0
#define INT8_KERNELS ste_int8_portable
#include "engine/cpu/int8/int8_body.h"
