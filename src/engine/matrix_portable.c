#define STE_SIMD 0
#define MATRIX_KERNELS ste_matrix_portable
#include "engine/matrix_body.h"
