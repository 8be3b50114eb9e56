#define STE_SIMD 2
#define INT8_KERNELS ste_int8_avxvnni
#include "engine/int8_body.h"
