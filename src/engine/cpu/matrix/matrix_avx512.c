#define STE_SIMD 512
#define MATRIX_KERNELS ste_matrix_avx512
#include "engine/cpu/matrix/matrix_body.h"
