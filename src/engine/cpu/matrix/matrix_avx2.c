#define STE_SIMD 2
#define MATRIX_KERNELS ste_matrix_avx2
#include "engine/cpu/matrix/matrix_body.h"
