#define STE_SIMD 0
#define INT8_KERNELS ste_int8_portable
#include "engine/int8_body.h"
