#define STE_SIMD 512
#define OPS ste_ops_avx512
#include "engine/cpu/ops/ops_body.h"
