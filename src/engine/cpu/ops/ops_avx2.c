#define STE_SIMD 2
#define OPS ste_ops_avx2
#include "engine/cpu/ops/ops_body.h"
