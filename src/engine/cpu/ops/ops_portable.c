#define STE_SIMD 0
#define OPS ste_ops_portable
#include "engine/cpu/ops/ops_body.h"
