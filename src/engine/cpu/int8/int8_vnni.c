#define STE_SIMD 512
#define INT8_KERNELS ste_int8_vnni
#include "engine/cpu/int8/int8_body.h"
