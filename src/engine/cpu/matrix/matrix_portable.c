#define STE_SIMD 0
#define MATRIX_KERNELS ste_matrix_portable
#include "engine/cpu/matrix/matrix_body.h"
